"""Confidence intervals of scores, by a weighted bootstrap over blocks of land.

Single pixels can't be drawn, because neighbouring pixels are almost copies of each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000

CONFIDENCE = 95
"""Percent of similar land for which an interval holds the score."""


FEWEST_BLOCKS = 3


@dataclass(frozen=True)
class Interval:
    """A score with its confidence interval over similar land.

    Attributes:
        value: on all labels.
        low: lower end.
        high: upper end.
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


def expansion(counts: NDArray[Any], sums: NDArray[Any]) -> float:
    """How much wider an interval must be than its draws, because few blocks hold some of the labels.

    With k blocks, draws vary less than means of k other blocks would: their variance is about (k - 1) / (k + 1) of it,
    and the normal distribution stands for Student's t (Hesterberg 2015, "What teachers should know about the
    bootstrap", The American Statistician 69, 371-386). A mean over classes of which some lie in few blocks has the
    degrees of freedom of Satterthwaite 1946 ("An approximate distribution of estimates of variance components",
    Biometrics Bulletin 2, 110-114). A class in one block only shows no variance, so it adds nothing; for two blocks
    Student's t would make every interval as wide as the score can be, so they count as `FEWEST_BLOCKS`.

    Args:
        counts: (blocks, C) labels of each class; or of all, with C = 1.
        sums: (blocks, C) of them, those that are predicted rightly; or sums of errors.

    Returns:
        A factor of 1 or more.
    """
    from scipy.stats import norm, t

    blocks = (counts > 0).sum(axis=0)
    total = np.maximum(counts.sum(axis=0), 1)
    means = sums.sum(axis=0) / total
    variance = ((sums - means * counts) ** 2).sum(axis=0) / total**2
    some = (blocks > 1) & (variance > 0)
    if not some.any():
        return 1.0
    blocks, variance = np.maximum(blocks[some], FEWEST_BLOCKS), variance[some]
    expected, drawn = variance * blocks / (blocks - 1), variance * blocks / (blocks + 1)
    freedom = expected.sum() ** 2 / (expected**2 / (blocks - 1)).sum()
    upper = 0.5 + CONFIDENCE / 200
    return float(t.ppf(upper, freedom) / norm.ppf(upper) * (expected.sum() / drawn.sum()) ** 0.5)


def interval(
    value: float,
    drawn: NDArray[np.float64],
    expanded: float = 1.0,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """The interval that holds the middle of the draws, made wider around the value.

    Args:
        value: the score on all labels.
        drawn: (DRAWS,) the score on each draw.
        expanded: see `expansion`.
        limits: the lowest and the highest value that the score can have.
    """
    low, high = np.percentile(drawn, [50 - CONFIDENCE / 2, 50 + CONFIDENCE / 2])
    below, above = max(0.0, value - float(low)), max(0.0, float(high) - value)
    return Interval(
        float(value),
        max(limits[0], float(value) - expanded * below),
        min(limits[1], float(value) + expanded * above),
    )
