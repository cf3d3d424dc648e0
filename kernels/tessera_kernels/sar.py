"""Sentinel-1 backscatter and TESSERA's int16 code: trunc(clip((20 * log10(x) + 50) * 200, 0, 32767)), x linear power.

The published code multiplies the logarithm of a power by 20; the models' statistics depend on that. Each kernel runs on
one thread, see `tessera_kernels.scl`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel

UNITS = ("power", "amplitude", "db", "code")
"""Of gamma0: linear power, its square root, 10 * log10(power), the int16 code itself."""

_AMPLITUDE, _DB, _CODE = 1, 2, 3
_MAX_CODE = 32767.0


@kernel(nogil=True)
def _codes(values: NDArray[Any], units: int, out: NDArray[np.int16]) -> None:
    for row in range(values.shape[0]):
        for col in range(values.shape[1]):
            value = np.float64(values[row, col])
            out[row, col] = 0
            if not np.isfinite(value) or (units != _DB and value <= 0.0):
                continue
            if units == _CODE:
                code = value
            elif units == _DB:
                code = (2.0 * value + 50.0) * 200.0
            elif units == _AMPLITUDE:
                code = (40.0 * np.log10(value) + 50.0) * 200.0
            else:
                code = (20.0 * np.log10(value) + 50.0) * 200.0
            out[row, col] = np.int16(min(max(code, 0.0), _MAX_CODE))


@kernel(nogil=True)
def _powers(values: NDArray[Any], units: int, out: NDArray[np.float32]) -> None:
    for row in range(values.shape[0]):
        for col in range(values.shape[1]):
            value = np.float64(values[row, col])
            out[row, col] = 0.0
            if not np.isfinite(value) or (units != _DB and value <= 0.0):
                continue
            if units == _CODE:
                out[row, col] = 10.0 ** ((value / 200.0 - 50.0) / 20.0)
            elif units == _DB:
                out[row, col] = 10.0 ** (value / 10.0)
            elif units == _AMPLITUDE:
                out[row, col] = value * value
            else:
                out[row, col] = value


@kernel(nogil=True)
def _place(codes: NDArray[np.int16], out: NDArray[np.int16]) -> None:
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            for c in range(codes.shape[0]):
                if out[row, col, c] != 0:
                    break
            else:
                for c in range(codes.shape[0]):
                    out[row, col, c] = codes[c, row, col]


def to_codes(values: NDArray[Any], units: str) -> NDArray[np.int16]:
    """Turn backscatter into codes.

    Args:
        values: (height, width) numbers; a value is missing if it isn't finite, or, in units other than dB, <= 0.
        units: one of `UNITS`.

    Returns:
        (height, width) int16, 0 = missing.
    """
    out = np.empty(values.shape, np.int16)
    _codes(values, UNITS.index(units), out)
    return out


def to_power(values: NDArray[Any], units: str) -> NDArray[np.float32]:
    """Turn backscatter into linear power, the unit in which it can be averaged.

    Args:
        values: (height, width) numbers; a value is missing if it isn't finite, or, in units other than dB, <= 0.
        units: one of `UNITS`.

    Returns:
        (height, width) float32, 0 = missing.
    """
    out = np.empty(values.shape, np.float32)
    _powers(values, UNITS.index(units), out)
    return out


def place(codes: NDArray[np.int16], out: NDArray[np.int16]) -> None:
    """Add a product to the mosaic of its date, for the pixels that no product before it had a value for in any channel.

    Args:
        codes: (channels, height, width) int16, 0 = missing.
        out: (height, width, channels) int16, changed in place; zeros before the first product.
    """
    _place(codes, out)
