"""A pixel's year as it was measured, smoothed: what each band was around the middle of each month.

A teacher without weights: who can tell it from an embedding hasn't lost when a field was green. Two views of Barlow
Twins share what a few observations tell; the rest of the year goes lost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.tokens import PackedTokens, Tokens

MONTHS = 12
YEAR = 365.25
"""Days."""

WIDTH = 15.0
"""Standard deviation of the weights, days: a month's neighbours have a say, so that clouds leave no gap."""

FARTHEST = 1e-12
"""Weight of any observation at least: where a season has none, the nearest ones speak."""


def seasons(tokens: PackedTokens) -> NDArray[np.float32]:
    """(N, 144) weighted means of the z-scored bands: month by month the ten of Sentinel-2, then VV and VH likewise.

    Weights are Gaussian in the days between an observation and the middle of the month, around the year. A modality
    without any observation has zeros, the mean of all.
    """
    return np.concatenate([_seasons(tokens.s2), _seasons(tokens.s1)], axis=1)


def _seasons(tokens: Tokens) -> NDArray[np.float32]:
    seen = tokens.lengths > 0
    starts = tokens.offsets[:-1][seen]
    found = np.zeros((len(seen), MONTHS, tokens.values.shape[1]), np.float32)
    for month in range(MONTHS):
        days = np.abs(tokens.doy - (month + 0.5) * YEAR / MONTHS)
        weights = np.exp(-0.5 * (np.minimum(days, YEAR - days) / WIDTH) ** 2) + FARTHEST
        total = np.add.reduceat(weights[:, None] * tokens.values, starts)
        found[seen, month] = total / np.add.reduceat(weights, starts)[:, None]
    return found.reshape(len(seen), -1)
