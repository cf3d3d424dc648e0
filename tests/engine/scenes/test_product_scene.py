"""Products as one scene: what was written is read, whatever the grid, date or unit."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from fake_backend import FakeBackend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import ORIGIN, FakeReader, made_up_arrays, write_tile
from mosaic_files import CLEAR, day_of, write_mosaics, write_raster, write_s2_mosaic
from one_value_products import read_all, s2_product

from tessera_engine import api
from tessera_engine.errors import InputError
from tessera_engine.running import loading
from tessera_engine.scene import Observations, Window
from tessera_engine.scenes import open_scene
from tessera_engine.scenes.metadata.satellites import relative_orbit_of, satellites_of
from tessera_engine.scenes.products import Found, Problem, S1Product
from tessera_engine.scenes.reading.product_scene import ProductScene


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
    """Equal, except for the bands of observations that aren't clear: these have no effect on embeddings."""
    np.testing.assert_array_equal(found.s2[found.s2_valid != 0], wanted.s2[wanted.s2_valid != 0])
    for name, value in vars(wanted).items():
        if name not in ("s2", "days"):
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
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_window_reads_what_the_arrays_have(reader, arrays, data):
    col, row = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 10))
    window = Window(col, row, data.draw(st.integers(1, 9 - col)), data.draw(st.integers(1, 11 - row)))
    assert_same(reader.read(window), FakeReader(arrays).read(window))


@given(st.integers(1, 200), st.integers(0, 8), st.integers(0, 10))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    model = loading.Model(FakeBackend(), threads=1)
    tile = write_tile(tmp_path / "tile", arrays)
    for name, scene in (("tile", tile), ("mosaics", mosaics)):
        api.embed(scene, model, tmp_path / f"{name}.out", stored_as="int8")
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


def test_the_block_around_a_sample_is_read_once(reader, monkeypatch):
    region = Window(0, 0, 9, 11)
    ((window, alone),) = reader.blocks(region, 4)
    assert window == region
    reads = []
    read_all = reader._read_all
    monkeypatch.setattr(
        reader, "_read_all", lambda *given, **how: reads.append(given) or read_all(*given, **how)
    )
    reader.sample(region, 16)
    ((again, block),) = reader.blocks(region, 4)
    assert (again, len(reads)) == (window, 1)
    np.testing.assert_array_equal(block.s2, alone.s2)


@pytest.mark.parametrize(
    ("name", "stated", "orbit"),
    [
        ("S2A_MSIL2A_20210104T105031_N0500_R051_T31UES_20230101T000000", None, 51),
        ("S2B_MSIL2A_20210104T105031_R008_T31UES_20230101T000000", None, 8),
        ("S1A_IW_GRDH_1SDV_20210105T055837_20210105T055902_035999_04379D_rtc", None, 52),
        ("S1B_IW_GRDH_1SDV_20210105T055837_20210105T055902_025035_02FACD_rtc", None, 159),
        ("S1C_IW_GRDH_1SDV_20250405T055837_20250405T055902_001999_04379D_rtc", None, None),
        ("S1C_IW_GRDH_1SDV_20250405T055837_20250405T055902_001999_04379D_rtc", 110, 110),
        ("OPERA_L2_RTC-S1_T069-147170-IW1_20220101T000000Z_S1A_30_v1.0", None, 69),
        ("S1A_20210105_VV.tif", None, None),
    ],
)
def test_relative_orbits_are_known_from_names_and_metadata(name, stated, orbit):
    product = S1Product(name, Path(name), date(2021, 1, 5), "ascending", None, None, None, None, stated)
    assert relative_orbit_of(product) == orbit


def test_satellites_are_known_from_names():
    def product(name, day):
        return S1Product(name, Path(name), date(2021, 5, day), "ascending", None, None, "power")

    first = [product("S1A_IW_x", 1), product("S1A_IW_y", 1), product("s1c-iw-z", 2), product("S1A_IW_x", 3)]
    rest = [product("S1B_IW_x", 3), product("orbit 5", 4), product("OPERA_L2_RTC-S1_T1_S1B_30_v1", 5)]
    found = satellites_of([*first, *rest])
    assert found == {121: "S1A", 122: "S1C", 125: "S1B"}


# What can't be used


def broken(folder: Path, n: int) -> str:
    """Spoil one file of a mosaic; returns a part of the reason to expect."""
    red = next(folder.glob("data_raw/red/*.tiff"))
    kind = n % 10
    if kind == 0:
        red.write_bytes(b"")
        return "can't be read as a raster"
    if kind == 1:
        red.write_text("this is no raster")
        return "can't be read as a raster"
    if kind == 2:
        red.write_bytes(red.read_bytes()[:-40])
        return f"red/{red.name} is truncated"
    if kind == 3:
        red.unlink()
        return "has no mosaic of red"
    if kind == 4:
        write_raster(red, np.ones((40, 40), np.float32))
        return "has float32 values, expected whole numbers"
    if kind == 5:
        write_raster(red, np.ones((40, 40), np.uint16), crs="EPSG:32733")
        return f"red/{red.name} is in EPSG:32733, expected EPSG:32631"
    if kind == 6:
        write_raster(red, np.ones((40, 40), np.uint16), crs=None)
        return "has no CRS"
    if kind == 7:
        for path in folder.glob("data_raw/*/*.tiff"):
            write_raster(
                path, np.ones((40, 40), np.uint8 if "scl" in str(path) else np.uint16), crs="EPSG:32733"
            )
        return "(in EPSG:32733)"
    if kind == 8:
        for path in [*folder.glob("data_raw/*/*.tiff")]:
            path.rename(path.with_name("2021-13-01_mosaic.tiff"))
        return "2021-13-01"
    red.unlink()
    red.symlink_to("/etc/hostname")
    return "out of the scene folder"


def test_100_broken_products_are_named_once_and_the_good_ones_used(tmp_path):
    rng = np.random.default_rng(4)
    bands = rng.integers(1, 5000, (40, 40, 10)).astype(np.uint16)
    scl = np.full((40, 40), CLEAR, np.uint8)
    for n in range(12):
        write_s2_mosaic(tmp_path / "scene" / "good", date(2021, 6, 1) + timedelta(days=n), bands, scl)
    reasons = []
    for n in range(100):
        folder = tmp_path / "scene" / f"bad{n:03d}"
        write_s2_mosaic(folder, date(2021, 1, 1) + timedelta(days=n), bands, scl)
        reasons.append((f"bad{n:03d}", broken(folder, n)))
    scene = open_scene(tmp_path / "scene")
    assert scene.reader.dates.s2 == tuple(range(152, 164))
    found = scene.reader.read(scene.grid.window)
    assert (found.s2 == bands).all()
    assert found.s2_valid.all()
    for name, reason in reasons:
        named = [f"{each.source}/ {each.reason}" for each in scene.reader.unused if each.lost]
        lines = [line for line in named if f"/{name}/" in line and reason in line]
        assert lines, (name, reason, [line for line in named if name in line])
    per_product = [sum(f"/{name}/" in line for line in named) for name, _ in reasons]
    # An impossible date is reported for each of its files; a link, and the product that is incomplete without it
    assert all(count == {8: 11, 9: 2}.get(n % 10, 1) for n, count in enumerate(per_product))


def test_the_error_of_a_scene_without_usable_products_has_the_reason(tmp_path):
    write_s2_mosaic(
        tmp_path, date(2021, 6, 1), np.ones((40, 40, 10), np.uint16), np.full((40, 40), CLEAR, np.uint8)
    )
    reason = broken(tmp_path, 4)
    with pytest.raises(InputError, match=f"none of the scene's products can be used: .*{reason}"):
        open_scene(tmp_path)


def test_a_file_that_turns_out_damaged_stops_the_run_and_is_named(tmp_path):
    rng = np.random.default_rng(4)
    bands = rng.integers(1, 5000, (48, 48, 10)).astype(np.uint16)
    blocks = {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16}
    scl = np.full((48, 48), CLEAR, np.uint8)
    write_s2_mosaic(tmp_path / "scene", date(2021, 6, 1), bands, scl, **blocks)
    path = tmp_path / "scene" / "data_raw" / "nir" / "2021-06-01_mosaic.tiff"
    with rasterio.open(path) as file:
        at = int(file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[at : at + 50] = bytes(50)
    path.write_bytes(content)
    scene = open_scene(tmp_path / "scene")
    assert not [line for line in scene.reader.warnings if "nir" in line]
    model = loading.Model(FakeBackend(), threads=1)
    with pytest.raises(InputError, match=r"^nir/2021-06-01_mosaic\.tiff can't be read.*move its product out"):
        api.embed(scene, model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # Away from the damage it is not noticed: only the window's part of the files is read
    assert api.embed(scene, model, tmp_path / "out", window=Window(16, 16, 32, 32)).with_data == 32 * 32


# Which grid, which year


def test_like_gives_the_grid(tmp_path, mosaics, arrays):
    like = write_raster(tmp_path / "like.tif", np.ones((5, 4), np.uint8), ORIGIN @ Affine.translation(3, 2))
    scene = open_scene(mosaics, like=like)
    assert (scene.grid.width, scene.grid.height) == (4, 5)
    assert_same(scene.reader.read(Window(0, 0, 4, 5)), FakeReader(arrays).read(Window(3, 2, 4, 5)))
    beside = write_raster(
        tmp_path / "beside.tif", np.ones((5, 4), np.uint8), ORIGIN @ Affine.translation(50, 0)
    )
    with pytest.raises(InputError, match="grid of like="):
        open_scene(mosaics, like=beside)
    with pytest.raises(InputError, match=r"like=.*nothing\.tif"):
        open_scene(mosaics, like=tmp_path / "nothing.tif")


def test_the_year_of_a_scene_of_two_years_is_chosen_with_a_warning(tmp_path):
    scl = np.full((4, 4), CLEAR, np.uint8)
    for n, day in enumerate(
        [date(2020, 6, 1), date(2020, 12, 1), date(2021, 6, 1), date(2021, 7, 1), date(2021, 12, 1)]
    ):
        write_s2_mosaic(tmp_path / "scene", day, np.full((4, 4, 10), n + 1, np.uint16), scl)
    scene = open_scene(tmp_path / "scene")
    assert scene.reader.dates.s2 == (152, 182, 335)
    assert re.search("2020-06-01 to 2021-12-01.* 2021 is used", scene.reader.warnings[0])
    assert len(open_scene(tmp_path / "scene", year=2020).reader.dates.s2) == 2
    around = open_scene(tmp_path / "scene", start=date(2020, 12, 1), end=date(2021, 11, 30))
    assert around.reader.period == (date(2020, 12, 1), date(2021, 7, 1))
    assert around.reader.bounds == (date(2020, 12, 1), date(2021, 11, 30))
    found = around.reader.read(around.grid.window)
    assert [date.fromordinal(int(day)) for day in found.days.s2] == [
        date(2020, 12, 1), date(2021, 6, 1), date(2021, 7, 1)
    ]  # fmt: skip
    assert found.s2_doy.tolist() == [336, 152, 182]
    season = open_scene(tmp_path / "scene", season="2020-12:2021-11").reader
    assert season.fingerprint() == around.reader.fingerprint()
    for other in ({"year": 2020}, {"start": date(2020, 1, 1), "end": date(2020, 2, 1)}):
        with pytest.raises(InputError, match="season="):
            open_scene(tmp_path / "scene", season="2020-12:2021-11", **other)
    found = around.reader.read(around.grid.window)
    assert found.s2_doy.tolist() == [336, 152, 182]  # in time, over new year
    assert found.s2[:, 0, 0, 0].tolist() == [2, 3, 4]
    assert scene.reader.fingerprint() != around.reader.fingerprint()


def test_d_pixel_tiles_take_no_arguments_of_products(tmp_path):
    tile = write_tile(tmp_path / "tile", made_up_arrays())
    for name, value in (("like", tile / "roi.tiff"), ("s1_units", "db")):
        with pytest.raises(InputError, match=f"layout dpixel.*leave out {name}="):
            open_scene(tile, **{name: value})
    assert open_scene(tile, layout="dpixel").reader.layout == "dpixel"
    with pytest.raises(InputError, match=r"layout dpixel, .*layout='mosaics'"):
        open_scene(tile, layout="mosaics")


def test_a_product_in_another_crs_by_mistake_does_not_stretch_the_grid(tmp_path):
    clear = np.ones((4, 6), bool)
    products = [s2_product(tmp_path, name, 300, clear) for name in "AB"]
    lost = s2_product(tmp_path, "C", 300, clear, transform=ORIGIN @ Affine.translation(30_000, 0))
    scene = ProductScene(
        "test", tmp_path, Found(s2=[*products, lost], problems=[Problem(tmp_path / "x", "is bad")])
    )
    assert (scene.grid.width, scene.grid.height) == (6, 4)
    assert any(
        re.match(rf"{tmp_path / 'C.tif'} is not used: C .*EPSG:32631", line) for line in scene.warnings
    )
    assert f"{tmp_path / 'x'} is not used: is bad" in scene.warnings


def test_the_fingerprint_is_that_of_0_2(tmp_path, arrays):
    """Outputs record it, so it has to stay: facts, and of each file its name, its size and three blocks of 4 KiB."""
    mosaics = write_mosaics(tmp_path / "scene", arrays)
    with next((mosaics / "data_raw" / "red").iterdir()).open("ab") as file:  # GDAL reads on past it
        file.write(np.random.default_rng(0).bytes(100_000))
    reader = open_scene(mosaics).reader
    digest = hashlib.sha256(f"{reader.grid}\n".encode())
    for each in reader._s2:
        product = each.product
        facts = (product.name, product.date, product.offset, product.mask_kind)
        digest.update(f"{facts}\n".encode())
    for orbit in ("ascending", "descending"):
        for each in reader._s1[orbit]:
            facts = (each.product.name, each.product.date, each.product.orbit, each.units)
            digest.update(f"{facts}\n".encode())
    for path in sorted(mosaics.resolve().rglob("*.tiff")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(mosaics.resolve()).as_posix()} {len(content)}\n".encode())
        last = max(0, len(content) - 4096)
        for start in (0, last // 2, last):
            digest.update(content[start : start + 4096])
    assert reader.fingerprint() == digest.hexdigest()


def test_the_fingerprint_follows_the_content(tmp_path, mosaics, arrays):
    first = open_scene(mosaics).reader.fingerprint()
    copy = write_mosaics(tmp_path / "copy", arrays)
    assert open_scene(copy).reader.fingerprint() == first
    path = next(copy.glob("data_raw/red/*.tiff"))
    with rasterio.open(path, "r+") as file:
        file.write(file.read(1) + 1, 1)
    assert open_scene(copy).reader.fingerprint() != first


@pytest.mark.parametrize("east", [1e300, np.nan])
def test_an_only_product_with_an_impossible_place_is_named(tmp_path, east):
    clear = np.ones((2, 2), bool)
    product = s2_product(tmp_path, "A", 300, clear, transform=Affine(10, 0, east, 0, -10, 0))
    with pytest.raises(InputError, match=r"none of the scene's products can be used: .*A\.tif"):
        read_all(tmp_path, s2=[product])
