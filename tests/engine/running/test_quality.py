"""The quality layer: what each pixel was seen of, in every format, and pixels with few clear dates flagged."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pytest
from affine import Affine
from fake_backend import FakeBackend
from made_up import ORIGIN, FakeReader, SeasonReader, made_up_arrays
from mosaic_files import CLEAR, CLOUD, write_raster, write_s2_mosaic
from naive import naive_quality

from tessera_engine.errors import InputError
from tessera_engine.formats.layers import QUALITY_BANDS
from tessera_engine.formats.opening import open_embeddings
from tessera_engine.running.convert import convert
from tessera_engine.running.options import RunOptions
from tessera_engine.running.plan import make_plan
from tessera_engine.running.quality import quality_of, time_of
from tessera_engine.running.run import run
from tessera_engine.scene import Scene
from tessera_engine.scenes import open_scene
from tessera_engine.stac.reading import read_item

ARRAYS = made_up_arrays(11, 9, 20)
SEASON = date(2023, 11, 1), date(2024, 6, 30)


def reader_of(first=SEASON[0], last=SEASON[1], arrays=ARRAYS):
    return SeasonReader(arrays, first, last)


def embed(out, reader, **options):
    backend = (
        FakeBackend(dims=128, prefixes=(16, 32, 64, 128))
        if options.get("format") == "geotessera"
        else FakeBackend()
    )
    chosen = RunOptions.given({"memory": "1GB", "stored_as": "int8", **options})
    plan = make_plan(Scene("place", "place", reader), backend.model, out, chosen)
    run(plan, backend, None, lambda line: None)
    return open_embeddings(out) if "every" not in options else None


def wanted(reader, time, min_clear=0):
    o = reader.read(reader.grid.window)
    flat = [each.reshape(len(each), -1, 2) for each in (o.s1_ascending, o.s1_descending)]
    days = [date.fromordinal(int(day)) for day in o.days.s2]
    found = naive_quality(o.s2_valid.reshape(len(days), -1), days, flat, time, min_clear)
    return found.reshape(reader.grid.height, reader.grid.width, 6)


@pytest.mark.parametrize("format", ["cog", "npy", "zarr"])
def test_every_format_has_it(tmp_path, format):
    reader = reader_of()
    found = embed(tmp_path / "out", reader, format=format, min_clear=7)
    expected = wanted(reader, SEASON, 7)
    np.testing.assert_array_equal(found.read_quality(found.grid.window), expected)
    few = int((expected[..., 5] == 2).sum())
    assert 0 < few < 99
    about = read_item(tmp_path / "out").properties
    assert (about["tessera:min_clear"], about["tessera:pixels_few_clear"]) == (7, few)
    assert about["tessera:complete_years"] == []
    # Flagged, not dropped
    assert about["tessera:pixels_with_data"] == int((expected[..., 5] != 4).sum()) > 99 - few
    other = "npy" if format == "cog" else "cog"
    again = open_embeddings(convert(found, tmp_path / "again", other))
    np.testing.assert_array_equal(again.read_quality(again.grid.window), expected)


def test_the_files_say_what_their_bands_are(tmp_path):
    import rasterio
    import zarr

    embed(tmp_path / "cog", reader_of())
    with rasterio.open(tmp_path / "cog" / "quality.tif") as file:
        assert file.descriptions == QUALITY_BANDS
        assert (file.dtypes[0], file.nodata) == ("uint16", None)
    embed(tmp_path / "zarr", reader_of(), format="zarr")
    array = zarr.open_group(tmp_path / "zarr" / "embeddings.zarr", mode="r")["utm31/quality"]
    assert array.attrs["measures"] == list(QUALITY_BANDS)
    assert array.shape == (1, 6, 11, 9)


def test_geotesseras_tree_and_a_store_that_grows(tmp_path):
    years = [(date(year, 1, 1), date(year, 12, 31)) for year in (2023, 2024)]
    other = {**ARRAYS, "masks": ARRAYS["masks"].copy()}
    other["masks"][:, 1:] = 1
    for format in ("zarr", "geotessera"):
        out = tmp_path / format
        for n, (year, arrays) in enumerate(zip(years, (ARRAYS, other), strict=True)):
            embed(
                out, reader_of(*year, arrays), format=format, min_clear=10, append=n > 0
            ) if n == 0 else append(out, reader_of(*year, arrays), format)
        for year, arrays in zip(years, (ARRAYS, other), strict=True):
            found = open_embeddings(out, year=year[0].year)
            quality = found.read_quality(found.grid.window)
            expected = wanted(reader_of(*year, arrays), year, 10)
            valid = found.read_stored().valid
            assert valid.any()
            np.testing.assert_array_equal(quality[valid], expected[valid])
        about = read_item(out).properties
        assert about["tessera:complete_years"] == []  # pixel (0, 0) and its row
        limits = [each["tessera:min_clear"] for each in about["tessera:members"]]
        assert limits == [10, 10]


def append(out, reader, format):
    backend = FakeBackend(dims=128, prefixes=(16, 32, 64, 128)) if format == "geotessera" else FakeBackend()
    options = {"memory": "1GB", "stored_as": "int8", "format": format, "min_clear": 10, "append": True}
    plan = make_plan(Scene("place", "place", reader), backend.model, out, RunOptions.given(options))
    run(plan, backend, None, lambda line: None)


def test_a_year_is_complete_if_no_pixel_is_flagged(tmp_path):
    year = date(2024, 1, 1), date(2024, 12, 31)
    for few, complete in ((1, [2024]), (20, [])):
        arrays = {**ARRAYS, "masks": np.ones_like(ARRAYS["masks"])}
        arrays["masks"][0] = 0
        embed(tmp_path / f"{few}", reader_of(*year, arrays), min_clear=few)
        assert read_item(tmp_path / f"{few}").properties["tessera:complete_years"] == complete
    embed(tmp_path / "none", reader_of(*year))
    assert "tessera:complete_years" not in read_item(tmp_path / "none").properties


def test_each_period_has_its_own(tmp_path):
    embed(tmp_path / "out", reader_of(), every="month", min_clear=4)
    facts = json.loads((tmp_path / "out" / "item.json").read_text())["properties"]["tessera:periods"]
    for each in facts:
        last = date.fromisoformat(each["end"])
        found = open_embeddings(tmp_path / "out", until=last)
        expected = wanted(reader_of(last=last), (SEASON[0], last), 4)
        np.testing.assert_array_equal(found.read_quality(found.grid.window), expected)
        assert each["tessera:pixels_few_clear"] == int((expected[..., 5] == 2).sum())
        assert found.provenance["pixels_few_clear"] == each["tessera:pixels_few_clear"]


def test_days_without_a_year_are_those_of_some_year():
    reader = FakeReader(ARRAYS)
    assert time_of(reader) is None
    found = quality_of(reader.read(reader.grid.window), None, 3)
    year = date(2023, 1, 1), date(2023, 12, 31)
    np.testing.assert_array_equal(found.reshape(11, 9, 6), wanted(reader_of(*year), year, 3))


def test_dates_in_any_order(tmp_path):
    reader = reader_of()
    o = reader.read(reader.grid.window)
    mixed = np.random.default_rng(0).permutation(len(o.s2_doy))
    from dataclasses import replace

    other = replace(o, s2_valid=o.s2_valid[mixed], days=o.days._replace(s2=o.days.s2[mixed]))
    np.testing.assert_array_equal(quality_of(other, SEASON, 3), quality_of(o, SEASON, 3))


def test_water_is_what_the_scene_classification_says(tmp_path):
    scl = np.full((4, 4), CLEAR, np.uint8)
    scl[:2] = 6
    for n, day in enumerate([date(2024, 5, 1), date(2024, 6, 1), date(2024, 7, 1)]):
        classes = scl.copy()
        classes[0, 0] = CLEAR if n else 6  # water on one date of three
        write_s2_mosaic(tmp_path / "scene", day, np.full((4, 4, 10), 900, np.uint16), classes)
    reader = open_scene(tmp_path / "scene").reader
    found = quality_of(reader.read(reader.grid.window), time_of(reader), None).reshape(4, 4, 6)
    status = np.ones((4, 4), int)
    status[:2] = 3
    status[0, 0] = 1
    assert found[..., 5].tolist() == status.tolist()
    assert found[3, 3, :5].tolist() == [3, 0, 0, 3, 183]


def test_the_size_of_windows_changes_nothing(tmp_path):
    """Beside the files nothing was looked at, however far a window reaches; within them a pixel can have no data."""
    cloudy = np.full((5, 6), CLEAR, np.uint8)
    cloudy[2, 3] = CLOUD
    for day, shift in (
        (date(2024, 5, 1), (0, 0)),
        (date(2024, 6, 1), (31, 22)),
        (date(2024, 7, 1), (31, 22)),
    ):
        place = ORIGIN @ Affine.translation(*shift)
        folder = tmp_path / "scene" / f"{shift[0]}"
        write_s2_mosaic(folder, day, np.full((5, 6, 10), 900, np.uint16), cloudy, place)
    like = write_raster(tmp_path / "like.tif", np.zeros((40, 50), np.uint8))
    found = []
    for most in (4, 64, 100_000):
        reader = open_scene(tmp_path / "scene", like=like).reader
        layer = np.zeros((reader.grid.height, reader.grid.width, 6), np.uint16)
        for window in reader.windows(reader.grid.window, most):
            part = quality_of(reader.read(window), time_of(reader), None)
            rows, cols = (
                slice(window.row, window.row + window.height),
                slice(window.col, window.col + window.width),
            )
            layer[rows, cols] = part.reshape(window.height, window.width, 6)
        found.append(layer)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    status = found[0][..., 5]
    assert np.bincount(status.ravel(), minlength=5).tolist() == [status.size - 60, 58, 0, 0, 2]
    assert (status[2, 3], status[24, 34]) == (4, 4)
    assert not found[0][status == 0].any()


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "3"])
def test_a_limit_that_is_none(wrong):
    with pytest.raises(InputError, match="min_clear="):
        RunOptions.given({"min_clear": wrong})
