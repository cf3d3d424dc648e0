"""Sums in two float64, so that their order doesn't count: the rounded sum, and what rounding took from it.

The two together hold sums of float32 values exactly, and those of products of two nearly so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel


@kernel(nogil=True, inline="always")
def two_sum(a: float, b: float) -> tuple[float, float]:
    """A rounded sum, and what rounding took from it.

    By Knuth, The Art of Computer Programming, volume 2, 4.2.2, theorem B.
    """
    total = a + b
    added = total - a
    return total, (a - (total - added)) + (b - added)


def add_sums(one: NDArray[np.float64], other: NDArray[Any]) -> NDArray[np.float64]:
    """The sum of two sums, each (2, ...): rounded, and what rounding took."""
    total = one[0] + other[0]
    added = total - one[0]
    lost = (one[0] - (total - added)) + (other[0] - added)
    return np.stack([total, lost + one[1] + other[1]])
