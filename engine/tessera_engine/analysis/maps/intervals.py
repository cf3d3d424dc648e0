"""Confidence intervals of scores, by a bootstrap over blocks of land.

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


def draw_blocks(blocks: int, seed: int = 0) -> NDArray[np.int64]:
    """(DRAWS, blocks): how often each block is drawn if `blocks` of them are drawn with replacement."""
    drawn = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), DRAWS)
    counts: NDArray[np.int64] = drawn.astype(np.int64)
    return counts


def interval(value: float, drawn: NDArray[np.float64]) -> Interval:
    """The interval that holds the middle of the draws (percentile bootstrap).

    Args:
        value: the score on all labels.
        drawn: (DRAWS,) the score on each draw.
    """
    low, high = np.percentile(drawn, [50 - CONFIDENCE / 2, 50 + CONFIDENCE / 2])
    return Interval(float(value), float(low), float(high))
