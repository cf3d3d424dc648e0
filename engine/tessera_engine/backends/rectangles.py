"""Rectangular batches of packed tokens, for runtimes that need them: filled up with multiplicity 0."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tessera_engine.tokens import PackedTokens, Tokens

PAD_TO = 8
"""Rectangles are as long as a pixel's own tokens, rounded up to this: a pixel meets the same rectangle length
whichever pixels are its neighbours in the batch."""


def _rounded(lengths: NDArray[np.int64], to: int = PAD_TO) -> NDArray[np.int64]:
    return -(-lengths // to) * to


def batches(tokens: PackedTokens, max_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Pixels of one rounded length in both modalities, in batches of at most `max_tokens` tokens.

    Yields:
        (B,) int64 pixel numbers, B at least 1; every pixel once.
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
    """The graph's three inputs of one modality.

    Args:
        tokens: of the modality.
        pixels: (B,) which pixels.
        modality: `s2` or `s1`.
        round_to: T is the longest pixel's tokens, rounded up to a multiple of it.

    Returns:
        `<modality>` (B, T, bands) float32, `<modality>_doy` (B, T) int32, `<modality>_multiplicity` (B, T) float32.
    """
    lengths = tokens.lengths[pixels]
    steps = np.arange(_rounded(lengths.max(keepdims=True), round_to)[0])
    filled = steps < lengths[:, None]
    # A filling token repeats the pixel's first one: finite values, and no day of year out of range.
    source = tokens.offsets[pixels][:, None] + np.where(filled, steps, 0)
    return {
        modality: tokens.values[source],
        f"{modality}_doy": tokens.doy[source],
        f"{modality}_multiplicity": np.where(filled, tokens.multiplicity[source], np.float32(0)),
    }
