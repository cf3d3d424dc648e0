"""Boxes and points in degrees: the pixels that they touch, and what is said where they touch none."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from made_up import CRS, ORIGIN
from rasterio.warp import transform

from tessera_engine.errors import InputError
from tessera_engine.geo import (
    bounding_box,
    footprint,
    pixels_at,
    point_outside,
    where_it_lies,
    window_of_bbox,
    window_touched,
)
from tessera_engine.scene import Grid, Window

GRID = Grid(200, 100, CRS, ORIGIN)
WEST, SOUTH, EAST, NORTH = bounding_box(footprint(GRID))
LON, LAT = (WEST + EAST) / 2, (SOUTH + NORTH) / 2
CORNERS = [f"{value:g}" if value == 3 else f"{value:.6f}".rstrip("0") for value in (WEST, SOUTH, EAST, NORTH)]


def refused(bbox, grid=GRID):
    with pytest.raises(InputError) as caught:
        window_of_bbox(grid, bbox)
    return str(caught.value)


def test_a_box_is_the_pixels_that_it_touches():
    assert window_of_bbox(GRID, (WEST - 1, SOUTH - 1, EAST + 1, NORTH + 1)) == GRID.window
    (x,), (y,) = transform("EPSG:4326", CRS, [LON], [LAT])
    col, row = map(int, ~ORIGIN @ (x, y))
    window = window_of_bbox(GRID, (LON, LAT, LON + 1e-6, LAT + 1e-6))
    assert window.intersection(Window(col, row, 1, 1)) is not None
    assert window.pixels <= 4


def test_a_box_beside_the_scene_gets_the_footprint():
    message = refused((WEST + 1, SOUTH, EAST + 1, NORTH))
    assert "beside" in message
    assert " ".join(CORNERS) in message
    assert "swapped" not in message


def test_swapped_latitude_and_longitude_are_named():
    message = refused((SOUTH, WEST, NORTH, EAST))
    assert "swapped" in message
    # First the box as it should be, then the footprint, which is the same here
    assert message.count(" ".join(CORNERS)) == 2
    # A box beside the scene doesn't become one in it when it is swapped
    assert "swapped" not in refused((SOUTH, WEST + 5, NORTH, EAST + 5))


@pytest.mark.parametrize(
    "bbox", [(3.1, 50, 3, 51), (3, 51, 4, 50), (3, 50, 4), (3, -100, 4, 51), (np.nan,) * 4]
)
def test_what_is_no_box_is_named_with_the_footprint(bbox):
    message = refused(bbox)
    assert "west, south, east, north" in message
    assert " ".join(CORNERS) in message


def test_a_box_on_the_other_side_of_the_earth_touches_nothing():
    for bbox in ((-177, -51, -176, -50), (93, 0, 94, 1), (-180, -90, -179, -89)):
        assert window_touched(GRID, bbox) is None
        assert "beside" in refused(bbox)


@pytest.mark.parametrize(("crs", "left"), [("EPSG:32760", 818_970), ("EPSG:32701", 180_000)])
def test_a_box_across_180_degrees_is_the_one_that_the_item_has(crs, left):
    grid = Grid(200, 100, crs, Affine(10, 0, left, 0, -10, 8_118_480))
    west, south, east, north = bounding_box(footprint(grid))
    assert west > east
    assert window_of_bbox(grid, (west, south, east, north)) == grid.window
    middle = (south + north) / 2
    assert window_of_bbox(grid, (west, middle, 180, north)).width < grid.width
    assert window_of_bbox(grid, (-180, south, east, middle)).width < grid.width


def test_without_a_crs_a_window_is_asked_for():
    assert "window=" in refused((3, 50, 4, 51), Grid(5, 4))
    assert "isn't known" in where_it_lies(Grid(5, 4))


def test_points_lie_in_their_pixels_or_outside():
    rng = np.random.default_rng(0)
    cols, rows = rng.integers(0, 200, 50), rng.integers(0, 100, 50)
    lon, lat = transform(CRS, "EPSG:4326", *(ORIGIN @ np.stack([cols + 0.5, rows + 0.5])))
    found = pixels_at(GRID, [*lon, 100, np.inf], [*lat, -30, 0])
    np.testing.assert_array_equal(found[0][:50], cols)
    np.testing.assert_array_equal(found[1][:50], rows)
    assert (found[0][50:] == -1).all()


def test_a_point_outside_gets_the_footprint_and_a_swapped_one_is_named():
    message = str(point_outside(GRID, LON + 1, LAT, "x.embeddings"))
    assert "x.embeddings" in message
    assert " ".join(CORNERS) in message
    assert "swapped" not in message
    message = str(point_outside(GRID, LAT, LON))
    assert f"swapped, give {LON} {LAT}" in message
