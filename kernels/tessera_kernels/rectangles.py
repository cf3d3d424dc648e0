"""Packed tokens into rectangles, filled up with tokens of multiplicity 0, for runtimes that need them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.observe import Packed
from tessera_kernels.threads import in_shares

TOKENS_A_THREAD = 1 << 14
"""At least: to start a thread takes as long as some thousand tokens."""


@kernel(nogil=True)
def _fill(
    tokens: Packed,
    offsets: NDArray[np.int64],
    pixels: NDArray[np.int64],
    values: NDArray[np.float32],
    doy: NDArray[np.int32],
    multiplicity: NDArray[np.float32],
) -> None:
    for i in range(len(pixels)):
        first, end = offsets[pixels[i]], offsets[pixels[i] + 1]
        for step in range(values.shape[1]):
            token = first + step
            real = token < end
            if not real:
                token = first
            for band in range(values.shape[2]):
                values[i, step, band] = tokens.values[token, band]
            doy[i, step] = tokens.doy[token]
            multiplicity[i, step] = tokens.multiplicity[token] if real else np.float32(0.0)


def fill_rectangle(
    tokens: Packed, offsets: NDArray[np.int64], pixels: NDArray[np.int64], steps: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """The tokens of some pixels as a rectangle.

    Args:
        tokens: of all pixels of one modality.
        offsets: (N + 1,) int64 where each pixel's tokens begin; each has at least one.
        pixels: (B,) int64 pixel numbers.
        steps: T, at least as many as the longest of them has tokens.

    Returns:
        values (B, T, bands), doy (B, T) and multiplicity (B, T). A filling token repeats the pixel's first one, so that
        its values are finite and its day of year is in range; its multiplicity is 0.
    """
    shape = len(pixels), steps
    values = np.empty((*shape, tokens.values.shape[1]), np.float32)
    doy, multiplicity = np.empty(shape, np.int32), np.empty(shape, np.float32)

    def fill(share: slice) -> None:
        _fill(tokens, offsets, pixels[share], values[share], doy[share], multiplicity[share])

    in_shares(fill, len(pixels), max(1, TOKENS_A_THREAD // steps))
    return values, doy, multiplicity
