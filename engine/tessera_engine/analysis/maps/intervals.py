"""How sure a score is: a bootstrap over blocks of land, since neighbouring pixels are nearly copies of each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000

CONFIDENCE = 95
"""Percent of the draws that an interval holds."""


@dataclass(frozen=True)
class Interval:
    """A score, and between what it would lie on other land of that kind.

    Attributes:
        value: on all labels.
        low: 2.5th percentile of the draws.
        high: 97.5th percentile of the draws.
    """

    value: float
    low: float
    high: float


def draw_blocks(blocks: int, seed: int = 0) -> NDArray[np.int64]:
    """How often each block is drawn, when as many as there are are drawn with replacement: (DRAWS, blocks)."""
    drawn = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), DRAWS)
    counts: NDArray[np.int64] = drawn.astype(np.int64)
    return counts


def interval(value: float, drawn: NDArray[np.float64]) -> Interval:
    """The interval that holds the middle of the draws (percentile bootstrap).

    Args:
        value: on all labels.
        drawn: (DRAWS,) the same on each draw.
    """
    low, high = np.percentile(drawn, [50 - CONFIDENCE / 2, 50 + CONFIDENCE / 2])
    return Interval(float(value), float(low), float(high))
