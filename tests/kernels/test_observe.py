"""Kernels of `observe` against their naive twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import (
    naive_draw_v1_0,
    naive_multiplicity,
    naive_sequence_v1_1,
    naive_tokens_s1,
    naive_tokens_s2,
    naive_zscore,
)

from tessera_kernels import observe

MEAN, STD = (1600.0, 3000.0), (2000.0, 1700.0)
MEAN_B, STD_B = (5900.0, 3400.0), (1500.0, 1530.0)


def series(values, valid, doy, mean=MEAN, std=STD):
    doy = np.asarray(doy, np.int32)
    doy = doy[:, None] if doy.ndim == 1 else doy
    return observe.Series(
        np.ascontiguousarray(values),
        np.ascontiguousarray(valid, np.uint8),
        np.ascontiguousarray(doy),
        np.array(mean, np.float32),
        np.array(std, np.float32),
    )


def made_up(rng, steps, pixels, clear, dtype=np.uint16):
    values = rng.integers(0, 12_000, (steps, pixels, 2)).astype(dtype)
    return values, (rng.random((steps, pixels)) < clear).astype(np.uint8), rng.integers(1, 367, steps)


@given(
    st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 5, 60, 300, 520]), st.sampled_from([0.0, 0.1, 0.6, 1.0])
)
@settings(max_examples=30)
def test_one_series_equals_the_naive_twin(seed, steps, clear):
    rng = np.random.default_rng(seed)
    values, valid, doy = made_up(rng, steps, 7, clear)
    # (T, 2) instead of ten bands: the twin's z-score takes any number
    counts = observe.count_valid(valid)
    np.testing.assert_array_equal(counts, (valid != 0).sum(axis=0))
    first = series(values, valid, doy)
    empty = series(values[:0], valid[:0], doy[:0])
    pixels = np.array([3, 0, 6, 2], np.int64)
    out = observe.pack(first, empty, pixels, counts[pixels])
    assert_pixels(out, [naive_tokens_s2(values[:, p], valid[:, p], doy, MEAN, STD) for p in pixels])


@given(st.integers(0, 2**32 - 1), st.sampled_from([(0, 0), (0, 9), (30, 0), (45, 50), (180, 170)]))
@settings(max_examples=30)
def test_two_series_equal_the_naive_twin(seed, steps):
    rng = np.random.default_rng(seed)
    pixels = 5
    values, doys = [], []
    for n in steps:
        value, gone, doy = made_up(rng, n, pixels, 0.3, np.int16)
        value[gone != 0] = 0
        value[rng.random((n, pixels)) < 0.2, 0] = 0  # one channel missing: the observation still counts
        values.append(value)
        doys.append(doy)
    masks = [observe.any_channel(value) for value in values]
    for value, mask in zip(values, masks, strict=True):
        np.testing.assert_array_equal(mask, (value != 0).any(axis=2))
    counts = observe.count_valid(masks[0]) + observe.count_valid(masks[1])
    out = observe.pack(
        series(values[0], masks[0], doys[0]),
        series(values[1], masks[1], doys[1], MEAN_B, STD_B),
        np.arange(pixels),
        counts,
    )
    twins = [
        naive_tokens_s1(values[0][:, p], doys[0], values[1][:, p], doys[1], MEAN, STD, MEAN_B, STD_B)
        for p in range(pixels)
    ]
    assert_pixels(out, twins)


@st.composite
def series_of_any_shape(draw, pixels):
    """Values, a mask of any non-zero bytes, and days of year shared or a pixel's own."""
    steps = draw(st.integers(0, 300) | st.integers(0, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.uint16, np.int16]))
    values = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (steps, pixels, 2), dtype, endpoint=True)
    valid = (rng.random((steps, pixels)) < draw(st.floats(0, 1))) * rng.integers(1, 256, (steps, pixels))
    doy = rng.integers(1, 367, (steps, pixels) if draw(st.booleans()) else (steps, 1))
    return values, valid.astype(np.uint8), doy


@given(st.data(), st.integers(0, 9))
@settings(max_examples=60)
def test_packing_equals_the_naive_twin_whatever_the_shapes(data, pixels):
    values, valid, doy = data.draw(series_of_any_shape(pixels))
    counts = observe.count_valid(valid)
    chosen = np.array(data.draw(st.lists(st.integers(0, pixels - 1), max_size=9)) if pixels else [], np.int64)
    out = observe.pack(
        series(values, valid, doy), series(values[:0], valid[:0], doy[:0]), chosen, counts[chosen]
    )
    days = np.broadcast_to(doy, valid.shape)
    assert_pixels(out, [naive_tokens_s2(values[:, p], valid[:, p], days[:, p], MEAN, STD) for p in chosen])


def assert_pixels(out, twins):
    values, doy, multiplicity, offsets = out
    np.testing.assert_array_equal(np.diff(offsets), [len(twin[1]) for twin in twins])
    for i, twin in enumerate(twins):
        tokens = slice(offsets[i], offsets[i + 1])
        np.testing.assert_array_equal(values[tokens], twin[0])
        np.testing.assert_array_equal(doy[tokens], twin[1])
        np.testing.assert_array_equal(multiplicity[tokens], twin[2])


@pytest.mark.parametrize("n", [*range(1, 34), *range(240, 300), 511, 512, 1000])
def test_every_count_has_the_naive_multiplicities(n):
    values = np.arange(1, n + 1, dtype=np.uint16)[:, None, None].repeat(2, axis=2)
    valid = np.ones((n, 1), np.uint8)
    doy = np.arange(n) % 366 + 1
    got, _, multiplicity, _ = observe.pack(
        series(values, valid, doy, (0.0, 0.0), (1.0, 1.0)),
        series(values[:0], valid[:0], doy[:0]),
        np.zeros(1, np.int64),
        np.array([n], np.int32),
    )
    positions, repeats = naive_multiplicity(n)
    np.testing.assert_array_equal(got[:, 0], positions + 1)
    np.testing.assert_array_equal(multiplicity, repeats)
    assert multiplicity.sum() == min(256, -(-n // 8) * 8)


@pytest.mark.parametrize("n", [*range(1, 34), *range(250, 300), 511, 512, 1000])
def test_every_count_has_v1_1s_sequence(n):
    """The tokens in order, and then each as often again as it stands more than once: that is the whole sequence."""
    values = np.arange(n, dtype=np.uint16)[:, None, None].repeat(2, axis=2)
    got, _, multiplicity, _ = observe.pack(
        series(values, np.ones((n, 1), np.uint8), np.ones(n), (0.0, 0.0), (1.0, 1.0)),
        series(values[:0], np.ones((0, 1), np.uint8), np.ones(0)),
        np.zeros(1, np.int64),
        np.array([n], np.int32),
        "v1.1",
    )
    positions = got[:, 0].astype(int)
    found = [*positions, *np.repeat(positions, multiplicity.astype(int) - 1)]
    assert found == naive_sequence_v1_1(n)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(0, 0), (0, 9), (30, 0), (20, 21), (45, 50), (180, 170)]))
@settings(max_examples=30)
def test_v1_0_draws_forty_of_a_pixels_own(seed, steps):
    rng = np.random.default_rng(seed)
    pixels, values, masks, doys = 5, [], [], []
    for n in steps:
        value, mask, doy = made_up(rng, n, pixels, 0.7, np.int16)
        values.append(value)
        masks.append(mask)
        doys.append(np.sort(doy).astype(np.int32))
    counts = observe.count_valid(masks[0]) + observe.count_valid(masks[1])
    statistics = ((MEAN, STD), (MEAN_B, STD_B))
    parts = [series(v, m, d, *s) for v, m, d, s in zip(values, masks, doys, statistics, strict=True)]
    order = rng.permutation(pixels)
    got, days, multiplicity, offsets = observe.pack(*parts, order, counts[order], "v1.0")
    for i, p in enumerate(order):
        tokens = slice(offsets[i], offsets[i + 1])
        if counts[p] == 0:
            assert (got[tokens] == 0).all()
            assert (days[tokens].tolist(), multiplicity[tokens].tolist()) == ([0], [40])
            continue
        valid = [m[:, p] != 0 for m in masks]
        raw = np.concatenate([v[ok, p] for v, ok in zip(values, valid, strict=True)])
        day = np.concatenate([d[ok] for d, ok in zip(doys, valid, strict=True)])
        scaled = np.concatenate(
            [naive_zscore(v[ok, p], *s) for v, ok, s in zip(values, valid, statistics, strict=True)]
        )
        chosen = np.array(naive_draw_v1_0(raw, day))
        chosen = chosen[np.argsort(day[chosen], kind="stable")]
        np.testing.assert_array_equal(np.repeat(days[tokens], multiplicity[tokens].astype(int)), day[chosen])
        np.testing.assert_array_equal(
            np.repeat(got[tokens], multiplicity[tokens].astype(int), 0), scaled[chosen]
        )


def test_v1_0_draws_each_observation_as_often_as_another():
    rng = np.random.default_rng(0)
    pixels, steps = 4000, 60
    values = rng.integers(0, 12_000, (steps, pixels, 2)).astype(np.uint16)
    everything = np.ones((steps, pixels), np.uint8)
    doy = np.arange(1, steps + 1)
    packed = {
        n: observe.pack(
            series(values[:n], everything[:n], doy[:n]),
            series(values[:0], everything[:0], doy[:0]),
            np.arange(pixels),
            np.full(pixels, n, np.int32),
            "v1.0",
        )
        for n in (steps, 12)
    }
    for n, (_, days, multiplicity, _) in packed.items():
        drawn = np.bincount(days, weights=multiplicity, minlength=n + 1)[1:]
        expected = 40 * pixels / n
        assert drawn.sum() == 40 * pixels
        assert np.abs(drawn / expected - 1).max() < 5 / np.sqrt(expected)


def test_pixels_with_dates_of_their_own_get_them():
    rng = np.random.default_rng(0)
    values, valid, _ = made_up(rng, 12, 4, 0.5)
    doy = rng.integers(1, 367, (12, 4)).astype(np.int32)
    counts = observe.count_valid(valid)
    out = observe.pack(
        series(values, valid, doy), series(values[:0], valid[:0], doy[:0]), np.arange(4), counts
    )
    assert_pixels(out, [naive_tokens_s2(values[:, p], valid[:, p], doy[:, p], MEAN, STD) for p in range(4)])


def test_no_pixels_give_no_tokens():
    values, valid, doy = made_up(np.random.default_rng(0), 5, 3, 0.5)
    out = observe.pack(
        series(values, valid, doy),
        series(values[:0], valid[:0], doy[:0]),
        np.empty(0, np.int64),
        np.empty(0, np.int32),
    )
    assert [len(part) for part in out] == [0, 0, 0, 1]


@pytest.mark.parametrize("wrong", ["valid", "doy", "mean", "pixels"])
def test_shapes_that_disagree_are_refused(wrong):
    values, valid, doy = made_up(np.random.default_rng(0), 5, 3, 0.5)
    good = series(values, valid, doy)
    empty = series(values[:0], valid[:0], doy[:0])
    pixels = np.arange(3)
    if wrong == "pixels":
        with pytest.raises(ValueError, match="one length"):
            observe.pack(good, empty, pixels, np.ones(2, np.int32))
        return
    bad = good._replace(**{wrong: getattr(good, wrong)[:-1]})
    with pytest.raises(ValueError, match=f"{wrong} has shape"):
        observe.pack(bad, empty, pixels, np.ones(3, np.int32))
