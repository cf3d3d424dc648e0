"""Spans of polygons beside their naive twin, and beside GDAL."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_shapes import naive_mask

from tessera_kernels import spans
from tessera_kernels.spans import spans_inside

FRAMES = [(0, 0, 12, 9), (-4, -3, 25, 20), (3, 2, 4, 3), (20, 20, 5, 5)]


def random_rings(rng, rings, corners, low=-4.0, high=16.0):
    found = [rng.uniform(low, high, (corners, 2)) for _ in range(rings)]
    return [np.concatenate([ring, ring[:1]]) for ring in found]


def spans_of(rings, frame):
    x, y = np.concatenate(rings).T.copy() if rings else np.zeros((2, 0))
    offsets = np.cumsum([0, *map(len, rings)]).astype(np.int64)
    return spans_inside(np.ascontiguousarray(x), np.ascontiguousarray(y), offsets, frame)


def mask_of(rings, frame):
    found = np.zeros((frame[3], frame[2]), int)
    for row, start, stop in spans_of(rings, frame):
        assert stop > start
        found[row - frame[1], start - frame[0] : stop - frame[0]] += 1
    assert found.max(initial=0) <= 1
    return found.astype(bool)


@given(
    seed=st.integers(0, 2**32),
    rings=st.integers(1, 3),
    corners=st.integers(3, 9),
    frame=st.sampled_from(FRAMES),
)
def test_spans_are_the_pixels_whose_centre_lies_inside(seed, rings, corners, frame):
    drawn = random_rings(np.random.default_rng(seed), rings, corners)
    np.testing.assert_array_equal(mask_of(drawn, frame), naive_mask(drawn, frame))


@given(seed=st.integers(0, 2**32))
def test_polygons_that_share_edges_share_no_pixel_and_leave_none_out(seed):
    # Corners on centres and corners of pixels, so that many edges pass through centres
    rng = np.random.default_rng(seed)
    outline = np.array([(0, 0), (12, 0), (12, 8), (0, 8)], float)
    middle = rng.integers(1, 23, 2) / np.array([2.0, 3.0])
    parts = [np.array([outline[i], outline[(i + 1) % 4], middle, outline[i]]) for i in range(4)]
    covered = sum(mask_of([part], (0, 0, 12, 8)).astype(int) for part in parts)
    assert (covered == 1).all()


def test_corners_on_centres_belong_to_one_side():
    square = np.array([(1.5, 1.5), (4.5, 1.5), (4.5, 3.5), (1.5, 3.5), (1.5, 1.5)])
    np.testing.assert_array_equal(spans_of([square], (0, 0, 9, 9)), [[1, 2, 5], [2, 2, 5]])


def test_the_same_spans_whatever_fits_into_memory(monkeypatch):
    rings = random_rings(np.random.default_rng(3), 2, 60)
    whole = spans_of(rings, FRAMES[1])
    for most in (1, 7, 100):
        monkeypatch.setattr(spans, "MOST_CROSSINGS", most)
        np.testing.assert_array_equal(spans_of(rings, FRAMES[1]), whole)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_coordinate_that_is_no_number_gives_no_pixel(bad):
    ring = np.array([(0, 0), (5, 0), (5, bad), (0, 0)], float)
    assert len(spans_of([ring], (0, 0, 9, 9))) == 0
    assert len(spans_of([], (0, 0, 9, 9))) == 0


def test_far_corners_are_no_problem():
    ring = np.array([(-1e300, -1e300), (1e300, -1e300), (1e300, 1e300), (-1e300, 1e300), (-1e300, -1e300)])
    np.testing.assert_array_equal(spans_of([ring], (0, 0, 3, 2)), [[0, 0, 3], [1, 0, 3]])


def test_gdal_finds_the_same_pixels():
    rasterio_features = pytest.importorskip("rasterio.features")
    shapely = pytest.importorskip("shapely")
    rng = np.random.default_rng(0)
    for corners in range(3, 40):
        (ring,) = random_rings(rng, 1, corners, -5, 45)
        wanted = rasterio_features.rasterize([shapely.Polygon(ring)], (30, 40)).astype(bool)
        np.testing.assert_array_equal(mask_of([ring], (0, 0, 40, 30)), wanted)
