"""The year's weather: how wet the soil is, and on which days the satellites passed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.simulate.climate import ATLANTIC, Climate
from tessera_engine.simulate.noise import Stream, generator

DAYS = 365
S2_DATES = 70
S1_REPEAT = 6
"""Days between two passes of one Sentinel-1 orbit."""


def soil_moisture(seed: int, climate: Climate = ATLANTIC) -> NDArray[np.float32]:
    """(366,) moisture of the top soil by day of year, 0 dry .. 1 wet; entry 0 is unused."""
    rng = generator(seed, Stream.WEATHER)
    wet = [climate.through_the_year(climate.wet_days, i - 60) for i in range(DAYS + 61)]
    rain = rng.exponential(1.0, DAYS + 61) * (rng.random(DAYS + 61) < wet)
    moisture = np.zeros(DAYS + 61)
    for i in range(1, DAYS + 61):
        # after two months the start has no effect; soil dries faster in summer
        drying = 0.93 - 0.13 * climate.summer(i - 60)
        moisture[i] = moisture[i - 1] * drying + (1 - moisture[i - 1]) * min(0.17 * rain[i], 0.9)
    return moisture[60:].astype(np.float32)


def s2_days(seed: int, climate: Climate = ATLANTIC) -> NDArray[np.uint16]:
    """(70,) days with a Sentinel-2 product: two orbits pass every five days each, and many dates are dropped."""
    rng = generator(seed, Stream.WEATHER, 1)
    start = rng.integers(1, 6)
    days = np.sort(np.concatenate([np.arange(start, DAYS + 1, 5), np.arange(start % 5 + 2, DAYS + 1, 5)]))
    days = np.unique(days)
    # fully clouded products are often missing, more of them in winter
    weight = np.array([0.7 + 0.6 * climate.summer(int(day)) for day in days])
    kept = rng.choice(days, S2_DATES, replace=False, p=weight / weight.sum())
    return np.sort(kept).astype(np.uint16)


def s1_days(seed: int, orbit: int) -> NDArray[np.uint16]:
    """Days with a Sentinel-1 pass; `orbit` 0 is ascending, 1 descending, some days apart."""
    start = 1 + (int(generator(seed, Stream.WEATHER, 2).integers(S1_REPEAT)) + 2 * orbit) % S1_REPEAT
    return np.arange(start, DAYS + 1, S1_REPEAT).astype(np.uint16)
