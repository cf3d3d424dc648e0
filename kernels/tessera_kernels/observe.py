"""From a window's observations to packed tokens: find the valid ones, gather, z-score and weigh them.

Arrays are dates first, (T, N, bands), as scenes lie on disk. A modality is two series with statistics of
their own (Sentinel-1's orbits; Sentinel-2's second series is empty). One thread does all dates of a pixel, so the
result doesn't depend on the number of threads.

`rules` decides how often each observation stands in the published code's sequence. Here each one that stands at all is
stored once, with its multiplicity. A pixel without any gets one token of zeros with day of year 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.inner import inner
from tessera_kernels.rules import FNV_BASIS, MAX_TOKENS, RULES, V1_0, ZERO_TOKENS, digest, weigh
from tessera_kernels.threads import in_shares

PIXELS_A_THREAD = 1024
"""At least: fewer are packed by one thread before another one has started."""

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
        sign: see `unsigned`.
    """

    values: NDArray[Any]
    valid: NDArray[np.uint8]
    doy: NDArray[np.int32]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    sign: int = 0

    def unsigned(self) -> Series:
        """The same with int16 as uint16, so that kernels are compiled once for both: value = (stored ^ sign) - sign."""
        if self.values.dtype != np.int16:
            return self
        return self._replace(values=self.values.view(np.uint16), sign=1 << 15)

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


class Pixels(NamedTuple):
    """Some pixels of one modality.

    Attributes:
        numbers: (M,) int64, which of the N.
        counts: (M,) int32, their valid observations over both series.
        seeds: (M,) uint64, digests of these for v1.0's draw; 0 for other generations.
    """

    numbers: NDArray[np.int64]
    counts: NDArray[np.int32]
    seeds: NDArray[np.uint64]

    def share(self, share: slice) -> Pixels:
        """Part of them."""
        return Pixels(self.numbers[share], self.counts[share], self.seeds[share])


class Packed(NamedTuple):
    """Arrays to write tokens to.

    Attributes:
        values: (tokens, bands) float32.
        doy: (tokens,) int32.
        multiplicity: (tokens,) float32.
    """

    values: NDArray[np.float32]
    doy: NDArray[np.int32]
    multiplicity: NDArray[np.float32]


@inner
def _value(series: Series, t: int, pixel: int, band: int) -> int:
    stored = int(series.values[t, pixel, band])
    return (stored ^ series.sign) - series.sign


@inner
def _digest_series(series: Series, pixel: int, state: np.uint64) -> np.uint64:
    """Add the pixel's valid observations of one series to a digest."""
    own_dates = series.doy.shape[1] > 1
    for t in range(series.values.shape[0]):
        if series.valid[t, pixel] != 0:
            state = digest(state, series.doy[t, pixel if own_dates else 0])
            for b in range(series.values.shape[2]):
                state = digest(state, _value(series, t, pixel, b))
    return state


@inner
def _gather(
    series: Series, pixel: int, standing: NDArray[np.int32], rank: int, at: int, out: Packed
) -> tuple[int, int]:
    """Write the observations of one series that stand to out, from `at` on; return the next rank and the next `at`.

    `rank` counts the pixel's valid observations over both series.
    """
    doy, mean, std = series.doy, series.mean, series.std
    own_dates = doy.shape[1] > 1
    for t in range(series.values.shape[0]):
        if series.valid[t, pixel] == 0:
            continue
        if standing[rank] > 0:
            for b in range(series.values.shape[2]):
                out.values[at, b] = (np.float32(_value(series, t, pixel, b)) - mean[b]) / (
                    std[b] + STD_EPSILON
                )
            out.doy[at] = doy[t, pixel if own_dates else 0]
            out.multiplicity[at] = standing[rank]
            at += 1
        rank += 1
    return rank, at


@inner
def _sort_by_day(start: int, end: int, out: Packed) -> None:
    """Put tokens start to end - 1, at most `rules.DRAWN`, in the order of their days; equal days keep their order."""
    for i in range(start + 1, end):
        at = i
        while at > start and out.doy[at - 1] > out.doy[at]:
            out.doy[at - 1], out.doy[at] = out.doy[at], out.doy[at - 1]
            before = out.multiplicity[at - 1]
            out.multiplicity[at - 1], out.multiplicity[at] = out.multiplicity[at], before
            for b in range(out.values.shape[1]):
                out.values[at - 1, b], out.values[at, b] = out.values[at, b], out.values[at - 1, b]
            at -= 1


@kernel(nogil=True)
def _count(valid: NDArray[np.uint8], counts: NDArray[np.int32], start: int, stop: int) -> None:
    for pixel in range(start, stop):
        n = 0
        for t in range(valid.shape[0]):
            if valid[t, pixel] != 0:
                n += 1
        counts[pixel] = n


@kernel(nogil=True)
def _any_channel(values: NDArray[Any], valid: NDArray[np.uint8], start: int, stop: int) -> None:
    for pixel in range(start, stop):
        for t in range(values.shape[0]):
            found = 0
            for b in range(values.shape[2]):
                if values[t, pixel, b] != 0:
                    found = 1
            valid[t, pixel] = found


@kernel(nogil=True)
def _seed(first: Series, second: Series, pixels: NDArray[np.int64], out: NDArray[np.uint64]) -> None:
    for i in range(len(pixels)):
        out[i] = _digest_series(second, pixels[i], _digest_series(first, pixels[i], FNV_BASIS))


@kernel(nogil=True)
def _count_standing(
    rule: int, counts: NDArray[np.int32], seeds: NDArray[np.uint64], out: NDArray[np.int64]
) -> None:
    for i in range(len(counts)):
        out[i] = 1
        if counts[i] > 0:
            standing = np.empty(counts[i], np.int32)
            out[i] = weigh(rule, counts[i], seeds[i], standing)


@kernel(nogil=True)
def _pack(
    rule: int,
    zero_tokens: int,
    first: Series,
    second: Series,
    pixels: Pixels,
    offsets: NDArray[np.int64],
    out: Packed,
) -> None:
    for i in range(len(pixels.numbers)):
        pixel, n = pixels.numbers[i], pixels.counts[i]
        if n == 0:
            for at in range(offsets[i], offsets[i + 1]):
                out.values[at] = 0.0
                out.doy[at] = 0
                out.multiplicity[at] = zero_tokens
            continue
        standing = np.empty(n, np.int32)
        weigh(rule, n, pixels.seeds[i], standing)
        rank, at = _gather(first, pixel, standing, 0, offsets[i], out)
        _gather(second, pixel, standing, rank, at, out)
        if rule == V1_0:
            _sort_by_day(offsets[i], offsets[i + 1], out)


def count_valid(valid: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Count each pixel's valid observations.

    Args:
        valid: (T, N) uint8, non-zero where valid.

    Returns:
        (N,) int32.
    """
    counts = np.empty(valid.shape[1], np.int32)
    in_shares(lambda share: _count(valid, counts, share.start, share.stop), len(counts), PIXELS_A_THREAD)
    return counts


def any_channel(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Find the observations with any channel non-zero: a Sentinel-1 observation is valid then.

    Args:
        values: (T, N, bands), integers.

    Returns:
        (T, N) uint8, 1 where valid.
    """
    dates, pixels = values.shape[:2]
    valid = np.empty((dates, pixels), np.uint8)
    in_shares(lambda share: _any_channel(values, valid, share.start, share.stop), pixels, PIXELS_A_THREAD)
    return valid


def pack(
    first: Series,
    second: Series,
    pixels: NDArray[np.int64],
    counts: NDArray[np.int32],
    generation: str = "v2",
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
    """Pack the distinct tokens of some pixels of one modality.

    Args:
        first: the modality's first series (Sentinel-2, or the ascending orbit).
        second: its second series, with the same N and bands (may have T = 0).
        pixels: (M,) int64, which of the N pixels, in the order wanted.
        counts: (M,) int32, the valid observations of those pixels over both series.
        generation: of the model; decides which observations stand, and how often.

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
    rule = RULES[generation]
    first, second = first.unsigned(), second.unsigned()
    seeds = np.zeros(len(pixels), np.uint64)
    if rule == V1_0:  # the number of different ones is known only once they are drawn
        standing = np.empty(len(pixels), np.int64)

        def count(share: slice) -> None:
            _seed(first, second, pixels[share], seeds[share])
            _count_standing(rule, counts[share], seeds[share], standing[share])

        in_shares(count, len(pixels), PIXELS_A_THREAD)
    else:
        standing = np.clip(counts, 1, MAX_TOKENS).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(standing)]).astype(np.int64)
    out = Packed(
        np.empty((offsets[-1], first.values.shape[2]), np.float32),
        np.empty(offsets[-1], np.int32),
        np.empty(offsets[-1], np.float32),
    )

    chosen = Pixels(pixels, counts, seeds)

    def pack_share(share: slice) -> None:
        own = offsets[share.start : share.stop + 1]
        _pack(rule, ZERO_TOKENS[generation], first, second, chosen.share(share), own, out)

    in_shares(pack_share, len(pixels), PIXELS_A_THREAD)
    return *out, offsets
