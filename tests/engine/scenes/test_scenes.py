"""D-pixel tiles and folders of them: what was written is read, and mistakes are refused in one line."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import CRS, ORIGIN, FakeReader, made_up_arrays, write_roi, write_tile
from product_files import product_arrays, write_safe

from tessera_engine.errors import InputError
from tessera_engine.scene import Window
from tessera_engine.scenes import open_scene


@pytest.fixture(scope="module")
def tile(tmp_path_factory):
    return write_tile(tmp_path_factory.mktemp("scene") / "tile", made_up_arrays(11, 9))


def assert_same(found, wanted):
    for name, value in vars(wanted).items():
        if name == "days":
            continue
        np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)
        assert value is None or getattr(found, name).flags.c_contiguous or name == "s2_valid"


@given(st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_window_reads_what_the_arrays_have(tile, data):
    scene, fake = open_scene(tile), FakeReader(made_up_arrays(11, 9))
    col, row = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 10))
    window = Window(col, row, data.draw(st.integers(1, 9 - col)), data.draw(st.integers(1, 11 - row)))
    assert_same(scene.reader.read(window), fake.read(window))


def test_a_tile_knows_its_grid_and_dates(tile):
    scene = open_scene(tile)
    assert (scene.name, scene.reader.layout) == ("tile", "dpixel")
    assert (scene.grid.width, scene.grid.height, scene.grid.crs) == (9, 11, CRS)
    assert scene.grid.transform == ORIGIN
    assert scene.reader.dates == FakeReader(made_up_arrays(11, 9)).dates
    assert scene.reader.warnings == ()


@given(st.integers(1, 200), st.integers(0, 8), st.integers(0, 10))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_windows_cover_the_region_once_within_the_limit(tile, max_pixels, col, row):
    scene = open_scene(tile)
    region = Window(col, row, 9 - col, 11 - row)
    seen = np.zeros((11, 9), int)
    for window in scene.reader.windows(region, max_pixels):
        assert window.pixels <= max_pixels
        seen[window.row : window.row + window.height, window.col : window.col + window.width] += 1
    wanted = np.zeros((11, 9), int)
    wanted[row:, col:] = 1
    np.testing.assert_array_equal(seen, wanted)


def test_orbits_may_be_missing_or_empty(tmp_path):
    arrays = made_up_arrays()
    arrays["sar_descending"] = arrays["sar_descending"][:0]
    arrays["sar_descending_doy"] = arrays["sar_descending_doy"][:0]
    del arrays["sar_ascending"], arrays["sar_ascending_doy"]
    scene = open_scene(write_tile(tmp_path / "tile", arrays))
    assert scene.reader.dates.s1_ascending == scene.reader.dates.s1_descending == ()
    observations = scene.reader.read(scene.grid.window)
    assert observations.s1_ascending.shape == observations.s1_descending.shape == (0, 6, 5, 2)


def test_a_tile_without_roi_is_read_with_a_warning(tmp_path):
    scene = open_scene(write_tile(tmp_path / "tile", made_up_arrays(), transform=None))
    assert scene.grid.crs is None
    assert "roi.tiff" in scene.reader.warnings[0]


def npy_header(shape):
    """A file with only a header; the size of the promised data, modulo 2^64, may be the true one, 0."""
    text = repr({"descr": "<u2", "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def change(name, array):
    return lambda folder: np.save(folder / name, array)


def text(name):
    return lambda folder: (folder / name).write_text("this is no array\n")


def truncate(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-7])


def remove(name):
    return lambda folder: (folder / name).unlink()


A = made_up_arrays()
MISTAKES = {
    "masks missing": (remove("masks.npy"), r"masks\.npy is missing.*1 = clear"),
    "bands missing": (remove("bands.npy"), r"bands\.npy is missing"),
    "doys missing": (remove("doys.npy"), r"doys\.npy is missing"),
    "orbit without days": (remove("sar_ascending_doy.npy"), r"sar_ascending_doy\.npy is missing"),
    "band count": (change("bands.npy", A["bands"][..., :9]), r"shape .*9\), expected \(dates, height, width, 10\)"),
    "no band axis": (change("bands.npy", A["bands"][..., 0]), r"expected \(dates, height, width, 10\)"),
    "float bands": (change("bands.npy", A["bands"].astype(np.float32)), r"dtype float32, expected uint16.*integer"),
    "NaN bands": (change("bands.npy", A["bands"] * np.nan), r"dtype float64, expected uint16"),
    "signed bands": (change("bands.npy", A["bands"].astype(np.int32)), r"dtype int32, expected uint16"),
    "float radar": (change("sar_ascending.npy", A["sar_ascending"] * 1.0), r"dtype float64, expected int16"),
    "masks of another size": (change("masks.npy", A["masks"][:, :-1]), r"masks\.npy has shape \(20, 5, 5\), expected \(20, 6, 5\)"),
    "radar of another size": (change("sar_descending.npy", A["sar_descending"][:, :, 1:]), r"6 x 4 pixels.*expected 6 x 5"),
    "doys too short": (change("doys.npy", A["doys"][1:]), r"shape \(19,\), expected \(20,\)"),
    "doys out of range": (change("doys.npy", np.r_[A["doys"][1:], np.uint16(400)]), r"day of year 400 at position 19"),
    "doys zero": (change("doys.npy", A["doys"] * 0), r"day of year 0 at position 0"),
    "doys NaN": (change("doys.npy", np.r_[A["doys"][1:], np.nan]), r"day of year nan at position 19"),
    "doys text": (change("doys.npy", A["doys"].astype(str)), r"doys\.npy is not a NumPy \.npy file of plain numbers"),
    "truncated": (truncate("bands.npy"), r"truncated; copy it again"),
    "header cut off": (lambda f: (f / "bands.npy").write_bytes((f / "bands.npy").read_bytes()[:20]), r"not a NumPy \.npy file"),
    "empty file": (lambda f: (f / "masks.npy").write_bytes(b""), r"not a NumPy \.npy file"),
    "text": (text("bands.npy"), r"bands\.npy is not a NumPy \.npy file"),
    "pickled": (lambda f: np.save(f / "doys.npy", np.array([{}] * 20), allow_pickle=True), r"Python objects, which are never loaded"),
    "a shape beyond 64 bits": (
        lambda f: (f / "bands.npy").write_bytes(npy_header((1 << 31, 1 << 31, 8, 10))), r"expected [\d,]+ from its header",
    ),
    "a shape of words": (lambda f: (f / "bands.npy").write_bytes(npy_header(("a", 1, 8, 10))), r"invalid shape"),
    "an unclosed header": (
        lambda f: (f / "bands.npy").write_bytes(npy_header((1, 2, 3, 10)).replace(b")", b"(")), r"can't be read",
    ),
    "Fortran order": (change("bands.npy", np.asfortranarray(A["bands"])), r"Fortran order"),
    "roi of another size": (lambda f: write_roi(f / "roi.tiff", 7, 6, ORIGIN), r"roi\.tiff is 6 x 7 pixels.*expected 6 x 5"),
    "roi no raster": (text("roi.tiff"), r"roi\.tiff can't be read as a raster"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_line(tmp_path, mistake):
    folder = write_tile(tmp_path / "tile", made_up_arrays())
    spoil, message = MISTAKES[mistake]
    spoil(folder)
    with pytest.raises(InputError, match=message) as caught:
        open_scene(folder)
    assert "\n" not in str(caught.value)


def test_a_file_that_becomes_shorter_is_an_error(tmp_path):
    folder = write_tile(tmp_path / "tile", made_up_arrays())
    scene = open_scene(folder)
    truncate("sar_ascending.npy")(folder)
    with pytest.raises(InputError, match=r"sar_ascending\.npy became shorter"):
        scene.reader.read(scene.grid.window)


def split(folder, arrays, across=3, down=4):
    """Write arrays as tiles of `across` x `down` pixels."""
    height, width = arrays["bands"].shape[1:3]
    for row in range(0, height, down):
        for col in range(0, width, across):
            part = {
                name: a if a.ndim == 1 else a[:, row : row + down, col : col + across]
                for name, a in arrays.items()
            }
            write_tile(folder / f"{col}_{row}", part, ORIGIN @ Affine.translation(col, row))


def test_tiles_make_one_mosaic(tmp_path):
    arrays = made_up_arrays(11, 9)
    split(tmp_path / "tiles", arrays)
    shutil.rmtree(tmp_path / "tiles" / "3_4")  # a hole
    (tmp_path / "tiles" / "notes").mkdir()
    scene, fake = open_scene(tmp_path / "tiles"), FakeReader(arrays)
    assert scene.reader.layout == "tiles"
    assert scene.grid == fake.grid
    seen = np.zeros((11, 9), int)
    for window in scene.reader.windows(scene.grid.window, 6):
        assert_same(scene.reader.read(window), fake.read(window))
        seen[window.row : window.row + window.height, window.col : window.col + window.width] += 1
    hole = np.ones((11, 9), int)
    hole[4:8, 3:6] = 0
    np.testing.assert_array_equal(seen, hole)
    assert list(scene.reader.windows(Window(3, 4, 2, 2), 100)) == []
    with pytest.raises(InputError, match=r"window \(3, 4, 2, 2\)"):
        scene.reader.sample(Window(3, 4, 2, 2), 100)
    assert scene.reader.warnings == ()


def test_a_tile_that_lacks_what_others_have_is_named(tmp_path):
    arrays = made_up_arrays()
    write_tile(tmp_path / "a", arrays)
    del arrays["sar_descending"], arrays["sar_descending_doy"]
    write_tile(tmp_path / "b", arrays, ORIGIN @ Affine.translation(5, 0))
    warnings = open_scene(tmp_path).reader.warnings
    (warning,) = warnings
    assert warning.startswith("b: no descending")


@pytest.mark.parametrize(
    ("transform", "crs", "message"),
    [
        (ORIGIN @ Affine.translation(2, 0), CRS, "tiles a and b overlap"),
        (ORIGIN @ Affine.translation(5.5, 0), CRS, "b is not on the pixel grid of .*a "),
        (ORIGIN @ Affine.translation(5, 0) @ Affine.scale(2), CRS, "b is not on the pixel grid of .*a "),
        (ORIGIN @ Affine.translation(5, 0), "EPSG:32632", "EPSG:32632, expected EPSG:32631"),
        (ORIGIN @ Affine.translation(5, 0), None, r"b.roi\.tiff .*no CRS"),
    ],
)
def test_tiles_that_do_not_fit_are_refused(tmp_path, transform, crs, message):
    for name in ("a", "b"):
        write_tile(tmp_path / name, made_up_arrays())
    write_roi(tmp_path / "b" / "roi.tiff", 5, 6, transform, crs)
    with pytest.raises(InputError, match=message):
        open_scene(tmp_path)


def test_the_fingerprint_is_that_of_0_2(tmp_path):
    """Outputs record it, so it has to stay."""
    tile = write_tile(tmp_path / "a", made_up_arrays(40, 30), transform=None)
    assert (tile / "bands.npy").stat().st_size > 64 * 4096
    wanted = "c5b57197201eb21612536ca14d235cc43f2e5439746382e8b2cca72f21ac1956"
    assert open_scene(tile).reader.fingerprint() == wanted


def test_the_fingerprint_follows_the_content(tmp_path):
    arrays = made_up_arrays()
    first = open_scene(write_tile(tmp_path / "a", arrays)).reader.fingerprint()
    assert open_scene(write_tile(tmp_path / "b", arrays)).reader.fingerprint() == first
    arrays["bands"][0, 0, 0, 0] += 1
    assert open_scene(write_tile(tmp_path / "c", arrays)).reader.fingerprint() != first
    split(tmp_path / "tiles", made_up_arrays(11, 9))
    before = open_scene(tmp_path / "tiles").reader.fingerprint()
    shutil.rmtree(tmp_path / "tiles" / "3_4")
    assert open_scene(tmp_path / "tiles").reader.fingerprint() != before


# The year of a tile


def dated(tmp_path, name="tile"):
    """A tile whose days are of December 2017 to November 2018, as its dates.json says."""
    days = {
        "s2_dates": [date(2017, 12, 2), date(2018, 3, 1), date(2018, 11, 29)],
        "s1_dates": [date(2017, 12, 4), date(2018, 5, 6)],
    }
    arrays = made_up_arrays()
    arrays = {key: value[:3] if key in ("bands", "masks") else value for key, value in arrays.items()}
    arrays["doys"] = np.array([day.timetuple().tm_yday for day in days["s2_dates"]], np.uint16)
    tile = write_tile(tmp_path / name, arrays)
    (tile / "dates.json").write_text(json.dumps({key: list(map(str, value)) for key, value in days.items()}))
    return tile


def test_the_dates_beside_a_tile_are_its_period(tmp_path):
    tile = dated(tmp_path)
    scene = open_scene(tile)
    assert scene.reader.period == (date(2017, 12, 2), date(2018, 11, 29))
    assert scene.reader.warnings == ()
    assert open_scene(tmp_path).reader.period == scene.reader.period
    assert open_scene(tile, year=2018).reader.period[0].year == 2018
    with pytest.raises(InputError, match=r"year=2019 .*dates\.json.*2017-12-02"):
        open_scene(tile, year=2019)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"s2_dates": ["2017-12-02"]}', '{"s2_dates": ["soon", 1, 2]}', '{"s2_dates": 3}']
)
def test_dates_of_something_else_are_not_used(tmp_path, text):
    tile = dated(tmp_path)
    (tile / "dates.json").write_text(text)
    reader = open_scene(tile).reader
    assert reader.period is None
    (warning,) = reader.warnings
    assert str(tile / "dates.json") in warning


def test_the_declared_year_of_tiles(tmp_path):
    arrays = made_up_arrays()
    arrays["doys"] = np.sort(arrays["doys"]).astype(np.uint16)
    arrays["doys"][[0, -1]] = 5, 366
    tile = write_tile(tmp_path / "tile", arrays)
    every = np.concatenate([arrays[name] for name in ("doys", "sar_ascending_doy", "sar_descending_doy")])
    assert open_scene(tile).reader.period is None
    for folder in (tile, tmp_path):
        period = open_scene(folder, year=2024).reader.period
        assert period == (date(2024, 1, 1) + timedelta(int(every.min()) - 1), date(2024, 12, 31))
        with pytest.raises(InputError, match=r"day 366.*year=2023"):
            open_scene(folder, year=2023)
        with pytest.raises(InputError, match="give year= as well"):
            open_scene(folder, start=date(2024, 1, 1), end=date(2024, 12, 31))


def test_a_season_of_tiles(tmp_path):
    arrays = made_up_arrays()
    tile = write_tile(tmp_path / "tile", arrays)
    names = {"bands": "doys", "sar_ascending": "sar_ascending_doy", "sar_descending": "sar_descending_doy"}
    within = {
        name: np.flatnonzero((arrays[days] >= 61) & (arrays[days] <= 182)) for name, days in names.items()
    }
    cut = {**arrays, "masks": arrays["masks"][within["bands"]]}
    for name, days in names.items():
        assert 0 < len(within[name]) < len(arrays[name])
        cut |= {name: arrays[name][within[name]], days: arrays[days][within[name]]}
    for folder in (tile, tmp_path):
        reader = open_scene(folder, year=2024, season="2024-03:2024-06").reader  # days 61 to 182
        assert reader.bounds == (date(2024, 3, 1), date(2024, 6, 30))
        found = reader.read(reader.grid.window)
        assert_same(found, FakeReader(cut).read(reader.grid.window))
        used = [date.fromordinal(int(day)) for days in found.days for day in days]
        assert reader.period == (min(used), max(used))
        assert [day.timetuple().tm_yday for day in used] == [
            *found.s2_doy, *found.s1_ascending_doy, *found.s1_descending_doy
        ]  # fmt: skip
        assert {day.year for day in used} == {2024}
        assert len(reader.dates.s2) == len(set(cut["doys"].tolist()))
        with pytest.raises(InputError, match=r"between 2022-03-01 and 2022-06-30.* 2024-"):
            open_scene(folder, year=2024, season="2022-03:2022-06")


# One sensor alone


@pytest.mark.parametrize("orbits", [("ascending",), ("descending",), ("ascending", "descending")])
def test_a_tile_with_radar_alone(tmp_path, orbits):
    arrays = made_up_arrays()
    tile = write_tile(tmp_path / "tile", arrays)
    for name in ("bands", "masks", "doys"):
        (tile / f"{name}.npy").unlink()
    for orbit in {"ascending", "descending"} - set(orbits):
        (tile / f"sar_{orbit}.npy").unlink()
        (tile / f"sar_{orbit}_doy.npy").unlink()
    scene, wanted = open_scene(tile), FakeReader(arrays).read(FakeReader(arrays).grid.window)
    assert scene.grid == FakeReader(arrays).grid
    found = scene.reader.read(scene.grid.window)
    assert found.s2.shape == (0, *found.s1_ascending.shape[1:3], 10)
    assert found.s2_valid.shape == found.s2.shape[:3]
    for orbit in orbits:
        np.testing.assert_array_equal(getattr(found, f"s1_{orbit}"), getattr(wanted, f"s1_{orbit}"))
    assert scene.reader.dates.s2 == ()


def test_a_tile_that_lost_its_bands_is_still_refused(tmp_path):
    tile = write_tile(tmp_path / "tile", made_up_arrays())
    (tile / "bands.npy").unlink()
    with pytest.raises(InputError, match=r"bands\.npy is missing"):
        open_scene(tile)


def test_radar_arrays_beside_products_or_tiles_change_nothing(tmp_path):
    tile = write_tile(tmp_path / "scene" / "tile", made_up_arrays())
    alone = tmp_path / "scene" / "radar"
    alone.mkdir()
    for name in ("sar_ascending.npy", "sar_ascending_doy.npy"):
        shutil.copy(tile / name, alone / name)
    reader = open_scene(tmp_path / "scene").reader
    assert reader.layout == "tiles"
    assert {problem.source.parent for problem in reader.unused} == {alone}
    farm = tmp_path / "farm"
    write_safe(farm, product_arrays(steps=2), pixels="tif")
    shutil.copy(tile / "sar_ascending.npy", farm / "sar_ascending.npy")
    assert open_scene(farm).reader.layout == "safe"
