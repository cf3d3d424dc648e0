"""Confidence intervals of scores, by a weighted bootstrap over blocks of land.

Single pixels can't be drawn, because neighbouring pixels are almost copies of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000

CONFIDENCE = 95
"""Percent of the draws that lie in an interval."""


@dataclass(frozen=True)
class Interval:
    """A score with its confidence interval over similar land.

    Attributes:
        value: on all labels.
        low: 2.5th percentile of the draws.
        high: 97.5th percentile of the draws.
    """

    value: float
    low: float
    high: float


def draw_blocks(blocks: int, seed: int = 0) -> NDArray[np.float64]:
    """(DRAWS, blocks): the weight of each block in each draw; the weights of a draw add up to `blocks`.

    Weights follow the flat Dirichlet distribution (Rubin 1981, "The Bayesian bootstrap", Annals of Statistics 9,
    130-134). Drawing whole blocks with replacement leaves out a rare class in many draws, and the mean over the classes
    of such a draw is another quantity than the reported one. Fractional weights are never zero, so each draw has all
    classes (Xu et al. 2020, "Applications of the fractional-random-weight bootstrap", The American Statistician 74,
    345-358).
    """
    return np.random.default_rng(seed).dirichlet(np.ones(blocks), DRAWS) * blocks


def interval(value: float, drawn: NDArray[np.float64]) -> Interval:
    """The interval that holds the middle of the draws (percentile bootstrap).

    Args:
        value: the score on all labels.
        drawn: (DRAWS,) the score on each draw.
    """
    low, high = np.percentile(drawn, [50 - CONFIDENCE / 2, 50 + CONFIDENCE / 2])
    return Interval(float(value), float(low), float(high))
