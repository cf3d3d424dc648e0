"""Mosaics the Sentinel-2 products of one date: each pixel is taken from the first product in which it is clear.

These kernels run on one thread and release Python's lock: several threads read products at once, and numba's portable
threading layer allows no parallel calls from two threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel

CLEAR_CLASSES = (4, 5, 6, 7, 10, 11)
"""Of the scene classification: vegetation, bare, water, unclassified, thin cirrus, snow. Not clear: no data, saturated,
dark, cloud shadow, both kinds of cloud, and any value that is no class."""

CLEAR, WATER = 1, 2
"""What marks a clear observation: of anything but water, or of water."""

_IS_CLEAR = np.zeros(12, np.uint8)
_IS_CLEAR[list(CLEAR_CLASSES)] = CLEAR
_IS_CLEAR[6] = WATER


@kernel(nogil=True)
def _clear(classes: NDArray[Any], is_clear: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    for row in range(classes.shape[0]):
        for col in range(classes.shape[1]):
            value = classes[row, col]
            out[row, col] = is_clear[int(value)] if 0 <= value < len(is_clear) else 0


@kernel(nogil=True)
def _place(
    bands: NDArray[np.uint16],
    clear: NDArray[np.uint8],
    offset: int,
    out: NDArray[np.uint16],
    valid: NDArray[np.uint8],
) -> None:
    for row in range(valid.shape[0]):
        for col in range(valid.shape[1]):
            if valid[row, col] != 0:
                continue
            has_data, is_empty = False, True
            for b in range(bands.shape[0]):
                has_data |= bands[b, row, col] != 0
                is_empty &= out[row, col, b] == 0
            counts = has_data and clear[row, col] != 0
            if counts:
                valid[row, col] = clear[row, col]
            if counts or is_empty:
                for b in range(bands.shape[0]):
                    value = bands[b, row, col]
                    out[row, col, b] = value - offset if value >= offset else value


def clear_classes(classes: NDArray[Any]) -> NDArray[np.uint8]:
    """Find where the scene classification is clear.

    Args:
        classes: (height, width) integers.

    Returns:
        (height, width) uint8: 0, or `CLEAR`, or `WATER`.
    """
    out = np.empty(classes.shape, np.uint8)
    _clear(classes, _IS_CLEAR, out)
    return out


def place(
    bands: NDArray[np.uint16],
    clear: NDArray[np.uint8],
    offset: int,
    out: NDArray[np.uint16],
    valid: NDArray[np.uint8],
) -> None:
    """Add a product to the mosaic of its date, for the pixels that no product before it had clear.

    A pixel that is zero in all bands has no data and is never clear. A pixel that is clear in no product keeps the
    values of the first one with data, and stays invalid.

    Args:
        bands: (bands, height, width) uint16, digital numbers, 0 = no data.
        clear: (height, width) uint8, non-zero where clear; copied to `valid`.
        offset: subtracted from each digital number that is at least as large.
        out: (height, width, bands) uint16, changed in place; zeros before the first product.
        valid: (height, width) uint8, changed in place; zeros before the first product.
    """
    _place(bands, clear, offset, out, valid)
