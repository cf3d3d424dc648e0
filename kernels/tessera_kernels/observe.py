"""From a window's observations to packed tokens: find the valid ones, gather, z-score and weigh them.

Arrays are dates first, (T, N, bands), as scenes lie on disk. A modality is two series with statistics of
their own (Sentinel-1's orbits; Sentinel-2's second series is empty). A pixel is one thread's work from first
to last date, so the result doesn't depend on the number of threads.

The rules are those of the published TESSERA v2 code: n valid observations are filled up to the next multiple
of 8 (at most 256) with repeats. Here each distinct observation is stored once, with its multiplicity. More
than 256 are thinned to floor(linspace(0, n - 1, 256)). None at all is one token of zeros with day of year 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

BIN = 8
"""Sequence lengths of the published code are multiples of this."""

MAX_TOKENS = 256
"""More valid observations than this are thinned."""

STD_EPSILON = np.float32(1e-9)
"""Added to the standard deviation by the published code."""


class Series(NamedTuple):
    """One series of N pixels.

    Attributes:
        values: (T, N, bands), any integer dtype, C-contiguous.
        valid: (T, N) uint8, non-zero where the observation counts.
        doy: (T, 1) or, where pixels have dates of their own, (T, N) int32.
        mean: (bands,) float32, subtracted.
        std: (bands,) float32, divided by.
    """

    values: NDArray[Any]
    valid: NDArray[np.uint8]
    doy: NDArray[np.int32]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def check(self) -> None:
        """Raise ValueError where shapes disagree."""
        steps, pixels, bands = self.values.shape
        expected = {"valid": (steps, pixels), "mean": (bands,), "std": (bands,)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"{name} has shape {getattr(self, name).shape}, expected {shape} for values "
                    f"of shape {self.values.shape}"
                )
        if self.doy.shape not in {(steps, 1), (steps, pixels)}:
            raise ValueError(
                f"doy has shape {self.doy.shape}, expected {(steps, 1)} or {(steps, pixels)} for values of "
                f"shape {self.values.shape}"
            )


@njit(cache=True)
def _fill_multiplicity(n: int, out: NDArray[np.float32]) -> None:
    """Write how often each of n <= MAX_TOKENS tokens stands in a sequence filled up to its bin."""
    repeats = -n % BIN
    out[:n] = 1.0
    if repeats > n:
        for i in range(repeats):
            out[i % n] += 1.0
        return
    # The middle element of each of numpy.array_split(range(n), repeats), whose first n % repeats groups have
    # one element more than the others.
    start = 0
    for group in range(repeats):
        length = n // repeats + (1 if group < n % repeats else 0)
        out[start + length // 2] += 1.0
        start += length


@njit(cache=True)
def _thinned(i: int, n: int) -> int:
    """Element i of floor(linspace(0, n - 1, MAX_TOKENS)), in numpy's own arithmetic."""
    if i == MAX_TOKENS - 1:
        return n - 1
    return int(np.floor(i * ((n - 1) / (MAX_TOKENS - 1))))


@njit(cache=True)
def _gather(
    series: Series,
    pixel: int,
    n: int,
    rank: int,
    at: int,
    out: NDArray[np.float32],
    out_doy: NDArray[np.int32],
) -> tuple[int, int]:
    """Write the pixel's valid observations of one series from out[at]; gives the next rank and the next `at`.

    `rank` counts the pixel's valid observations over both series; n is how many there are in all.
    """
    values, doy, mean, std = series.values, series.doy, series.mean, series.std
    own_dates = doy.shape[1] > 1
    for t in range(values.shape[0]):
        if series.valid[t, pixel] == 0:
            continue
        if n <= MAX_TOKENS or rank == _thinned(at, n):
            for b in range(values.shape[2]):
                out[at, b] = (np.float32(values[t, pixel, b]) - mean[b]) / (std[b] + STD_EPSILON)
            out_doy[at] = doy[t, pixel if own_dates else 0]
            at += 1
        rank += 1
    return rank, at


@njit(cache=True, parallel=True)
def _count(valid: NDArray[np.uint8], counts: NDArray[np.int32]) -> None:
    for pixel in prange(valid.shape[1]):
        n = 0
        for t in range(valid.shape[0]):
            if valid[t, pixel] != 0:
                n += 1
        counts[pixel] = n


@njit(cache=True, parallel=True)
def _any_channel(values: NDArray[Any], valid: NDArray[np.uint8]) -> None:
    for pixel in prange(values.shape[1]):
        for t in range(values.shape[0]):
            found = 0
            for b in range(values.shape[2]):
                if values[t, pixel, b] != 0:
                    found = 1
            valid[t, pixel] = found


@njit(cache=True, parallel=True)
def _pack(
    first: Series,
    second: Series,
    pixels: NDArray[np.int64],
    counts: NDArray[np.int32],
    offsets: NDArray[np.int64],
    out: NDArray[np.float32],
    out_doy: NDArray[np.int32],
    out_multiplicity: NDArray[np.float32],
) -> None:
    for i in prange(len(pixels)):
        pixel, n = pixels[i], counts[i]
        tokens = slice(offsets[i], offsets[i + 1])
        if n == 0:
            out[tokens] = 0.0
            out_doy[tokens] = 0
            out_multiplicity[tokens] = 1.0
            continue
        values, doy = out[tokens], out_doy[tokens]
        rank, at = _gather(first, pixel, n, 0, 0, values, doy)
        _gather(second, pixel, n, rank, at, values, doy)
        if n <= MAX_TOKENS:
            _fill_multiplicity(n, out_multiplicity[tokens])
        else:
            out_multiplicity[tokens] = 1.0


def count_valid(valid: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Count each pixel's valid observations.

    Args:
        valid: (T, N) uint8, non-zero where valid.

    Returns:
        (N,) int32.
    """
    counts = np.empty(valid.shape[1], np.int32)
    _count(valid, counts)
    return counts


def any_channel(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Find the observations with any channel non-zero: a Sentinel-1 observation is valid then.

    Args:
        values: (T, N, bands), integers.

    Returns:
        (T, N) uint8, 1 where valid.
    """
    valid = np.empty(values.shape[:2], np.uint8)
    _any_channel(values, valid)
    return valid


def token_counts(counts: NDArray[np.int32]) -> NDArray[np.int64]:
    """Tokens that pixels with `counts` valid observations have: at least 1, at most `MAX_TOKENS`."""
    return np.clip(counts, 1, MAX_TOKENS).astype(np.int64)


def pack(
    first: Series, second: Series, pixels: NDArray[np.int64], counts: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
    """Pack the distinct tokens of some pixels of one modality.

    Args:
        first: the modality's first series (Sentinel-2, or the ascending orbit).
        second: its second series, with the same N and bands (may have T = 0).
        pixels: (M,) int64, which of the N pixels, in the order wanted.
        counts: (M,) int32, the valid observations of those pixels over both series.

    Returns:
        values (tokens, bands) float32, z-scored; doy (tokens,) int32; multiplicity (tokens,) float32;
        offsets (M + 1,) int64.

    Raises:
        ValueError: shapes disagree.
    """
    first.check()
    second.check()
    if first.values.shape[1:] != second.values.shape[1:]:
        raise ValueError(
            f"both series need the same pixels and bands: {first.values.shape} and {second.values.shape}"
        )
    if pixels.shape != counts.shape:
        raise ValueError(f"pixels and counts need one length: {pixels.shape} and {counts.shape}")
    offsets = np.concatenate([[0], np.cumsum(token_counts(counts))]).astype(np.int64)
    values = np.empty((offsets[-1], first.values.shape[2]), np.float32)
    doy = np.empty(offsets[-1], np.int32)
    multiplicity = np.empty(offsets[-1], np.float32)
    _pack(first, second, pixels, counts, offsets, values, doy, multiplicity)
    return values, doy, multiplicity, offsets
