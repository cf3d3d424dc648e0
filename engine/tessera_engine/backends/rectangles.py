"""Rectangular batches of packed tokens, for runtimes that need them, padded with tokens of multiplicity 0."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tessera_engine.tokens import PackedTokens, Tokens
from tessera_kernels.observe import Packed
from tessera_kernels.rectangles import fill_rectangle

PAD_TO = 8
"""A rectangle's length is a pixel's number of tokens, rounded up to a multiple of this. So a pixel always gets the same
rectangle length, whichever pixels are in the batch with it."""


def _rounded(lengths: NDArray[np.int64], to: int = PAD_TO) -> NDArray[np.int64]:
    return -(-lengths // to) * to


def batches(tokens: PackedTokens, max_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Group pixels of the same rounded lengths in both modalities into batches of at most `max_tokens` tokens.

    Yields:
        (B,) int64 pixel numbers, B at least 1; each pixel occurs once.
    """
    s2, s1 = _rounded(tokens.s2.lengths), _rounded(tokens.s1.lengths)
    order = np.lexsort((s1, s2))
    change = np.flatnonzero(np.diff(s2[order]) | np.diff(s1[order])) + 1
    for group in np.split(order, change):
        size = max(1, max_tokens // int(s2[group[0]] + s1[group[0]]))
        for start in range(0, len(group), size):
            yield group[start : start + size]


def rectangle(
    tokens: Tokens, pixels: NDArray[np.int64], modality: str, round_to: int = PAD_TO
) -> dict[str, NDArray[np.generic]]:
    """The graph's three inputs for one modality.

    Args:
        tokens: the modality's tokens.
        pixels: (B,) pixel numbers.
        modality: `s2` or `s1`.
        round_to: T is the largest number of tokens of these pixels, rounded up to a multiple of this.

    Returns:
        `<modality>` (B, T, bands) float32, `<modality>_doy` (B, T) int32, `<modality>_multiplicity` (B, T) float32.
    """
    pixels = np.ascontiguousarray(pixels, np.int64)
    longest = (tokens.offsets[pixels + 1] - tokens.offsets[pixels]).max(keepdims=True)
    packed = Packed(tokens.values, tokens.doy, tokens.multiplicity)
    arrays = fill_rectangle(packed, tokens.offsets, pixels, int(_rounded(longest, round_to)[0]))
    return dict(zip((modality, f"{modality}_doy", f"{modality}_multiplicity"), arrays, strict=True))
