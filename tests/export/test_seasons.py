"""What a pixel was month by month, held against sums written out."""

import math

import numpy as np
import pytest
from random_networks import made_up_tokens

from tessera_engine.tokens import PackedTokens, Tokens
from tessera_export.train.seasons import seasons


def naive(values, doy):
    found = []
    for month in range(12):
        total, weights = np.zeros(values.shape[1]), 0.0
        for value, day in zip(values, doy, strict=True):
            apart = abs(day - (month + 0.5) * 365.25 / 12)
            apart = min(apart, 365.25 - apart)
            weight = math.exp(-((apart / 15) ** 2) / 2) + 1e-12
            total += weight * value
            weights += weight
        found.append(total / weights)
    return np.concatenate(found)


def test_seasons_are_their_naive_twin():
    packed = made_up_tokens("v2", pixels=9)
    found = seasons(packed)
    assert found.shape == (9, 144)
    for pixel in range(9):
        parts = []
        for tokens in (packed.s2, packed.s1):
            own = slice(tokens.offsets[pixel], tokens.offsets[pixel + 1])
            parts.append(naive(tokens.values[own].astype(np.float64), tokens.doy[own].tolist()))
        np.testing.assert_allclose(found[pixel], np.concatenate(parts), rtol=1e-4, atol=1e-5)


def of_days(days, lengths):
    """Tokens whose values are their numbers, in all bands."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ones = np.ones(len(days), np.float32)
    parts = []
    for bands in (10, 2):
        values = np.repeat(np.arange(len(days), dtype=np.float32)[:, None], bands, axis=1)
        parts.append(Tokens(values, np.array(days, np.int32), ones, offsets))
    return PackedTokens(*parts)


def test_the_nearest_speak_where_a_season_has_none():
    """The end of December is near to January; pixels without any observation have the mean, wherever they stand."""
    found = seasons(of_days([1, 60, 355, 200], [0, 3, 0, 1, 0])).reshape(5, -1)
    assert (found[[0, 2, 4]] == 0).all()
    assert found[3] == pytest.approx(3.0)  # the only one speaks for all months
    s2 = found[1][:120].reshape(12, 10)
    assert s2[4] == pytest.approx(1.0, abs=0.01)  # May, of day 60
    december = 11.5 * 365.25 / 12
    last, first = (math.exp(-((days / 15) ** 2) / 2) for days in (355 - december, 365.25 + 1 - december))
    assert s2[11] == pytest.approx(
        2 * last / (last + first), rel=1e-4
    )  # day 1 is near, too, whose value is 0
