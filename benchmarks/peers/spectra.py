"""What an embedding has to beat: a year's bands as monthly medians, without any training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.scene import Observations

MONTHS = 12

MONTH_ENDS = np.cumsum([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30])
"""Last day of each month but the last, in leap years; a day too late in others does no harm."""


def months_of(doy: NDArray[np.int32]) -> NDArray[np.int64]:
    """(T,) month 0..11 of days of year 1..366."""
    return np.searchsorted(MONTH_ENDS, doy)


def first_month(observations: Observations) -> int:
    """The month 0..11 in which the year begins: that of the first Sentinel-2 date, which are in time order."""
    return int(months_of(observations.s2_doy[:1])[0])


def monthly_medians(observations: Observations) -> NDArray[np.float32]:
    """(N, 12, 12) median of each month's valid observations, in time order; NaN where a month has none.

    The channels are the ten bands of Sentinel-2 as reflectance * 10000, in TESSERA's order, and VV and VH in decibels
    from both orbits.

    Args:
        observations: (T, N, bands) of N pixels.
    """
    o = observations
    clear = o.s2_valid != 0
    code = np.concatenate([o.s1_ascending, o.s1_descending])
    decibels = (code / 200 - 50) / 2
    s1_month = months_of(np.concatenate([o.s1_ascending_doy, o.s1_descending_doy]))
    months = (first_month(o) + np.arange(MONTHS)) % MONTHS
    found = [
        np.concatenate(
            [
                _median(o.s2[chosen], clear[chosen]),
                _median(decibels[s1_chosen], (code[s1_chosen] != 0).any(axis=-1)),
            ],
            axis=1,
        )
        for chosen, s1_chosen in ((months_of(o.s2_doy) == month, s1_month == month) for month in months)
    ]
    return np.stack(found, axis=1).astype(np.float32)


def _median(values: NDArray, valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, C) over the first axis of what is valid; NaN where nothing is."""
    median = np.full(values.shape[1:], np.nan)
    some = valid.any(axis=0)
    median[some] = np.nanmedian(np.where(valid[..., None], values, np.nan)[:, some], axis=0)
    return median


def filled(medians: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 144) features of (N, 12, 12) medians: a month without data is interpolated between its neighbours."""
    features = medians.copy()
    months = np.arange(MONTHS)
    for pixel in features:
        for channel in pixel.T:
            known = np.isfinite(channel)
            if not known.all():
                channel[:] = np.interp(months, months[known], channel[known]) if known.any() else 0
    return features.reshape(len(features), -1)
