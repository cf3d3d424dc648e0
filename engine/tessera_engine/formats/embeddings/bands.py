"""From files that hold band after band to the values of each pixel together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FEW_VALUES = 1 << 20
"""Fewer than these NumPy reorders in less time than it takes to load numba."""


def by_pixel(bands: NDArray[Any], pixels: NDArray[Any] | None = None) -> NDArray[Any]:
    """The values of each pixel together.

    Args:
        bands: (K, height, width) int8 or float32.
        pixels: (height, width, K) of the same dtype, to be filled: some bands of a C-contiguous array. None: a new one.

    Returns:
        `pixels`; a new one is C-contiguous.
    """
    if bands.size < FEW_VALUES:
        turned = np.moveaxis(bands, 0, 2)
        if pixels is None:
            return np.ascontiguousarray(turned)
        pixels[...] = turned
        return pixels
    from tessera_kernels.interleave import interleave

    return interleave(bands, pixels)
