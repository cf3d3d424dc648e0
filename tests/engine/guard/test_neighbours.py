"""Dates that lie beside the others, and seams: found where they were made, and not in good scenes."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from fake_backend import made_up_facts
from hypothesis import given, settings
from hypothesis import strategies as st
from misplaced import OneBlock, as_real, copied, jumping, misplaced, moved
from places import FLANDERS

from tessera_engine.guard import examine
from tessera_engine.guard.calendar import named_days
from tessera_engine.guard.checks import check_places
from tessera_engine.guard.neighbours import BLOCKS, MOST_DATES, series_of
from tessera_engine.guard.registration import REACH, STEP, correlate, difference, locate, texture
from tessera_engine.guard.seams import _differences
from tessera_engine.scene import Window
from tessera_engine.scenes import open_scene
from tessera_engine.simulate import simulate


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A block of a simulated scene, as blurred and as unsteady as real ones."""
    folder = tmp_path_factory.mktemp("scene") / "scene"
    simulate(folder, 96, 5)
    reader = open_scene(folder).reader
    return as_real(copied(reader.read(reader.grid.window)), 5)


def check(observations, satellites=None, known=(), orbits=None):
    return check_places(OneBlock(observations, satellites, orbits), Window(0, 0, 1, 1), list(known))


def names(observations):
    return [finding.name for finding in check(observations)]


def clear_dates(observations):
    return np.flatnonzero(observations.s2_valid.mean(axis=(1, 2)) > 0.9)


def test_nothing_is_found_in_good_scenes(good):
    assert check(good) == []


def test_nothing_is_found_in_flanders():
    if not FLANDERS.exists():
        pytest.skip("needs the real scene in ../shared/data, which is not there")
    reader = open_scene(FLANDERS).reader
    assert check_places(reader, reader.grid.window, []) == []


@pytest.mark.parametrize(("down", "right", "direction"), [(0, 2, "east"), (-3, 0, "north")])
def test_shifted_radar_dates_are_named(good, down, right, direction):
    dates = [5, 20, 33]
    (finding,) = check(misplaced(good, "s1_descending", dates, down, right))
    assert (finding.name, finding.sure) == ("s1-shift", "certain")
    assert "descending" in finding.found
    assert f"3 of {len(good.s1_descending_doy)} dates" in finding.found
    size = re.search(rf"(\d\.\d) pixels {direction} of", finding.found)
    assert float(size[1]) == pytest.approx(abs(down + right), abs=0.25)
    days = [int(good.s1_descending_doy[t]) for t in dates]
    assert f"days of year {', '.join(map(str, days))}" in finding.found


def test_a_satellite_that_lies_elsewhere_is_named(good):
    days = good.s1_ascending_doy.tolist()
    satellites = {"s1_ascending": {day: ("S1A", "S1C")[i % 2] for i, day in enumerate(days)}}
    dates = range(1, len(days), 2)
    (finding,) = check(misplaced(good, "s1_ascending", dates, 0, -2), satellites)
    assert finding.name == "s1-shift"
    # Which half is right can't be known
    assert ("S1C" in finding.found) != ("S1A" in finding.found)
    half = check(misplaced(good, "s1_ascending", dates, 0, 0.55), satellites)
    assert [each.name for each in half] == ["s1-shift"]
    assert "S1A" in half[0].found
    assert "S1C" in half[0].found


def test_an_orbit_that_lies_elsewhere_is_named(good):
    days = good.s1_ascending_doy.tolist()
    orbits = {"s1_ascending": {day: (15, 15, 88)[i % 3] for i, day in enumerate(days)}}
    (finding,) = check(misplaced(good, "s1_ascending", range(2, len(days), 3), 0, -2), orbits=orbits)
    assert "nearly all dates of relative orbit 88" in finding.found
    (mixed,) = check(misplaced(good, "s1_ascending", [2, 3], 0, -2), orbits=orbits)
    assert "dates of relative orbits 15 and 88" in mixed.found
    assert "nearly" not in mixed.found


def test_one_optical_date_that_lies_elsewhere_is_named(good):
    at = clear_dates(good)[3]
    (finding,) = check(misplaced(good, "s2", [at], 1.4, 1.4))
    assert finding.name == "s2-shift"
    assert f"day of year {good.s2_doy[at]}" in finding.found
    assert "south-east" in finding.found


def test_directions_apart_are_found(good):
    count = len(good.s1_ascending_doy)
    assert names(misplaced(good, "s1_ascending", range(count), 2, 0)) == ["s1-orbit-shift"]
    # Trees and houses lean to the east in one and to the west in the other
    assert names(misplaced(good, "s1_ascending", range(count), 0, 2)) == []


@pytest.mark.parametrize("axis", [0, 1])
def test_a_seam_on_one_date_is_found_where_it_is(good, axis):
    at = clear_dates(good)[4]
    (finding,) = check(jumping(good, "s2", [at], axis, slice(37, None), 400))
    assert (finding.name, finding.sure) == ("s2-seam", "certain")
    assert f"{('row', 'column')[axis]} 37, on day of year {good.s2_doy[at]}" in finding.found


def test_a_seam_on_all_dates_is_likely(good):
    every = range(len(good.s2_doy))
    (finding,) = check(jumping(good, "s2", every, 0, slice(50, None), 300))
    assert (finding.name, finding.sure) == ("s2-seam", "likely")
    assert "row 50" in finding.found


def test_a_stripe_in_radar_is_found_at_both_sides(good):
    (finding,) = check(jumping(good, "s1_ascending", [7], 1, slice(40, 46), 4 * 400))
    assert finding.name == "s1-seam"
    assert "column 40, column 46" in finding.found


def test_sentinel_2_is_not_compared_where_masks_are_wrong(good):
    from tessera_engine.finding import Finding

    at = clear_dates(good)[4]
    wrong = jumping(good, "s2", [at], 0, slice(37, None), 400)
    orbits = {"s2": dict.fromkeys(good.s2_doy.tolist(), 51)}
    assert "(relative orbit 51)" in check(wrong, orbits=orbits)[0].found
    assert check(wrong, known=[Finding("mask-all-clear", "certain", "x")]) == []


def test_small_scenes_are_not_compared(good):
    part = {name: getattr(good, name)[:, :40] for name in ("s2", "s2_valid", "s1_ascending", "s1_descending")}
    assert list(series_of(replace(good, **part))) == []


def test_long_series_are_cut_and_use_each_date_once(good):
    many = {
        "s1_ascending": np.repeat(good.s1_ascending, 3, axis=0),
        "s1_ascending_doy": np.repeat(good.s1_ascending_doy, 3),
    }
    parts = [each for each in series_of(replace(good, **many)) if each.field == "s1_ascending"]
    assert max(len(part.doy) for part in parts) <= MOST_DATES
    assert np.concatenate([part.doy for part in parts]).tolist() == sorted(many["s1_ascending_doy"])


def test_examine_has_these_findings(tmp_path):
    simulate(tmp_path / "scene", 64, 9)
    path = tmp_path / "scene" / "sar_ascending.npy"
    codes = np.load(path)
    codes[10:20] = np.roll(codes[10:20], 2, axis=2)
    np.save(path, codes)
    assert [each.name for each in examine(open_scene(tmp_path / "scene"), made_up_facts())] == ["s1-shift"]


@given(
    st.integers(1, 400), st.integers(1, 400), st.integers(1, BLOCKS), st.integers(0, 50), st.integers(0, 50)
)
def test_blocks_lie_in_the_region_and_touch_all_rows_of_small_ones(width, height, count, col, row):
    from tessera_engine.scenes.reading.blocks import diagonal

    region, side = Window(col, row, width, height), 64
    blocks = list(diagonal(region, side, count))
    assert 1 <= len(blocks) <= count
    assert all(block.intersection(region) == block for block in blocks)
    if max(width, height) <= side * count:
        rows = {r for block in blocks for r in range(block.row, block.row + block.height)}
        cols = {c for block in blocks for c in range(block.col, block.col + block.width)}
        assert len(rows) == height
        assert len(cols) == width


def textured(seed, count=12, side=64):
    rng = np.random.default_rng(seed)
    ground = moved(rng.normal(0, 1, (side, side)).astype(np.float32), 0.5, 0.5)
    return rng, ground, count


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(-3, 3), st.floats(-3, 3))
def test_shifts_are_measured_in_parts_of_pixels(seed, down, right):
    rng, ground, count = textured(seed)
    images = np.stack([ground + rng.normal(0, 0.3, ground.shape) for _ in range(count)]).astype(np.float32)
    images[3] = moved(ground, down, right) + rng.normal(0, 0.3, ground.shape)
    known = np.ones(images.shape, bool)
    found = locate(correlate(texture(images, known)[None]))
    assert np.abs(found.pixels[3] - (down, right)).max() < 0.35
    assert np.abs(np.delete(found.pixels, 3, axis=0)).max() < 0.2


def test_correlations_are_sums_of_products():
    rng = np.random.default_rng(1)
    images = rng.normal(size=(2, 3, 20, 18)).astype(np.float32)
    found = correlate(images)
    for i, j in ((0, 0), (2, -3), (REACH, REACH), (1, 0)):
        inside = np.s_[REACH : 20 - REACH : STEP, REACH : 18 - REACH]
        there = np.s_[REACH + i : 20 - REACH + i : STEP, REACH + j : 18 - REACH + j]
        expected = np.einsum(
            "ftyx,fuyx->tu",
            images[(slice(None), slice(None), *inside)],
            images[(slice(None), slice(None), *there)],
        )
        np.testing.assert_allclose(found[REACH + i, REACH + j], expected, rtol=1e-4, atol=1e-3)
        np.testing.assert_array_equal(found[REACH - i, REACH - j], found[REACH + i, REACH + j].T)


def test_images_without_a_common_texture_have_no_difference():
    rng = np.random.default_rng(2)
    images = rng.normal(size=(1, 2, 64, 64)).astype(np.float32)
    assert difference(correlate(images))[1] < 0.1


def test_texture_is_zero_where_nothing_is_known():
    rng = np.random.default_rng(3)
    images = rng.normal(5, 1, (1, 30, 30)).astype(np.float32)
    known = rng.random((1, 30, 30)) < 0.7
    images[~known] = 1e6
    found = texture(images, known)
    assert (found[~known] == 0).all()
    assert np.abs(found).max() <= 4


@given(st.integers(0, 10_000), st.sampled_from([1, 4]))
def test_differences_of_sides_equal_the_plain_ones(seed, size):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2, 12, 14)).astype(np.float32)
    known = rng.random(values.shape) < (1.0, 0.9)[seed % 2]
    found = _differences(values, known, size)
    for t, s, c in np.ndindex(*found.shape):
        steps = []
        for row in range(3 * s, 3 * s + 3):
            before, after = slice(c - size, c), slice(c, c + size)
            if c - size >= 0 and c + size <= 14 and known[t, row, c - size : c + size].all():
                steps.append(values[t, row, after].mean() - values[t, row, before].mean())
        expected = np.mean(steps) if len(steps) >= 1.5 else np.nan
        np.testing.assert_allclose(found[t, s, c], expected, rtol=1e-4, atol=1e-5)


def test_days_are_dates_where_the_year_is_known():
    season = (date(2017, 12, 1), date(2018, 11, 30))
    assert named_days([335, 60], season) == "2017-12-01, 2018-03-01"
    assert named_days([60], None) == "day of year 60"
    assert "and 3 more" in named_days(range(1, 10), season)
