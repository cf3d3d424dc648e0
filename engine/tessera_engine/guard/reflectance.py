"""Checks that Sentinel-2 is reflectance * 10000, with the baseline offset removed exactly once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.finding import Finding
from tessera_engine.guard.optical_sample import OpticalSample, band_index

OFFSET = 1000

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

LIFTED_SHARE = 0.15
"""Least share of dates with an offset; on fewer dates the cause may be thin cloud that the mask missed."""

STEP = 1.5
"""Ratio of the frequencies just below and just above 1000: smooth in nature, with a step where 1000 was subtracted
twice."""

MIN_STEP = 300
"""Least number of values on each side of 1000 for them to be compared."""

MIN_CLEAR = 50
"""Least number of clear pixels for the floor of a date."""


def check_scale(sample: OpticalSample) -> list[Finding]:
    """Find values in other units; masks are not used."""
    if not sample.values.size:
        return []
    brightest = sample.values.max(axis=2)
    if brightest.max() <= 1 and sample.marked.any():
        return [_scale("all values are 0 or 1", "they seem to be 0..1 floats cut to whole numbers")]
    if not sample.seen.any():
        return []
    top = float(np.percentile(brightest[sample.seen], 99.5))
    brightest_of_all = f"the brightest observations, clouds included, are {top:.0f} (99.5th percentile)"
    if top <= 300:
        return [_scale(brightest_of_all, "they seem to be 0..255 or percentages")]
    if top <= 1400:
        # A lake without clouds is equally dark, but water is dark in the infrared
        land = sample.band("B8A") > 1.2 * sample.band("B02")
        seen = sample.seen.sum()
        with_clouds = 0.2 < sample.clear.sum() / seen < 0.8
        if land.sum() > 0.2 * seen or with_clouds:
            return [_scale(brightest_of_all, "they seem to be reflectance * 1000")]
    middle = float(np.median(brightest[sample.seen]))
    if 15_000 < middle < 60_000:
        return [_scale(f"half of all observations are above {middle:.0f}", "no surface reflects that much")]
    return []


def _scale(found: str, guess: str) -> Finding:
    return Finding(
        "s2-scale",
        "certain",
        f"Sentinel-2 values are not reflectance * 10000: {found}; {guess}",
        "all Sentinel-2 tokens look the same to the model",
        "store reflectance * 10000 as uint16",
    )


def check_wrapped(sample: OpticalSample) -> list[Finding]:
    """Find values that were below zero and wrapped around to the upper end of uint16."""
    if not sample.seen.any():
        return []
    wrapped = float((sample.values[sample.seen] > 60_000).any(axis=1).mean())
    if wrapped < 0.01:
        return []
    return [_twice(f"{wrapped:.0%} of the observations have values above 60000, which were below 0")]


def check_offset(sample: OpticalSample) -> list[Finding]:
    """Find a baseline offset of 1000 that was not removed, or removed twice."""
    clear = sample.values[sample.clear]
    if len(clear) < 20 * MIN_CLEAR:
        return []
    return _removed_twice(clear) or _not_removed(sample)


def _removed_twice(clear: NDArray[np.uint16]) -> list[Finding]:
    """Zeros, or a fold at 1000: what is left after subtracting twice depends on how negative values were written."""
    land = clear[clear[:, band_index("B8A")] > 800]
    blue_red = land[:, [band_index("B02"), band_index("B04")]]
    black = float((blue_red == 0).any(axis=1).mean()) if len(land) else 0.0
    if black > 0.1:
        return [_twice(f"{black:.0%} of the clear observations over land are exactly 0 in blue or red")]
    far_below, below, above, far_above = np.histogram(clear, np.arange(OFFSET - 40, OFFSET + 41, 20))[0]
    if above < MIN_STEP or far_above < MIN_STEP:
        return []
    step = (below / above) / max(far_below / max(below, 1), above / far_above, 1.0)
    if step < STEP:
        return []
    return [_twice(f"values just below 1000 are {step:.1f} times as frequent as values just above")]


def _twice(found: str) -> Finding:
    return Finding(
        "s2-offset-twice",
        "certain",
        f"the baseline offset was removed twice, or from data without it: {found}",
        "dark bands are wrong by up to 0.1 in reflectance, and jump within a season",
        "subtract 1000 only from products whose metadata have it (BOA_ADD_OFFSET), and only once",
    )


def _not_removed(sample: OpticalSample) -> list[Finding]:
    usable = np.flatnonzero(sample.clear.sum(axis=1) >= MIN_CLEAR)
    floors = np.array([_floors(sample, int(date)) for date in usable])
    if not len(floors):
        return []
    lifted = (
        (floors.min(axis=1) >= FLOOR)
        & (floors.min(axis=1) <= BRIGHT_FLOOR)
        & (floors.max(axis=1) <= EVEN * floors.min(axis=1))
    )
    share = lifted.mean()
    if share < LIFTED_SHARE:
        return []
    some = share < 0.8
    if some:
        step = _step_between(sample, usable[lifted], usable[~lifted])
        if step is None or step.min() < 0.6 * OFFSET or step.max() > 1.4 * OFFSET:
            return []
    green = _green(sample, usable[lifted])
    if len(green) >= MIN_CLEAR and (green >= FLOOR).all(axis=1).mean() < 0.8:
        return []
    typical = np.median(floors[lifted], axis=0)
    if not some and len(green) < MIN_CLEAR and typical.max() > EVEN_WITHOUT_LEAVES * typical.min():
        return []
    listed = ", ".join(f"{name} {value:.0f}" for name, value in zip(VISIBLE_TO_SWIR, typical, strict=True))
    return [
        Finding(
            "s2-offset",
            "certain" if some or len(green) >= MIN_CLEAR else "likely",
            f"the baseline offset of 1000 was not removed on {lifted.sum()} of {len(usable)} dates: even the darkest "
            f"2% of the pixels have {listed}",
            "every band is wrong by 0.1 in reflectance, and dark land looks like haze",
            "subtract 1000 from these dates (products of baseline 04.00 and later, after January 2022)",
        )
    ]


def _floors(sample: OpticalSample, date: int) -> NDArray[np.float64]:
    """(3,) second percentiles of the clear pixels of one date, one for each band of `VISIBLE_TO_SWIR`."""
    bands = [band_index(name) for name in VISIBLE_TO_SWIR]
    floors: NDArray[np.float64] = np.percentile(sample.values[date][sample.clear[date]][:, bands], 2, axis=0)
    return floors


def _green(sample: OpticalSample, dates: NDArray[np.int64]) -> NDArray[np.uint16]:
    """(M, 2) uint16, blue and red of the clear observations of dense leaves."""
    clear = sample.values[dates][sample.clear[dates]].astype(np.int32)
    leaves = clear[clear[:, band_index("B8A")] - clear[:, band_index("B04")] >= GREEN]
    return leaves[:, [band_index("B02"), band_index("B04")]].astype(np.uint16)


def _step_between(
    sample: OpticalSample, lifted: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """(10,) by how much lifted dates are brighter than the nearest other dates in each band; None: not comparable.

    An offset is the same in all bands.
    """
    steps = []
    for date in lifted:
        nearest = others[np.argmin(np.abs(sample.doy[others] - sample.doy[date]))]
        both = sample.clear[date] & sample.clear[nearest]
        if both.sum() >= MIN_CLEAR:
            pair = sample.values[[date, nearest]][:, both].astype(np.float32)
            steps.append(np.median(pair[0] - pair[1], axis=0))
    return np.median(steps, axis=0) if steps else None
