"""What a pixel of a scene of products is: overlaps, offsets, no data, resampling and units."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import CRS, ORIGIN
from mosaic_files import CLEAR, CLOUD, write_raster
from naive_rasters import naive_bilinear, naive_code, naive_power
from one_value_products import read_all, s2_product
from rasterio.warp import transform

from tessera_engine.errors import InputError
from tessera_engine.scene import Window
from tessera_engine.scenes.products import Asset, Found, S1Product, S2Product
from tessera_engine.scenes.reading.product_scene import ProductScene

# One date, several products


def test_the_first_clear_product_of_a_date_is_used(tmp_path):
    left, right = np.array([[1, 1, 0, 0]], bool), np.array([[0, 1, 1, 0]], bool)
    first, second = s2_product(tmp_path, "A", 300, left), s2_product(tmp_path, "B", 400, right)
    for products in ([first, second], [second, first]):
        found = read_all(tmp_path, s2=sorted(products, key=lambda product: product.name))
        np.testing.assert_array_equal(found.s2_valid[0], [[1, 1, 1, 0]])
        np.testing.assert_array_equal(found.s2[0, 0, :3, 0], [300, 300, 400])


def test_overlapping_products_of_a_date_make_one_grid(tmp_path):
    clear = np.ones((4, 6), bool)
    moved = ORIGIN @ Affine.translation(4, -2)
    products = [s2_product(tmp_path, "A", 300, clear), s2_product(tmp_path, "B", 400, clear, transform=moved)]
    scene = ProductScene("test", tmp_path, Found(s2=products))
    assert (scene.grid.width, scene.grid.height) == (10, 6)
    assert scene.grid.transform == ORIGIN @ Affine.translation(0, -2)
    wanted = np.zeros((6, 10), int)
    wanted[:4, 4:], wanted[2:, :6] = 400, 300
    found = scene.read(scene.grid.window)
    np.testing.assert_array_equal(found.s2[0, ..., 3], wanted)
    np.testing.assert_array_equal(found.s2_valid[0], wanted != 0)


@pytest.mark.parametrize(
    ("value", "offset", "wanted"), [(1000, 1000, 0), (1001, 1000, 1), (999, 1000, 999), (2500, 0, 2500)]
)
def test_the_offset_is_subtracted_where_a_value_is_as_large(tmp_path, value, offset, wanted):
    found = read_all(tmp_path, s2=[s2_product(tmp_path, "A", value, np.ones((1, 1), bool), offset)])
    assert (found.s2[0, 0, 0] == wanted).all()
    assert found.s2_valid.all()


def test_no_data_is_never_clear(tmp_path):
    assert not read_all(
        tmp_path, s2=[s2_product(tmp_path, "A", 0, np.ones((1, 1), bool), 1000)]
    ).s2_valid.any()
    product = s2_product(tmp_path, "B", 7, np.ones((1, 1), bool), nodata=7)
    assert not read_all(tmp_path, s2=[product]).s2_valid.any()


# Resampling


def test_20_m_bands_are_bilinear_and_classes_nearest(tmp_path):
    rng = np.random.default_rng(1)
    coarse = rng.integers(1, 5000, (3, 4)).astype(np.uint16)
    coarse[0, 0] = 0
    classes = rng.choice([CLEAR, CLOUD], (3, 4)).astype(np.uint8)
    fine = s2_product(tmp_path, "A", 500, np.ones((6, 8), bool))
    twenty = ORIGIN @ Affine.scale(2)
    swir = Asset(write_raster(tmp_path / "swir.tif", coarse, twenty))
    mask = Asset(write_raster(tmp_path / "classes.tif", classes, twenty))
    found = read_all(tmp_path, s2=[replace(fine, bands={**fine.bands, "B12": swir}, mask=mask)])
    clear = np.kron(classes == CLEAR, np.ones((2, 2), bool))
    np.testing.assert_array_equal(found.s2_valid[0], clear)
    wanted = [
        [naive_bilinear(coarse, (col + 0.5) / 2, (row + 0.5) / 2) for col in range(8)] for row in range(6)
    ]
    np.testing.assert_array_equal(found.s2[0, ..., 9][clear], np.rint(wanted)[clear])
    assert (found.s2[0, ..., 0][clear] == 500).all()


@pytest.mark.parametrize("units", ["power", "amplitude", "db", "code"])
def test_radar_units_become_codes(tmp_path, units):
    rng = np.random.default_rng(2)
    power = rng.uniform(0.01, 1, (4, 5))
    values = {"power": power, "amplitude": np.sqrt(power), "db": 10 * np.log10(power)}.get(units)
    values = rng.integers(1, 9000, (4, 5)).astype(np.int16) if values is None else values.astype(np.float32)
    if units != "code":
        values[0, 0] = np.nan
    here, coarse = (
        write_raster(tmp_path / f"{size}.tif", values, ORIGIN @ Affine.scale(size)) for size in (1, 3)
    )
    for path, size in ((here, 1), (coarse, 3)):
        product = S1Product("A", path, date(2021, 1, 1), "descending", Asset(path), None, units)
        found = read_all(tmp_path, s1=[product])
        assert found.s1_ascending.shape == (0, 4 * size, 5 * size, 2)
        assert not found.s1_descending[..., 1].any()
        powers = np.vectorize(lambda value: np.float32(naive_power(float(value), units)))(values)
        for row, col in np.ndindex(4 * size, 5 * size):
            wanted = naive_code(float(values[row, col]), units) if size == 1 else None
            if wanted is None:
                wanted = naive_code(naive_bilinear(powers, (col + 0.5) / 3, (row + 0.5) / 3), "power")
            assert abs(int(found.s1_descending[0, row, col, 0]) - wanted) <= (size > 1)


def test_units_can_be_given_and_must_be_where_metadata_have_none(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.full((2, 2), 0.1, np.float32))
    product = S1Product("A", path, date(2021, 1, 1), "ascending", Asset(path), None, None)
    with pytest.raises(InputError, match=r"a\.tif .*power, amplitude, db, code as s1_units="):
        ProductScene("test", tmp_path, Found(s1=[product]))
    scene = ProductScene("test", tmp_path, Found(s1=[product]), s1_units="amplitude")
    assert scene.read(scene.grid.window).s1_ascending[0, 0, 0, 0] == naive_code(
        float(np.float32(0.1)), "amplitude"
    )


@given(st.data())
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_windows_of_any_size_give_the_same_where_it_is_resampled(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("zones")
    rng = np.random.default_rng(3)
    x, y = transform(CRS, "EPSG:32632", [500_250], [5_599_800])
    beside = Affine(10, 0, round(x[0]) - 1503, 0, -10, round(y[0]) + 1498)
    values = rng.integers(1, 9000, (300, 300)).astype(np.uint16)
    asset = Asset(write_raster(folder / "a.tif", values, beside, "EPSG:32632"))
    mask = Asset(write_raster(folder / "m.tif", np.full((300, 300), CLEAR, np.uint8), beside, "EPSG:32632"))
    like = write_raster(folder / "like.tif", np.ones((40, 50), np.uint8))
    product = S2Product("A", asset.file, date(2021, 5, 1), dict.fromkeys(s2_names(), asset), mask, 0)
    scene = ProductScene("test", folder, Found(s2=[product]), like=open_grid(like))
    whole = scene.read(scene.grid.window)
    assert whole.s2_valid.all()
    col, row = data.draw(st.integers(0, 49)), data.draw(st.integers(0, 39))
    window = Window(col, row, data.draw(st.integers(1, 50 - col)), data.draw(st.integers(1, 40 - row)))
    part = (0, slice(row, row + window.height), slice(col, col + window.width))
    np.testing.assert_array_equal(scene.read(window).s2[0], whole.s2[part])


def s2_names():
    return ("B04", "B02", "B03", "B08", "B8A", "B05", "B06", "B07", "B11", "B12")


def open_grid(path):
    from tessera_engine.scenes.reading.target import target_of_file

    return target_of_file(path)
