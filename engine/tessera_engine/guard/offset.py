"""Checks that the baseline offset was removed exactly once from Sentinel-2 values, on every date.

Products of baseline 04.00 and later hold reflectance * 10000 + 1000 (ESA, Sentinel-2 Products Specification Document,
BOA_ADD_OFFSET).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.finding import Finding
from tessera_engine.guard.offset_runs import suspicious_runs
from tessera_engine.guard.offset_steps import MIN_CLEAR, OFFSET, two_levels
from tessera_engine.guard.optical_sample import OpticalSample, band_index

VISIBLE_TO_SWIR = ("B04", "B02", "B12")
"""Bands in which something is dark nearly everywhere: leaves, water, shadow, wet soil."""

FLOOR = 950.0
"""The floor is the second percentile of the clear pixels of a date. Below this, something is dark, so the offset has
been removed. With the offset, values are a little below 1000 where the haze correction was too strong."""

BRIGHT_FLOOR = 1900.0
"""Above this the darkest pixels are bright in themselves: sand, snow, cloud."""

EVEN = 2.0
"""Largest ratio of the floors of two bands with an offset: dark pixels plus 1000 are grey; sand is twice as bright in
the infrared."""

EVEN_WITHOUT_LEAVES = 1.5
"""The same limit where there are no leaves to confirm it: concrete and gravel are grey too."""

GREEN = 1500
"""B8A minus B04, independent of the offset: such dense leaves are everywhere darker than 900 in blue and red."""

LIFTED_SHARE = 0.8
"""Least share of dates with such floors among those that are said to have an offset."""

LIFTED_SHARE_OF_HIGHER = 0.5
"""The same where these dates are 1000 higher than others: that is most of the evidence."""

LAND = 800
"""B8A of land is above this, and of water below."""

BLACK = 0.1
"""Largest share of black pixels on land: even in deep shade they are rarely 0 in blue or red."""

STEP = 1.5
"""Ratio of the frequencies just below and just above 1000: smooth in nature, with a step where 1000 was subtracted
twice."""

MIN_STEP = 300
"""Least number of values on each side of 1000 for them to be compared."""


def check_wrapped(sample: OpticalSample) -> list[Finding]:
    """Find values that were below zero and wrapped around to the upper end of uint16."""
    if not sample.seen.any():
        return []
    wrapped = (sample.values > 60_000).any(axis=2) & sample.seen
    share = wrapped.sum() / sample.seen.sum()
    if share < 0.01:
        return []
    seen = sample.seen.sum(axis=1)
    dates = (wrapped.sum(axis=1) > 0.01 * seen).sum()
    return [
        _twice(
            f"on {dates} of {(seen > 0).sum()} dates, {share:.0%} of all observations have values above 60000, which "
            "were below 0"
        )
    ]


def check_offset(sample: OpticalSample) -> list[Finding]:
    """Find a baseline offset of 1000 that was not removed, or was removed twice, on all dates or on some."""
    if sample.clear.sum() < 20 * MIN_CLEAR:
        return []
    usable = np.flatnonzero(sample.clear.sum(axis=1) >= MIN_CLEAR)
    if not len(usable):
        return []
    order = usable[np.argsort(sample.doy[usable], kind="stable")]
    return _on_some(sample, order) or _on_all(sample, order)


def _on_some(sample: OpticalSample, order: NDArray[np.int64]) -> list[Finding]:
    """Dates that differ from others: in runs of dates that look wrong in themselves, or scattered."""
    lower = suspicious_runs(sample, order, _black(sample, order) > BLACK, lower=True)
    if len(lower):
        return _twice_on(sample, lower, len(order))
    bright = _floors(sample, order).min(axis=1) >= FLOOR
    higher = suspicious_runs(sample, order, bright, lower=False)
    if len(higher):
        return _kept_on(sample, higher, len(order), LIFTED_SHARE_OF_HIGHER)
    levels = two_levels(sample, order)
    if levels is None:
        return []
    return _twice_on(sample, levels.lower, len(order)) or _kept_on(
        sample, levels.higher, len(order), LIFTED_SHARE_OF_HIGHER
    )


def _on_all(sample: OpticalSample, order: NDArray[np.int64]) -> list[Finding]:
    floors = _floors(sample, order)
    lifted = order[_lifted(floors)]
    if len(lifted) >= LIFTED_SHARE * len(order):
        typical = np.median(_floors(sample, lifted), axis=0)
        if len(_green(sample, lifted)) >= MIN_CLEAR or typical.max() <= EVEN_WITHOUT_LEAVES * typical.min():
            return _kept_on(sample, lifted, len(order), 0.0)
    return _twice_on(sample, order, len(order))


def _twice_on(sample: OpticalSample, dates: NDArray[np.int64], of: int) -> list[Finding]:
    """The finding where dates have a trace of a second subtraction.

    Zeros, or a fold at 1000: what is left depends on how negative values were written.
    """
    black = float(np.median(_black(sample, dates)))
    if black > BLACK:
        trace = f"{black:.0%} of the clear pixels over land are exactly 0 in blue or red"
    else:
        edges = np.arange(OFFSET - 40, OFFSET + 41, 20)
        far_below, below, above, far_above = np.histogram(sample.values[dates][sample.clear[dates]], edges)[0]
        if above < MIN_STEP or far_above < MIN_STEP:
            return []
        step = (below / above) / max(far_below / max(below, 1), above / far_above, 1.0)
        if step < STEP:
            return []
        trace = f"values just below 1000 are {step:.1f} times as frequent as values just above"
    return [_twice(f"on {len(dates)} of {of} dates {trace}")]


def _black(sample: OpticalSample, dates: NDArray[np.int64]) -> NDArray[np.float64]:
    """(D,) the share of each date's clear pixels over land that are exactly 0 in blue or red."""
    blue_red = sample.values[dates][:, :, [band_index("B02"), band_index("B04")]]
    land = sample.clear[dates] & (sample.values[dates, :, band_index("B8A")] > LAND)
    black = land & (blue_red == 0).any(axis=2)
    return np.asarray(black.sum(axis=1) / np.maximum(land.sum(axis=1), 1))


def _twice(found: str) -> Finding:
    return Finding(
        "s2-offset-twice",
        "certain",
        f"the baseline offset was removed twice, or from data without it: {found}",
        "dark bands are wrong by up to 0.1 in reflectance, and jump within a season",
        "subtract 1000 only from products whose metadata have it (BOA_ADD_OFFSET), and only once",
    )


def _kept_on(sample: OpticalSample, dates: NDArray[np.int64], of: int, least_lifted: float) -> list[Finding]:
    """The finding where nothing is dark on a share of these dates, and leaves aren't either."""
    floors = _floors(sample, dates)
    if _lifted(floors).mean() < least_lifted:
        return []
    green = _green(sample, dates)
    if len(green) >= MIN_CLEAR and (green >= FLOOR).all(axis=1).mean() < 0.8:
        return []
    typical = np.median(floors, axis=0)
    listed = ", ".join(f"{name} {value:.0f}" for name, value in zip(VISIBLE_TO_SWIR, typical, strict=True))
    sure = len(green) >= MIN_CLEAR
    # Without leaves only the step is certain, not which side of it is right
    otherwise = "" if sure or len(dates) == of else ", or was removed twice on the others"
    return [
        Finding(
            "s2-offset",
            "certain" if sure else "likely",
            f"the baseline offset of 1000 was not removed on {len(dates)} of {of} dates{otherwise}: even the darkest "
            f"2% of the pixels have {listed}",
            "every band is wrong by 0.1 in reflectance, and dark land looks like haze",
            "subtract 1000 from these dates (products of baseline 04.00 and later, after January 2022)",
        )
    ]


def _lifted(floors: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(D,) whether the floors of a date look like those of dark pixels plus an offset."""
    lowest = floors.min(axis=1)
    lifted: NDArray[np.bool_] = (
        (lowest >= FLOOR) & (lowest <= BRIGHT_FLOOR) & (floors.max(axis=1) <= EVEN * lowest)
    )
    return lifted


def _floors(sample: OpticalSample, dates: NDArray[np.int64]) -> NDArray[np.float64]:
    """(D, 3) second percentiles of the clear pixels of each date, one for each band of `VISIBLE_TO_SWIR`."""
    bands = [band_index(name) for name in VISIBLE_TO_SWIR]
    return np.array([np.percentile(sample.values[d][sample.clear[d]][:, bands], 2, axis=0) for d in dates])


def _green(sample: OpticalSample, dates: NDArray[np.int64]) -> NDArray[np.uint16]:
    """(M, 2) uint16, blue and red of the clear observations of dense leaves."""
    clear = sample.values[dates][sample.clear[dates]].astype(np.int32)
    leaves = clear[clear[:, band_index("B8A")] - clear[:, band_index("B04")] >= GREEN]
    return leaves[:, [band_index("B02"), band_index("B04")]].astype(np.uint16)
