"""The compression benchmark's parts: peers' inputs, tried forms, and who is held out together."""

from __future__ import annotations

import numpy as np
import pytest
from peers.presto import NDVI, presto_inputs
from peers.spectra import filled, first_month, monthly_medians, months_of
from places import FLANDERS
from sites import flanders
from small_forms import (
    OFFERED,
    differences,
    found_neighbours,
    four_bits,
    four_bits_centred,
    signs_centred,
)

from tessera_engine.scene import Observations

rng = np.random.default_rng(0)


@pytest.fixture
def observations():
    s1 = rng.integers(6000, 9000, (40, 6, 2)).astype(np.int16)
    s1[rng.random((40, 6)) < 0.3] = 0
    days = (np.arange(60) * 6 + 335 - 1) % 365 + 1  # from December on
    return Observations(
        s2=rng.integers(1, 6000, (60, 6, 10)).astype(np.uint16),
        s2_valid=(rng.random((60, 6)) < 0.4).astype(np.uint8),
        s2_doy=days.astype(np.int32),
        s1_ascending=s1,
        s1_ascending_doy=np.sort(rng.integers(1, 366, 40)).astype(np.int32),
        s1_descending=s1[:0],
        s1_descending_doy=np.empty(0, np.int32),
    )


def test_months_begin_on_their_first_day():
    assert months_of(np.array([1, 31, 32, 60, 335, 336, 366])).tolist() == [0, 0, 1, 1, 10, 11, 11]


def test_monthly_medians_are_medians_of_valid_observations(observations):
    o = observations
    found = monthly_medians(o)
    assert found.shape == (6, 12, 12)
    start = first_month(o)
    assert start == months_of(o.s2_doy)[0]
    for pixel in range(6):
        for step in range(12):
            month = (start + step) % 12
            dates = [t for t in range(60) if months_of(o.s2_doy)[t] == month and o.s2_valid[t, pixel] == 1]
            passes = [
                t
                for t in range(40)
                if months_of(o.s1_ascending_doy)[t] == month and o.s1_ascending[t, pixel].any()
            ]
            for values, chosen, channels in (
                (o.s2, dates, slice(0, 10)),
                ((o.s1_ascending / 200 - 50) / 2, passes, slice(10, 12)),
            ):
                expected = np.median(values[chosen, pixel], axis=0) if chosen else np.nan
                np.testing.assert_allclose(found[pixel, step, channels], expected, rtol=1e-6)
    assert np.isnan(found).any()
    features = filled(found).reshape(6, 12, 12)
    known = np.isfinite(found)
    np.testing.assert_array_equal(features[known], found[known])
    assert np.isfinite(features).all()


def test_presto_gets_its_bands_in_its_order_and_units():
    # TESSERA's order: B04 B02 B03 B08 B8A B05 B06 B07 B11 B12, then VV VH
    medians = np.arange(12, dtype=np.float32).reshape(1, 1, 12).repeat(12, axis=1) * 100
    medians[..., 10:] = -25, -12.5
    medians[0, 3, :10] = np.nan
    x, mask = presto_inputs(medians)
    expected = [0, 0.5, 0.01, 0.02, 0, 0.05, 0.06, 0.07, 0.03, 0.04, 0.08, 0.09]
    np.testing.assert_allclose(x[0, 0, :12], expected, atol=1e-6)
    assert x[0, 0, NDVI] == 1  # no red at all
    assert (mask[0, 0] == ([0] * 12 + [1] * 4 + [0])).all()
    assert (mask[0, 3] == ([0] * 2 + [1] * 14 + [1])).all()
    assert (x[mask == 1] == 0).all()


def test_four_bits_are_within_half_a_step():
    embedding = rng.normal(3, 1, (50, 128)).astype(np.float32)
    for back, original in (
        (four_bits(embedding), embedding),
        (four_bits_centred(embedding) - embedding.mean(axis=0), embedding - embedding.mean(axis=0)),
    ):
        step = np.abs(original).max(axis=1, keepdims=True) / 7
        assert (np.abs(back - original) <= step / 2 + 1e-5).all()
        levels = np.rint(back / step)
        assert len(np.unique(levels)) <= 15
    assert set(np.unique(signs_centred(embedding))) == {-1, 1}


def test_differences_of_neighbours_are_of_one_row_and_lose_nothing():
    codes = rng.integers(-128, 128, (6, 3)).astype(np.int8)
    found = differences(codes, 2)
    assert found.shape == (3, 3, 2)
    np.testing.assert_array_equal(found.cumsum(axis=2, dtype=np.int8).reshape(3, 6).T, codes)


def test_every_offered_form_gives_its_values_back_and_takes_fewer_bytes_compressed():
    words = rng.normal(size=(5, 128)).astype(np.float32)
    fields = np.repeat(np.repeat(rng.integers(0, 5, (4, 4)), 8, axis=0), 8, axis=1)
    embedding = words[fields.ravel()] + rng.normal(0, 1e-3, (32 * 32, 128)).astype(np.float32)
    for form in OFFERED:
        back = form.back(embedding, 32)
        assert back.shape == (32 * 32, int(form.name.split()[1]))
        assert np.abs(back - embedding[:, : back.shape[1]]).max() < 0.03
        # In so small a tile codebooks take most of the bytes, as many as in a whole one
        scale = 512**2 / 32**2 if form.whole else 1
        assert 0 < form.size(embedding, 32) / 32**2 < scale * form.bytes_per_pixel


def test_neighbours_are_found_by_what_keeps_their_order():
    embedding = rng.normal(size=(400, 16)).astype(np.float32)
    assert found_neighbours(embedding, embedding * 2) == 1
    noise = rng.normal(size=(400, 16)).astype(np.float32)
    assert found_neighbours(embedding, noise) < 0.1
    signs = signs_centred(embedding)
    assert found_neighbours(embedding, signs) < found_neighbours(embedding, signs, rerank=True)


@pytest.mark.skipif(not FLANDERS.exists(), reason="the Flanders scene isn't there")
def test_parcels_of_flanders_are_held_out_as_a_whole():
    site = flanders(FLANDERS)
    cover, by_block, by_parcel = site.tasks
    assert len(cover.y) == 64 * 64
    assert len(np.unique(cover.groups)) == 16
    # Two crops are one parcel each
    assert set(by_parcel.y) == {"1200", "7900", "9120"}
    assert len(np.unique(by_parcel.groups)) == 4 + 4 + 9
    for parcel in np.unique(by_parcel.groups):
        assert len(set(by_parcel.y[by_parcel.groups == parcel])) == 1
    np.testing.assert_array_equal(by_block.pixels, by_parcel.pixels)
