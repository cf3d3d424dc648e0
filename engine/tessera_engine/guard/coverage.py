"""Checks that the scene covers the year: both orbits, enough clear dates, no gap of months."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from tessera_engine.finding import Finding
from tessera_engine.guard.optical_sample import OpticalSample
from tessera_engine.scene import Dates, Grid
from tessera_engine.scenes.period import Period, days_on

FEW_CLEAR, FEWEST_CLEAR = 10, 3
"""Least number of clear dates of the median pixel in a year; with fewer, the seasons are hardly visible. A shorter time
needs fewer in proportion, down to the second number."""

GAP_DAYS = {"Sentinel-2": 92, "ascending Sentinel-1": 60, "descending Sentinel-1": 60}
"""Longest time without an observation that is normal: clouds can hide a season, but not from a radar."""

POLAR = 60.0
"""Degrees of latitude beyond which the winter is dark, and a gap in winter is natural."""

CLEAR_SHARE = 0.05
"""Share of the sampled pixels that must be clear for a date to count."""

YEAR = 365


def check_modalities(dates: Dates) -> list[Finding]:
    """Find sensors and orbits that are missing."""
    orbits = {"ascending": dates.s1_ascending, "descending": dates.s1_descending}
    missing = [orbit for orbit, days in orbits.items() if not days]
    findings = []
    if len(missing) == len(orbits):
        findings.append(
            Finding(
                "s1-missing",
                "certain",
                "the scene has no Sentinel-1",
                "embeddings are from Sentinel-2 alone",
                "add Sentinel-1 RTC of the year",
            )
        )
    elif missing:
        findings.append(
            Finding(
                "s1-orbit-missing",
                "certain",
                f"the scene has no {missing[0]} Sentinel-1 orbit",
                "the radar part of the embeddings is from the other orbit alone; compare them only with embeddings "
                "from the same orbit",
                f"add the {missing[0]} orbit if it exists here",
            )
        )
    if not dates.s2:
        findings.append(
            Finding(
                "s2-missing",
                "certain",
                "the scene has no Sentinel-2",
                "embeddings are from Sentinel-1 alone",
                "add Sentinel-2 L2A of the year",
            )
        )
    return findings


def check_clear_dates(
    sample: OpticalSample, embedded: NDArray[np.bool_], season: Period | None = None
) -> list[Finding]:
    """Find pixels with too few clear dates.

    Args:
        sample: the optical sample of N pixels.
        embedded: (N,) bool, where a pixel has a valid observation of any sensor: an area without data, such as the
            part of a tile beside the swath, says nothing about the dates.
        season: see `check_gaps`.
    """
    if not sample.clear.any():
        return []
    median = float(np.median(sample.clear.sum(axis=0)[embedded]))
    few = FEW_CLEAR
    if season is not None:
        few = min(few, max(FEWEST_CLEAR, math.ceil(few * ((season[1] - season[0]).days + 1) / YEAR)))
    if median >= few:
        return []
    return [
        Finding(
            "s2-few-clear",
            "certain",
            f"the median pixel that is embedded has {median:.0f} clear Sentinel-2 dates of {len(sample.doy)}, expected "
            f"at least {few}",
            "embeddings depend on these few dates rather than on the season",
            "add dates; a cloud limit for whole products often excludes clear parts",
        )
    ]


def clear_days(sample: OpticalSample) -> list[int]:
    """Days of year on which at least `CLEAR_SHARE` of the pixels with any clear date is clear."""
    anywhere = sample.clear.any(axis=0)
    if not anywhere.any():
        return []
    return [int(day) for day in sample.doy[sample.clear[:, anywhere].mean(axis=1) >= CLEAR_SHARE]]


def check_gaps(
    s2_clear: Sequence[int], dates: Dates, grid: Grid, season: Period | None = None
) -> list[Finding]:
    """Find months without an observation.

    Args:
        s2_clear: see `clear_days`; empty: don't check Sentinel-2.
        dates: dates of the whole scene, for Sentinel-1.
        grid: grid of the scene, for its latitude.
        season: first and last day that were asked for, where that isn't a calendar year; gaps outside of it are not
            reported.
    """
    days = {
        "Sentinel-2": s2_clear,
        "ascending Sentinel-1": dates.s1_ascending,
        "descending Sentinel-1": dates.s1_descending,
    }
    findings = []
    for modality, each in days.items():
        if not each:
            continue
        length, last, between = _longest_gap(each) if season is None else _gap_in_season(each, season)
        if length <= GAP_DAYS[modality]:
            continue
        if modality == "Sentinel-2" and _dark_season(last, length, grid):
            continue
        name = "s2-gap" if modality == "Sentinel-2" else f"s1-gap-{modality.split()[0]}"
        clear = "clear " if modality == "Sentinel-2" else ""
        findings.append(
            Finding(
                name,
                "certain",
                f"no {clear}{modality} observation for {length} days, between {between}",
                "embeddings contain nothing of that part of the year",
                "add dates so that the whole year is covered"
                if season is None
                else "add dates, or choose a season that they cover",
            )
        )
    return findings


def _gap_in_season(each: Sequence[int], season: Period) -> tuple[int, int, str]:
    """`_longest_gap` from the first to the last day of a season."""
    first, last = season
    inside = days_on(np.array(each, np.int32), first)
    days = np.unique([first.toordinal() - 1, *inside, last.toordinal() + 1])
    gaps = np.diff(days)
    at = int(np.argmax(gaps))
    begins, ends = (date.fromordinal(int(days[i])) for i in (at, at + 1))
    return int(gaps[at]), begins.timetuple().tm_yday, f"{begins} and {ends}"


def _longest_gap(each: Sequence[int]) -> tuple[int, int, str]:
    """Number of days in the longest gap, the day of year before it, and both days around it in words.

    31 December precedes 1 January.
    """
    days = np.unique(np.array(each))
    following = np.roll(days, -1)
    gaps = (following - days) % YEAR
    if len(days) == 1:
        gaps[0] = YEAR
    at = int(np.argmax(gaps))
    return int(gaps[at]), int(days[at]), f"day of year {days[at]} and {following[at]}"


def _dark_season(last: int, length: int, grid: Grid) -> bool:
    """Whether a gap contains the winter solstice of a high latitude."""
    from tessera_engine.geo import bounding_box, footprint

    outline = footprint(grid)
    if outline is None:
        return False
    _, south, _, north = bounding_box(outline)
    latitude = (south + north) / 2
    solstice = 355 if latitude > 0 else 172
    return abs(latitude) > POLAR and (solstice - last) % YEAR < length
