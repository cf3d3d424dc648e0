"""Products as one scene: what was written is what is read, whatever grid, date or unit it came in."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from fake_backend import FakeBackend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import CRS, ORIGIN, FakeReader, made_up_arrays, write_tile
from mosaic_files import CLEAR, CLOUD, day_of, write_mosaics, write_raster
from naive_rasters import naive_bilinear, naive_code, naive_power
from rasterio.warp import transform

from tessera_engine import api
from tessera_engine.errors import InputError
from tessera_engine.scene import Observations, Window
from tessera_engine.scenes import open_scene
from tessera_engine.scenes.product_scene import ProductScene
from tessera_engine.scenes.products import Asset, Found, S1Product, S2Product

BANDS = 10


@pytest.fixture(scope="module")
def arrays():
    found = made_up_arrays(11, 9, steps=6)
    for orbit in ("ascending", "descending"):  # one product a day
        days, first = np.unique(found[f"sar_{orbit}_doy"], return_index=True)
        found[f"sar_{orbit}"], found[f"sar_{orbit}_doy"] = found[f"sar_{orbit}"][first], days
    return found


@pytest.fixture(scope="module")
def reader(mosaics):
    return open_scene(mosaics).reader


@pytest.fixture(scope="module")
def mosaics(tmp_path_factory, arrays):
    return write_mosaics(tmp_path_factory.mktemp("mosaics") / "scene", arrays)


def assert_same(found: Observations, wanted: Observations) -> None:
    """Equal, but for what no embedding sees: bands where it isn't clear."""
    np.testing.assert_array_equal(found.s2[found.s2_valid != 0], wanted.s2[wanted.s2_valid != 0])
    for name, value in vars(wanted).items():
        if name != "s2":
            np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)


def test_mosaics_are_found(mosaics, arrays):
    scene = open_scene(mosaics)
    assert scene.reader.layout == "mosaics"
    assert scene.grid == replace(FakeReader(arrays).grid)
    assert scene.reader.dates == FakeReader(arrays).dates
    assert scene.reader.warnings == ()
    days = [day_of(doy) for name in arrays if name.endswith(("doy", "doys")) for doy in arrays[name]]
    assert scene.reader.period == (min(days), max(days))


@given(st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_window_reads_what_the_arrays_have(reader, arrays, data):
    col, row = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 10))
    window = Window(col, row, data.draw(st.integers(1, 9 - col)), data.draw(st.integers(1, 11 - row)))
    assert_same(reader.read(window), FakeReader(arrays).read(window))


@given(st.integers(1, 200), st.integers(0, 8), st.integers(0, 10))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_windows_cover_the_region_once_within_the_limit(reader, max_pixels, col, row):
    region = Window(col, row, 9 - col, 11 - row)
    seen = np.zeros((11, 9), int)
    for window in reader.windows(region, max_pixels):
        assert window.pixels <= max_pixels
        seen[window.row : window.row + window.height, window.col : window.col + window.width] += 1
    wanted = np.zeros((11, 9), int)
    wanted[row:, col:] = 1
    np.testing.assert_array_equal(seen, wanted)


def test_mosaics_embed_like_the_d_pixel_tile_bit_for_bit(tmp_path, mosaics, arrays):
    model = api.Model(FakeBackend(), threads=1)
    tile = write_tile(tmp_path / "tile", arrays)
    for name, scene in (("tile", tile), ("mosaics", mosaics)):
        api.embed(scene, model, tmp_path / f"{name}.out", store="int8")
    for name in ("embeddings.tif", "scales.tif", "observations.tif"):
        with (
            rasterio.open(tmp_path / "tile.out" / name) as a,
            rasterio.open(tmp_path / "mosaics.out" / name) as b,
        ):
            assert (a.crs, a.transform) == (b.crs, b.transform)
            np.testing.assert_array_equal(a.read(), b.read())


def test_a_sample_has_all_bands_also_where_it_is_cloudy(reader):
    sample = reader.sample(Window(0, 0, 9, 11), 16)
    assert sample.s2.shape[1:3] == (4, 4)
    assert (sample.s2 != 0).all()


# One date, several products


def s2_product(folder: Path, name: str, value: int, clear: np.ndarray, offset: int = 0, **place) -> S2Product:
    """A product with one value in all bands, and 20 m bands as files of 10 m."""
    height, width = clear.shape
    asset = Asset(write_raster(folder / f"{name}.tif", np.full((height, width), value, np.uint16), **place))
    mask = write_raster(folder / f"{name}_scl.tif", np.where(clear, CLEAR, CLOUD).astype(np.uint8), **place)
    bands = dict.fromkeys(("B04", "B02", "B03", "B08", "B8A", "B05", "B06", "B07", "B11", "B12"), asset)
    return S2Product(name, asset.file, date(2021, 5, 1), bands, Asset(mask), offset)


def read_all(folder: Path, **found) -> Observations:
    scene = ProductScene("test", folder, Found(**found))
    return scene.read(scene.grid.window)


def test_the_first_clear_product_of_a_date_wins(tmp_path):
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


def test_units_can_be_said_and_have_to_be_where_nothing_does(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.full((2, 2), 0.1, np.float32))
    product = S1Product("A", path, date(2021, 1, 1), "ascending", Asset(path), None, None)
    with pytest.raises(InputError, match="--s1-units power, amplitude, db or code"):
        ProductScene("test", tmp_path, Found(s1=[product]))
    scene = ProductScene("test", tmp_path, Found(s1=[product]), s1_units="amplitude")
    assert scene.read(scene.grid.window).s1_ascending[0, 0, 0, 0] == naive_code(
        float(np.float32(0.1)), "amplitude"
    )


@given(st.data())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    from tessera_engine.scenes.target import target_of_file

    return target_of_file(path)
