"""Naive twins: the same results as the package's fast code, slow and obviously right.

Plain Python and numpy, one pixel at a time, written from the rules of the published code and from nothing in
the package.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Int = NDArray[np.int32]
Choose = Callable[[Float, NDArray[np.generic]], tuple[Float, Int, Float]]


def naive_repeated_positions(n: int) -> list[int]:
    """The published v2 code's choice among `n` >= 1 valid observations, with its repeats as copies."""
    bin_size = next(size for size in range(8, 257, 8) if size >= n or size == 256)
    if n >= bin_size:
        return [int(np.floor(position)) for position in np.linspace(0, n - 1, bin_size)]
    positions = list(range(n))
    repeats = bin_size - n
    if repeats <= n:
        groups = np.array_split(np.arange(n), repeats)
        return positions + [int(group[len(group) // 2]) for group in groups]
    return positions + [i % n for i in range(repeats)]


def naive_sequence_v1_1(n: int) -> list[int]:
    """The published v1.1 code's sequence of `n` >= 1 valid observations: all, thinned or with repeats at the end."""
    bin_size = next(size for size in range(8, 257, 8) if size >= n or size == 256)
    if n > bin_size:
        return [int(group[len(group) // 2]) for group in np.array_split(np.arange(n), bin_size)]
    repeats = np.rint(np.linspace(0, n - 1, bin_size - n + 2)[1:-1])
    return [*range(n), *map(int, repeats)]


def naive_multiplicity(n: int) -> tuple[Int, Float]:
    """Distinct positions (m,) among `n` >= 1 valid observations, rising, and how often each stands (m,)."""
    positions = naive_repeated_positions(n)
    distinct = sorted(set(positions))
    return np.array(distinct, np.int32), np.array([positions.count(i) for i in distinct], np.float32)


def naive_zscore(values: NDArray[np.generic], mean: tuple[float, ...], std: tuple[float, ...]) -> Float:
    """(x - mean) / (std + 1e-9) in float32, bands last."""
    x = np.asarray(values).astype(np.float32)
    return (x - np.asarray(mean, np.float32)) / (np.asarray(std, np.float32) + np.float32(1e-9))


def naive_sequence_tokens(values: Float, doy: NDArray[np.generic]) -> tuple[Float, Int, Float]:
    """Valid observations (n, bands) and their days (n,) as v1.1's sequence, each token with multiplicity 1.

    Without any there are EIGHT tokens, all zero, on day 0.
    """
    if len(values) == 0:
        return np.zeros((8, values.shape[1]), np.float32), np.zeros(8, np.int32), np.ones(8, np.float32)
    positions = naive_sequence_v1_1(len(values))
    return values[positions], np.asarray(doy).astype(np.int32)[positions], np.ones(len(positions), np.float32)


def naive_distinct(values: Float, doy: NDArray[np.generic]) -> tuple[Float, Int, Float]:
    """Valid observations (n, bands) and their days (n,) as distinct tokens: values, days, multiplicities.

    Without any there is ONE token, all zero, on day 0.
    """
    if len(values) == 0:
        return np.zeros((1, values.shape[1]), np.float32), np.zeros(1, np.int32), np.ones(1, np.float32)
    positions, multiplicity = naive_multiplicity(len(values))
    return values[positions], np.asarray(doy).astype(np.int32)[positions], multiplicity


def naive_draw_v1_0(values: NDArray[np.generic], doy: NDArray[np.generic]) -> list[int]:
    """Our seeded draw of v1.0 among a pixel's n >= 1 raw observations (n, bands): 40 positions, rising.

    FNV-1a over day and bands of each seeds splitmix64. Fewer than 40 are drawn from with replacement, others by
    selection sampling.
    """
    state, n, mask = 0xCBF29CE484222325, len(values), 2**64 - 1
    for value, day in zip(values.tolist(), doy.tolist(), strict=True):
        for number in (day, *value):
            state = (state ^ (number & 0xFFFFFFFF)) * 0x100000001B3 & mask

    def random(i: int) -> float:
        z = (state + (i + 1) * 0x9E3779B97F4A7C15) & mask
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        return ((z ^ z >> 31) >> 11) * 2.0**-53

    if n < 40:
        return sorted(int(random(i) * n) for i in range(40))
    chosen: list[int] = []
    for i in range(n):
        if random(i) * (n - i) < 40 - len(chosen):
            chosen.append(i)
    return chosen


def naive_tokens_s2(
    values: NDArray[np.uint16],
    valid: NDArray[np.generic],
    doy: NDArray[np.generic],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    choose: Choose = naive_distinct,
) -> tuple[Float, Int, Float]:
    """One pixel's Sentinel-2 tokens.

    Args:
        values: (T, 10) digital numbers in time order.
        valid: (T,) non-zero where clear.
        doy: (T,) day of year.
        mean: of the 10 bands.
        std: of the 10 bands.
        choose: makes tokens of the valid observations, by the rules of a generation.

    Returns:
        values (m, 10) float32, z-scored; day of year (m,) int32; multiplicity (m,) float32.
    """
    clear = np.asarray(valid) != 0
    return choose(naive_zscore(values, mean, std)[clear], np.asarray(doy)[clear])


def naive_tokens_s1(
    asc: NDArray[np.int16],
    asc_doy: NDArray[np.generic],
    desc: NDArray[np.int16],
    desc_doy: NDArray[np.generic],
    asc_mean: tuple[float, ...],
    asc_std: tuple[float, ...],
    desc_mean: tuple[float, ...],
    desc_std: tuple[float, ...],
    choose: Choose = naive_distinct,
) -> tuple[Float, Int, Float]:
    """One pixel's Sentinel-1 tokens: ascending in time order, then descending in time order.

    Args:
        asc: (Ta, 2) int16 codes of VV and VH, 0 = missing; valid where either is not 0.
        asc_doy: (Ta,) day of year.
        desc: (Td, 2) int16 codes.
        desc_doy: (Td,) day of year.
        asc_mean: of VV and VH, ascending.
        asc_std: of VV and VH, ascending.
        desc_mean: of VV and VH, descending.
        desc_std: of VV and VH, descending.
        choose: makes tokens of the valid observations, by the rules of a generation.

    Returns:
        values (m, 2) float32, z-scored; day of year (m,) int32; multiplicity (m,) float32.
    """
    asc_valid, desc_valid = (asc != 0).any(axis=1), (desc != 0).any(axis=1)
    values = np.concatenate(
        (
            naive_zscore(asc[asc_valid], asc_mean, asc_std),
            naive_zscore(desc[desc_valid], desc_mean, desc_std),
        )
    )
    return choose(values, np.concatenate((asc_doy[asc_valid], desc_doy[desc_valid])))


def naive_codes(embedding: Float, smallest_scale: float = 1e-12) -> tuple[NDArray[np.int8], np.float32]:
    """The published int8 form of one pixel's embedding (K,): codes (K,) and their scale; v1.1 has another smallest."""
    scale = np.float32(max(np.float32(np.abs(embedding).max()) / np.float32(127), np.float32(smallest_scale)))
    return np.clip(np.rint(embedding / scale), -127, 127).astype(np.int8), scale


def naive_most_similar(
    codes: NDArray[np.int8], scales: NDArray[np.float32], queries: NDArray[np.int8]
) -> NDArray[np.float32]:
    """Each pixel's largest cosine to a query, (N,); NaN where the scale isn't finite, 0 for a pixel of zeros."""
    found = np.full(len(codes), np.nan, np.float32)
    for i, (code, scale) in enumerate(zip(codes.astype(int), scales, strict=True)):
        if np.isfinite(scale):
            cosines = [
                sum(code * query) / np.sqrt(float(sum(code**2) * sum(query**2))) if code.any() else 0.0
                for query in queries.astype(int)
            ]
            found[i] = max(cosines)
    return found


def naive_moments(before, before_scales, after, after_scales):
    """Pixels with data in both, the sums of both vectors (K,), and the sum of all their squared lengths."""
    pixels, squares = 0, 0.0
    sums = np.zeros((2, before.shape[1]))
    for a, a_scale, b, b_scale in zip(before, before_scales, after, after_scales, strict=True):
        if np.isfinite(a_scale) and np.isfinite(b_scale):
            pixels += 1
            for which, vector in enumerate((a * np.float64(a_scale), b * np.float64(b_scale))):
                sums[which] += vector
                squares += float(vector @ vector)
    return pixels, sums[0], sums[1], squares


def naive_distances(before, before_scales, after, after_scales, shift):
    """(N,) squared length of each `after - before - shift`; NaN where either scale isn't finite."""
    with np.errstate(invalid="ignore"):
        a, b = before * np.float64(before_scales)[:, None], after * np.float64(after_scales)[:, None]
    found = np.full(len(a), np.nan)
    valid = np.isfinite(before_scales) & np.isfinite(after_scales)
    found[valid] = ((b[valid] - a[valid] - shift.astype(np.float64)) ** 2).sum(axis=1)
    return found


def naive_clear_median(
    s2: NDArray[np.uint16], valid: NDArray[np.uint8], bands: tuple[int, ...]
) -> NDArray[np.uint16]:
    """What each pixel of (T, N, bands) looked like: the lower median of its clear dates, 0 without any."""
    found = np.zeros((s2.shape[1], len(bands)), np.uint16)
    for pixel in range(s2.shape[1]):
        for b, band in enumerate(bands):
            clear = sorted(int(value) for value in s2[valid[:, pixel] != 0, pixel, band])
            if clear:
                found[pixel, b] = clear[(len(clear) - 1) // 2]
    return found


def naive_quality(
    valid: NDArray[np.uint8],
    days: list[date],
    orbits: list[NDArray[np.int16]],
    time: tuple[date, date],
    min_clear: int = 0,
) -> NDArray[np.uint16]:
    """How well each of N pixels was seen: (N, 6), see `tessera_kernels.quality`; days in any order."""
    found = np.zeros((valid.shape[1], 6), np.uint16)
    for pixel in range(valid.shape[1]):
        marks = sorted(
            (day, t, mark) for t, (day, mark) in enumerate(zip(days, valid[:, pixel], strict=True)) if mark
        )
        clear = sorted({day for day, _, _ in marks})
        first_marks = [next(mark for day, _, mark in marks if day == each) for each in clear]
        seen = [sum(bool(step[pixel].any()) for step in orbit) for orbit in orbits]
        spent = [(time[0] + timedelta(days=n)) not in clear for n in range((time[1] - time[0]).days + 1)]
        runs = "".join("-" if empty else " " for empty in spent).split(" ")
        if not clear and not any(seen):
            status = 4
        elif len(clear) < min_clear:
            status = 2
        else:
            status = 3 if 2 * first_marks.count(2) > len(clear) else 1
        months = len({(day.year, day.month) for day in clear})
        found[pixel] = [len(clear), *seen, months, max(map(len, runs)), status]
    return found
