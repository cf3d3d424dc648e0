"""The command line on folders of products: the options that choose among them, and what it says of bad ones."""

from __future__ import annotations

import json
import re
from datetime import date

import numpy as np
import pytest
import rasterio
from affine import Affine
from made_up import ORIGIN
from mosaic_files import CLEAR, write_raster, write_s1_mosaic, write_s2_mosaic

DAYS = [date(2020, 6, 1), date(2021, 5, 1), date(2021, 6, 1), date(2021, 7, 1)]


@pytest.fixture
def scene(tmp_path):
    rng = np.random.default_rng(0)
    for day in DAYS:
        bands = rng.integers(200, 5000, (12, 10, 10)).astype(np.uint16)
        write_s2_mosaic(tmp_path / "scene", day, bands, np.full((12, 10), CLEAR, np.uint8))
    for orbit in ("ascending", "descending"):
        codes = rng.integers(3000, 7000, (12, 10, 2)).astype(np.int16)
        write_s1_mosaic(tmp_path / "scene", date(2021, 5, 2), orbit, codes)
    return tmp_path / "scene"


def test_the_year_is_chosen_aloud(run, scene, tmp_path):
    code, _, err = run("embed", "scene", "--int8")
    assert code == 0
    assert re.search("warning: .*2020-06-01 to 2021-07-01.* 2021 is used.* --year .*--season", err)
    assert "120 of 120 px embedded" in err
    properties = json.loads((tmp_path / "scene.embeddings" / "item.json").read_text())["properties"]
    assert properties["start_datetime"] == "2021-05-01T00:00:00Z"
    assert properties["end_datetime"] == "2021-07-01T23:59:59Z"
    assert properties["tessera:scene_layout"] == "mosaics"
    assert properties["tessera:s2_days_of_year"] == [121, 152, 182]
    readers = [each["found"] for each in properties["tessera:findings"] if each["name"] == "reader"]
    assert len(readers) == 1
    code, _, err = run("embed", "scene", "--int8", "--strict", "--overwrite")
    assert (code, "2021 is used" in err, "--strict" in err) == (2, True, True)
    # Three dates are refused for other reasons
    assert (
        "2021 is used" not in run("embed", "scene", "--int8", "--strict", "--year", "2021", "--overwrite")[2]
    )


def test_from_and_to(run, scene):
    code, out, _ = run("info", "scene", "--from", "2020-06-01", "--to", "2021-05-31", "--json")
    told = json.loads(out)
    assert (code, told["period"], told["s2_dates"]) == (0, ["2020-06-01", "2021-05-02"], 2)
    for wrong in (
        ["--from", "2020-06-01"],
        ["--from", "2020-06-01", "--to", "2021-06-01"],
        ["--from", "June"],
    ):
        code, out, err = run("embed", "scene", *wrong)
        assert (code, out) == (2, "")
        assert "Traceback" not in err


def test_like_and_window(run, scene, tmp_path):
    write_raster(tmp_path / "like.tif", np.ones((6, 5), np.uint8), ORIGIN @ Affine.translation(2, 3))
    run("embed", "scene", "-q", "--int8", "--year", 2021, "-o", "all")
    assert run("embed", "scene", "-q", "--int8", "--year", 2021, "-o", "part", "--like", "like.tif")[0] == 0
    with rasterio.open("part/embeddings.tif") as part, rasterio.open("all/embeddings.tif") as whole:
        assert part.transform == ORIGIN @ Affine.translation(2, 3)
        np.testing.assert_array_equal(part.read(), whole.read()[:, 3:9, 2:7])


def test_a_box_of_one_pixel(run, scene, tmp_path):
    write_raster(tmp_path / "far.tif", np.ones((1, 1), np.uint8), ORIGIN @ Affine.translation(9, 11))
    with rasterio.open("far.tif") as far:
        west, south, east, north = rasterio.warp.transform_bounds(far.crs, "EPSG:4326", *far.bounds)
    middle = (west + east) / 2, (south + north) / 2
    box = [middle[0] - 1e-6, middle[1] - 1e-6, middle[0] + 1e-6, middle[1] + 1e-6]
    code, _, err = run("embed", "scene", "--int8", "--year", 2021, "--bbox", *box)
    assert code == 0
    assert "1 of 1 px embedded" in err


def test_bad_products_are_warnings_and_with_strict_errors(run, scene, tmp_path):
    bad = next(scene.glob("data_raw/nir/2021-06-01*"))
    bad.write_bytes(bad.read_bytes()[:100])
    code, _, err = run("embed", "scene", "--int8", "--year", 2021)
    assert code == 0
    lines = [line for line in err.splitlines() if bad.name in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"warning: {scene / 'data_raw'} is not used: nir/{bad.name} can't be read")
    assert run("embed", "scene", "--int8", "--year", 2021, "--strict", "-o", "x")[0] == 2
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layout", "safes"], "did you mean 'safe'?"),
        (["--layout", "tiles"], "expected --layout 'tiles'"),
        (["--s1-units", "dB"], "did you mean 'db'?"),
        (["--year", "2019"], "between 2019-01-01 and 2019-12-31"),
        (["--like", "nothing.tif"], "--like nothing.tif "),
    ],
)
def test_options_that_can_not_be_met(run, scene, options, message):
    code, out, err = run("info", "scene", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
