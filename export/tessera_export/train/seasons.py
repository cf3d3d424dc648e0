"""A pixel's year as it was measured, smoothed: the value of each band around the middle of each month.

It is a teacher without weights. An embedding that predicts it contains, for example, when a field was green. Barlow
Twins keep only what two views of a few observations have in common, and lose the rest of the year.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.tokens import PackedTokens, Tokens

MONTHS = 12
YEAR = 365.25
"""Days."""

WIDTH = 15.0
"""Standard deviation of the weights in days. Neighbouring months count too, so that clouds leave no gap."""

FARTHEST = 1e-12
"""Smallest weight of an observation. If a season has no observation, the nearest ones are used."""


def seasons(tokens: PackedTokens) -> NDArray[np.float32]:
    """(N, 144) weighted means of the z-scored bands: month by month the ten of Sentinel-2, then VV and VH likewise.

    Weights are Gaussian in the number of days between an observation and the middle of the month; December is next to
    January. A modality without observations gets zeros, the mean of all.
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
