"""The one grid that a scene's products are brought to."""

from __future__ import annotations

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from made_up import CRS
from rasterio.warp import transform_bounds

from tessera_engine.errors import InputError
from tessera_engine.scene import Grid, Window
from tessera_engine.scenes.reading.rasters import Geometry
from tessera_engine.scenes.reading.target import place_on, shift_on, target_of_products

ZONE_32 = "EPSG:32632"


def geometry(left=600_000.0, top=5_600_000.0, width=50, height=40, pixel=10.0, crs=CRS) -> Geometry:
    return Geometry(crs, Affine(pixel, 0, left, 0, -pixel, top), width, height)


def in_zone_32(of: Geometry, metres: int = 0) -> Geometry:
    """A raster of zone 32 around the place of another raster, moved to the east."""
    right, bottom = of.transform @ (of.width, of.height)
    west, south, east, north = transform_bounds(
        of.crs, ZONE_32, of.transform.c, bottom, right, of.transform.f
    )
    left, top = west // 10 * 10 + metres, north // 10 * 10 + 10
    return geometry(left, top, int(east - west) // 10 + 1, int(north - south) // 10 + 1, crs=ZONE_32)


def test_products_on_one_grid_keep_their_pixels():
    one, two = geometry(), geometry(left=600_300.0, top=5_600_200.0)
    grid, elsewhere = target_of_products([one, one, two])
    assert grid == Grid(80, 60, CRS, Affine(10, 0, 600_000, 0, -10, 5_600_200))
    assert elsewhere == set()
    assert shift_on(grid, one) == (0, 20)
    assert place_on(grid, two) == Window(30, 0, 50, 40)


@given(st.integers(0, 99_999), st.integers(0, 99_999))
def test_pixels_may_begin_anywhere(left, top):
    one = geometry(left=600_000 + left / 10_000, top=5_600_000 + top / 10_000)
    grid, _ = target_of_products([one])
    assert (grid.width, grid.height) == (50, 40)
    assert shift_on(grid, one) == (0, 0)


def test_the_zone_with_most_pixels_is_used():
    one = geometry()
    other = in_zone_32(one, 300)
    assert target_of_products([one, one, other]).grid.crs == CRS
    assert target_of_products([one, other, other]).grid.crs == ZONE_32
    grid, elsewhere = target_of_products([one, one, other])
    assert elsewhere == set()
    assert place_on(grid, one) == Window(*shift_on(grid, one), 50, 40)
    place = place_on(grid, other)
    assert place is not None
    assert place.col + place.width == grid.width  # it reaches further east, and the grid with it
    assert 50 < grid.width < 100
    assert shift_on(grid, other) is None


def test_20_m_and_degrees_are_brought_to_10_m_utm():
    assert target_of_products([geometry(pixel=20.0)]).grid.transform.a == 10
    degrees = geometry(left=10.0, top=-20.0, width=100, height=100, pixel=0.0001, crs="EPSG:4326")
    grid = target_of_products([degrees]).grid
    assert (grid.crs, grid.transform.a, grid.transform.e) == ("EPSG:32732", 10, -10)
    assert 100 < grid.width < 120
    feet = geometry(crs="EPSG:2263", left=980_000.0, top=200_000.0)  # New York, in feet
    assert target_of_products([feet]).grid.crs == "EPSG:32618"


def test_a_product_of_another_place_does_not_stretch_the_grid():
    here, beside = geometry(), geometry(left=600_500.0)  # they touch
    far, other_side = geometry(left=700_000.0), geometry(crs="EPSG:32733")
    nowhere = geometry(left=10.0**9, crs="EPSG:3857")
    grid, elsewhere = target_of_products([far, here, here, beside, other_side, nowhere])
    assert (grid.width, grid.height) == (100, 40)
    assert elsewhere == {far, other_side, nowhere}
    for lost in elsewhere:
        assert place_on(grid, lost) is None


@pytest.mark.parametrize(
    "moved",
    [
        geometry(left=600_005.0),
        geometry(pixel=20.0),
        geometry(crs=ZONE_32),
        geometry()._replace(transform=Affine(10, 0.1, 600_000, 0, -10, 5_600_000)),
        geometry()._replace(transform=Affine(10, 0, 600_000, 0, 10, 5_600_000)),
    ],
)
def test_pixels_that_are_not_the_grids_are_resampled(moved):
    assert shift_on(target_of_products([geometry()]).grid, moved) is None


def test_metres_that_are_none_on_the_ground_come_to_the_utm_zone():
    mercator = geometry(334_050.0, 6_542_300.0, crs="EPSG:3857")
    grid, elsewhere = target_of_products([mercator])
    assert grid.crs == CRS
    assert (grid.transform.a, grid.transform.e) == (10, -10)
    assert 31 <= grid.width <= 34  # 50 px of 6.35 m on the ground
    assert elsewhere == set()
    at_the_equator = geometry(334_050.0, 10_000.0, crs="EPSG:3857")
    assert target_of_products([at_the_equator]).grid.crs == CRS


@pytest.mark.parametrize("crs", ["EPSG:25832", "EPSG:3035", "EPSG:2154"])
def test_metres_that_are_metres_on_the_ground_stay(crs):
    left, top = {
        "EPSG:25832": (500_000, 5_600_000),
        "EPSG:3035": (4_321_000, 3_210_000),
        "EPSG:2154": (652_000, 6_862_000),
    }[crs]
    one = geometry(float(left), float(top), crs=crs)
    grid = target_of_products([one]).grid
    assert grid.crs == crs
    assert shift_on(grid, one) == (0, 0)


def test_products_that_are_not_on_earth_are_refused():
    with pytest.raises(InputError, match="not on Earth"):
        target_of_products([geometry(500.0, 300.0, crs="EPSG:4326")])
