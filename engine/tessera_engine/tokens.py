"""Packed tokens, the input of a backend: the tokens of all pixels one after the other, without padding.

In v2 networks the order of tokens has no effect, so a multiplicity describes repeats completely. In v1 networks it
does, because of their pooling. The sequences of the published v1 code can be made from the distinct tokens in order
and their multiplicities (see `sequence`), so nothing else is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tessera_engine.scene import Observations
from tessera_kernels import observe
from tessera_kernels.sequence import sequence_steps


@dataclass(frozen=True)
class Tokens:
    """The distinct tokens of one modality for N pixels.

    Attributes:
        values: (M, bands) float32, z-scored; all zero for the token that means "no observation". The tokens of a pixel
            are in the order of the published code's sequence.
        doy: (M,) int32, day of year 1..366; 0 for the token that means "no observation".
        multiplicity: (M,) float32, how often the published code would repeat the token; at least 1.
        offsets: (N + 1,) int64; pixel p has the tokens offsets[p]:offsets[p + 1], at least one.
    """

    values: NDArray[np.float32]
    doy: NDArray[np.int32]
    multiplicity: NDArray[np.float32]
    offsets: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) int64, number of tokens of each pixel."""
        return np.diff(self.offsets)

    def part(self, first: int, last: int) -> Tokens:
        """The tokens of pixels `first` to `last`, without `last`."""
        start, end = self.offsets[first], self.offsets[last]
        offsets = self.offsets[first : last + 1] - start
        return Tokens(self.values[start:end], self.doy[start:end], self.multiplicity[start:end], offsets)

    def chosen(self, pixels: NDArray[np.int64]) -> Tokens:
        """The tokens of some pixels, in their order."""
        lengths = self.lengths[pixels]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.repeat(self.offsets[pixels] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Tokens(self.values[rows], self.doy[rows], self.multiplicity[rows], offsets)


@dataclass(frozen=True)
class PackedTokens:
    """The tokens of both modalities for the same N pixels."""

    s2: Tokens
    s1: Tokens

    def __len__(self) -> int:
        return len(self.s2.offsets) - 1

    def part(self, first: int, last: int) -> PackedTokens:
        """The tokens of pixels `first` to `last`, without `last`."""
        return PackedTokens(self.s2.part(first, last), self.s1.part(first, last))

    def chosen(self, pixels: NDArray[np.int64]) -> PackedTokens:
        """The tokens of some pixels, in their order."""
        return PackedTokens(self.s2.chosen(pixels), self.s1.chosen(pixels))


class Statistics(Protocol):
    """A model's means and standard deviations for z-scores, one value for each band, and its generation.

    The generation decides how tokens are made.
    """

    @property
    def generation(self) -> str: ...  # noqa: D102
    @property
    def s2_mean(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def s2_std(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def s1_ascending_mean(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def s1_ascending_std(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def s1_descending_mean(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def s1_descending_std(self) -> tuple[float, ...]: ...  # noqa: D102


@dataclass(frozen=True)
class PackedPixels:
    """N pixels after packing.

    Attributes:
        tokens: tokens of the M pixels that have at least one observation (and are not as `known`).
        pixels: (M,) int64, indices of these pixels among the N, ascending.
        counts: (N, 2) uint16, number of clear Sentinel-2 and of valid Sentinel-1 observations of every pixel.
    """

    tokens: PackedTokens
    pixels: NDArray[np.int64]
    counts: NDArray[np.uint16]


def pack(
    observations: Observations, statistics: Statistics, known: NDArray[np.uint16] | None = None
) -> PackedPixels:
    """Pack a window's observations for a model; pixels in row-major order.

    Args:
        observations: (T, height, width, bands) arrays and (T,) days of year; or, for pixels without a grid,
            (T, N, bands) arrays and (T,) or (T, N) days of year.
        statistics: the model's statistics, for instance its `ModelFacts`.
        known: (N, 2) `counts` of a part of these observations; pixels with as many now are not packed. None: pack all.
    """
    o = observations
    s2_values = _pixels_flat(o.s2)
    s2 = _series(s2_values, _mask_flat(o.s2_valid), o.s2_doy, statistics.s2_mean, statistics.s2_std)
    nothing = _series(s2_values[:0], s2.valid[:0], s2.doy[:0, :1], statistics.s2_mean, statistics.s2_std)
    ascending, descending = _pixels_flat(o.s1_ascending), _pixels_flat(o.s1_descending)
    s1 = [
        _series(
            ascending,
            observe.any_channel(ascending),
            o.s1_ascending_doy,
            statistics.s1_ascending_mean,
            statistics.s1_ascending_std,
        ),
        _series(
            descending,
            observe.any_channel(descending),
            o.s1_descending_doy,
            statistics.s1_descending_mean,
            statistics.s1_descending_std,
        ),
    ]
    s2_counts = observe.count_valid(s2.valid)
    s1_counts = observe.count_valid(s1[0].valid) + observe.count_valid(s1[1].valid)
    counts = np.stack([s2_counts, s1_counts], axis=1).astype(np.uint16)
    pixels = np.flatnonzero((counts > 0 if known is None else counts != known).any(axis=1))
    generation = statistics.generation
    tokens = PackedTokens(
        Tokens(*observe.pack(s2, nothing, pixels, s2_counts[pixels], generation)),
        Tokens(*observe.pack(s1[0], s1[1], pixels, s1_counts[pixels], generation)),
    )
    return PackedPixels(tokens, pixels, counts)


def sequence(tokens: PackedTokens, generation: str) -> PackedTokens:
    """The tokens in the sequence of the published v1 code: every repeat is a token, and all multiplicities are 1.

    v1.1 appends the repeats after a pixel's last token, in the order of the tokens; v1.0 puts each repeat next to its
    token. In v2 networks repeats and multiplicities are equivalent, so v2 tokens are returned unchanged.

    Args:
        tokens: packed tokens.
        generation: `v1.0`, `v1.1` or `v2`.
    """
    if generation == "v2":
        return tokens
    at_end = generation == "v1.1"
    return PackedTokens(_repeated(tokens.s2, at_end), _repeated(tokens.s1, at_end))


def _repeated(tokens: Tokens, at_end: bool) -> Tokens:
    steps, offsets = sequence_steps(tokens.multiplicity, tokens.offsets, at_end)
    return Tokens(tokens.values[steps], tokens.doy[steps], np.ones(len(steps), np.float32), offsets)


def _pixels_flat(values: NDArray[Any]) -> NDArray[Any]:
    """(T, ..., bands) -> (T, N, bands), C-contiguous."""
    pixels = int(np.prod(values.shape[1:-1]))
    return np.ascontiguousarray(values).reshape(values.shape[0], pixels, values.shape[-1])


def _mask_flat(valid: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, ...) -> (T, N), C-contiguous."""
    return np.ascontiguousarray(valid).reshape(valid.shape[0], int(np.prod(valid.shape[1:])))


def _series(
    values: NDArray[Any],
    valid: NDArray[np.uint8],
    doy: NDArray[np.int32],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> observe.Series:
    """The kernel's arrays, in the dtypes for which it is compiled."""
    dates = np.ascontiguousarray(doy.reshape(doy.shape[0], -1) if doy.size else doy.reshape(0, 1), np.int32)
    return observe.Series(values, valid, dates, np.array(mean, np.float32), np.array(std, np.float32))
