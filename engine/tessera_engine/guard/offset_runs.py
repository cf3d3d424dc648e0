"""Runs of dates that look as if their offset were wrong, in a scene whose other dates don't."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.guard.offset_steps import FAR, deviation, in_common
from tessera_engine.guard.optical_sample import OpticalSample

LEAST_DATES = 4
"""Least number of suspicious dates in a run. In 200 simulated years and a real one with many hazy dates, one run was
longer, and the step at its ends was not that of an offset."""

LEAST_SHARE = 0.5
"""Least share of the suspicious dates that lie in runs: `offset_steps` finds scattered dates."""

BESIDE = 6
"""Each date of a run is compared with so many dates outside the runs, those that are nearest in the year: December is
compared with January too."""

LARGEST = 700.0
MEAN = 350.0
"""Largest deviation from the step in one band, and the largest mean over the bands. At the ends of a long run the
season has changed too, so single bands may differ more than between neighbours."""


def suspicious_runs(
    sample: OpticalSample, order: NDArray[np.int64], suspicious: NDArray[np.bool_], lower: bool
) -> NDArray[np.int64]:
    """Positions of the dates in runs of suspicious dates that are an offset apart from the dates beside them.

    Args:
        sample: the sampled observations.
        order: (D,) positions of the usable dates, by day of year.
        suspicious: (D,) bool, whether a date looks wrong in itself.
        lower: whether the dates of a run are to be lower than the others, otherwise higher.
    """
    runs = np.zeros(len(order), bool)
    places = np.flatnonzero(suspicious)
    # One date between suspicious ones may be hazy, or hold snow
    for run in np.split(places, np.flatnonzero(np.diff(places) > 2) + 1):
        runs[run] = len(run) >= LEAST_DATES
    if runs.sum() < LEAST_SHARE * len(places) or not runs.any():
        return order[:0]
    return order[runs] if _step_fits(sample, order, runs, lower) else order[:0]


def _step_fits(sample: OpticalSample, order: NDArray[np.int64], runs: NDArray[np.bool_], lower: bool) -> bool:
    """Whether the dates of the runs are an offset apart from the dates beside the runs, in all bands."""
    others = order[~runs]
    with_step, without = [], []
    for date in order[runs]:
        days = np.abs(sample.doy[others] - sample.doy[date])
        days = np.minimum(days, 365 - days)
        for place in np.argsort(days, kind="stable")[:BESIDE]:
            pair = in_common(sample, date, others[place]) if days[place] <= FAR else None
            if pair is not None:
                low, high = pair if lower else pair[::-1]
                with_step.append(deviation(low, high, 1))
                without.append(deviation(low, high, 0))
    if not with_step:
        return False
    step, none = (np.abs(np.median(each, axis=0)) for each in (with_step, without))
    return bool(step.max() <= LARGEST and step.mean() <= MEAN and step.mean() < none.mean())
