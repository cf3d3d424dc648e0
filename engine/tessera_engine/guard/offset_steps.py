"""Steps of 1000 between neighbouring dates: where an offset was removed from some dates only, or twice from some."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.guard.optical_sample import OpticalSample

OFFSET = 1000

TOLERANCE = 350.0
"""Largest deviation from a step in any of the ten bands. Plants, soil, snow and haze change some bands much more than
others; but thin cloud that the mask missed can look like this on single dates."""

NEIGHBOURS = 6
"""Each date is compared with so many dates before it, so that one odd date doesn't decide."""

FAR = 90
"""Days beyond which two dates are not compared: plants and soil change too much."""

MIN_CLEAR = 50
"""Least number of pixels that are clear on two dates, for these to be compared."""

PIXELS = 1000
"""Most pixels that a comparison uses: enough for a median."""

LEAST_DATES = 3
"""Least number of dates on each level: the cause of one or two odd dates may be thin cloud that the mask missed."""

CONFIRMED = 0.75
"""Least share of the comparisons between the two levels that show the step."""


class Levels(NamedTuple):
    """Two levels of a scene's dates, an offset apart.

    Attributes:
        higher: positions of the dates on the higher level.
        lower: positions of the dates on the lower level.
    """

    higher: NDArray[np.int64]
    lower: NDArray[np.int64]


def two_levels(sample: OpticalSample, order: NDArray[np.int64]) -> Levels | None:
    """The two levels of the dates of a scene; None where all are on one level.

    Args:
        sample: the sampled observations.
        order: positions of the usable dates, by day of year.
    """
    steps = _steps(sample, order)
    if not any(steps.values()):
        return None
    levels = _levels(steps, len(order))
    compared = np.isin(np.arange(len(order)), list({date for pair in steps for date in pair}))
    higher, lower = compared & (levels == 1), compared & (levels == 0)
    if min(higher.sum(), lower.sum()) < LEAST_DATES:
        return None
    across = [step for (date, earlier), step in steps.items() if levels[date] != levels[earlier]]
    kept = [step for step in across if step]
    if len(kept) < CONFIRMED * len(across):
        return None
    return Levels(order[higher], order[lower])


def _steps(sample: OpticalSample, order: NDArray[np.int64]) -> dict[tuple[int, int], int]:
    """The steps between neighbours, by the positions of date and earlier date in their order."""
    steps = {}
    for date in range(len(order)):
        for earlier in range(max(date - NEIGHBOURS, 0), date):
            step = step_between(sample, order[date], order[earlier])
            if step is not None:
                steps[date, earlier] = step
    return steps


def _levels(steps: dict[tuple[int, int], int], dates: int) -> NDArray[np.int64]:
    """(dates,) levels 0 or 1 that contradict few steps.

    The best-known date comes first. Each further one is the date with most steps from those before it, and gets the
    level that most of these say. Then levels are changed one by one while this contradicts fewer steps.
    """
    beside: list[list[tuple[int, int]]] = [[] for _ in range(dates)]
    for (date, earlier), step in steps.items():
        beside[date].append((earlier, step))
        beside[earlier].append((date, -step))
    levels = np.zeros(dates, np.int64)
    votes: list[list[int]] = [[] for _ in range(dates)]
    open_dates = set(range(dates))
    while open_dates:
        date = max(open_dates, key=lambda each: (len(votes[each]), len(beside[each]), -each))
        open_dates.remove(date)
        levels[date] = round(float(np.median(votes[date]))) if votes[date] else 0
        for other, offsets in beside[date]:
            votes[other].append(int(levels[date]) - offsets)
    levels = _two_of(levels)
    changed = True
    while changed:
        changed = False
        for date, others in enumerate(beside):
            broken = [sum(level - levels[other] != offsets for other, offsets in others) for level in (0, 1)]
            if broken[1 - levels[date]] < broken[levels[date]]:
                levels[date] = 1 - levels[date]
                changed = True
    return levels


def _two_of(levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The two neighbouring levels with most dates as 0 and 1; dates on others get the nearer of these."""
    lowest = max(
        range(levels.min() - 1, levels.max() + 1), key=lambda low: np.isin(levels, (low, low + 1)).sum()
    )
    return np.clip(levels - lowest, 0, 1)


def step_between(sample: OpticalSample, date: np.int64, earlier: np.int64) -> int | None:
    """The step from an earlier date to a date: -1, 0 or 1 offsets.

    None where the two can't be compared, or no step fits all bands. A lower date may have been cut at 0, or its values
    below 1000 may have been spared.
    """
    if sample.doy[date] - sample.doy[earlier] > FAR:
        return None
    pair = in_common(sample, date, earlier)
    if pair is None:
        return None
    now, before = pair
    misfits = {
        0: _misfit(now, before, 0),
        1: min(_misfit(before, now, 1), _misfit(before, _fold(now), 0)),
        -1: min(_misfit(now, before, 1), _misfit(now, _fold(before), 0)),
    }
    best = min(misfits, key=misfits.__getitem__)
    return best if misfits[best] <= TOLERANCE else None


def in_common(
    sample: OpticalSample, date: np.int64, other: np.int64
) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
    """Two (N, 10) int32, the values of two dates in pixels that are clear on both; None where there are too few."""
    both = np.flatnonzero(sample.clear[date] & sample.clear[other])
    if len(both) < MIN_CLEAR:
        return None
    both = both[:: max(1, len(both) // PIXELS)]
    return sample.values[date, both].astype(np.int32), sample.values[other, both].astype(np.int32)


def deviation(low: NDArray[np.int32], high: NDArray[np.int32], offsets: int) -> NDArray[np.float64]:
    """(10,) the bands' median deviations of the lower date's values from the higher date's less so many offsets.

    Where the lower values were cut at 0, any lower value would have fitted as well.
    """
    deviations = low - (high - offsets * OFFSET)
    cut = np.where(low == 0, np.minimum(deviations, 0), deviations)
    medians: NDArray[np.float64] = np.median(cut, axis=0)
    return medians


def _fold(values: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.where(values >= OFFSET, values - OFFSET, values)


def _misfit(low: NDArray[np.int32], high: NDArray[np.int32], offsets: int) -> float:
    return float(np.abs(deviation(low, high, offsets)).max())
