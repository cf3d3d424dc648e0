"""Labels through the commands: codes of a raster are the codes of the map, and options fit the file."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import rasterio
import shapely
from labels_there import DIM, HEIGHT, WIDTH, centre, write_raster
from made_up import CRS
from outputs import made_up_output
from pyogrio.raw import write as write_shapes

import tessera_engine as te
from tessera_engine.errors import InputError


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """An output whose embeddings show 12 classes, in stripes, and these classes."""
    rng = np.random.default_rng(0)
    truth = np.add.outer(np.arange(HEIGHT) // 3, np.arange(WIDTH) // 4) % 12
    vectors = rng.normal(size=(12, DIM))[truth] * 3 + 0.1 * rng.normal(size=(HEIGHT, WIDTH, DIM))
    return made_up_output(tmp_path_factory.mktemp("o") / "a.embeddings", vectors.astype(np.float32)), truth


@pytest.mark.parametrize(("first", "nodata"), [(0, 255), (1, 0)])
def test_a_map_of_codes_has_the_codes_everywhere(field, tmp_path, first, nodata):
    output, truth = field
    path = write_raster(tmp_path / "l.tif", (truth + first).astype(np.int32))
    made = te.map(output, path, out=tmp_path / "m", method="knn")
    with rasterio.open(tmp_path / "m" / "map.tif") as file:
        assert (file.read(1) == truth + first).mean() > 0.97
        assert file.nodata == nodata
        assert file.tags()["CLASS_10"] == "10"
    codes = [str(code) for code in range(first, first + 12)]
    with (tmp_path / "m" / "legend.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == [row["value"] for row in rows] == codes
    assert list(made.report["classes"]) == codes
    assert list(json.loads((tmp_path / "m" / "report.json").read_text())["classes"]) == codes
    found = te.evaluate(output, path, method="linear")
    assert list(found.facts["classes"]) == codes


def test_codes_beyond_a_byte_are_numbered_with_a_note(field, tmp_path):
    output, truth = field
    path = write_raster(tmp_path / "l.tif", (truth * 100 + 100).astype(np.int32))
    made = te.map(output, path, out=tmp_path / "m", method="knn")
    assert any("254" in note and "legend.csv" in note for note in made.notes)
    assert made.report["notes"] == list(made.notes)
    with (tmp_path / "m" / "legend.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["value"], row["class"]) for row in rows] == [
        (str(i + 1), str(100 * i + 100)) for i in range(12)
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"band": 0}, "band=0"),
        ({"band": "red"}, "band='red'"),
        ({"nodata": "none"}, "nodata='none'"),
        ({"layer": 3}, "layer=3"),
        ({"labels_crs": "EPSG:1"}, "labels_crs=EPSG:1"),
        ({"labels_crs": 2.5}, "labels_crs=2.5"),
    ],
)
@pytest.mark.parametrize("function", [te.map, te.evaluate])
def test_options_are_checked(field, tmp_path, options, message, function):
    with pytest.raises(InputError, match=message):
        function(field[0], tmp_path / "l.gpkg", out=tmp_path / "m", **options)


def test_the_command_takes_what_the_library_takes(field, tmp_path, run):
    output, truth = field
    bands = np.stack([truth, truth + 1]).astype(np.uint8)
    path = write_raster(tmp_path / "l.tif", bands)
    code, out, err = run("map", output, "--labels", path, "-o", tmp_path / "m", "-q")
    assert (code, "--band" in err) == (2, True)
    options = ("--labels", path, "--band", 2, "--nodata", 12, "--labels-crs", CRS)
    code, out, err = run("map", output, *options, "-o", tmp_path / "m", "--json", "-q")
    assert code == 0
    assert list(json.loads(out)["classes"]) == [str(code) for code in range(1, 12)]


def test_a_geodatabase_is_mapped(field, tmp_path):
    output, truth = field
    shapes = [centre(col, row) for row in range(0, HEIGHT, 2) for col in range(0, WIDTH, 2)]
    values = [int(truth[row, col]) for row in range(0, HEIGHT, 2) for col in range(0, WIDTH, 2)]
    path = tmp_path / "l.gdb"
    wkb = np.array([shapely.to_wkb(shape) for shape in shapes], object)
    write_shapes(
        path, wkb, [np.array(values, np.int32)], ["f"], driver="OpenFileGDB", geometry_type="Point", crs=CRS
    )
    made = te.map(output, path, "f", tmp_path / "m", method="knn")
    assert made.report["labelled_pixels"] == len(shapes)
    assert (
        len(json.loads((tmp_path / "m" / "item.json").read_text())["properties"]["tessera:labels_sha256"])
        == 64
    )
