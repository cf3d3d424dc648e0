"""The page about R: its code runs, and R reads the numbers that Python reads. Skipped without R and its package terra."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from outputs import made_up_output
from places import ROOT
from rasterio.warp import transform

from tessera_engine import open_embeddings

PAGE = ROOT / "docs" / "r.md"

CHECK = """
writeBin(as.vector(t(values(embeddings))), "values.bin", size = 8)
writeBin(as.vector(t(as.matrix(table))), "table.bin", size = 8)
"""


def runs_r(code, folder):
    return subprocess.run(
        ["Rscript", "--vanilla", "-e", code], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the page's code ran: 20 x 24 pixels of 16 dimensions, some without data, extreme codes among them."""
    if shutil.which("Rscript") is None:
        pytest.skip("needs R: apt install r-base-core")
    folder = tmp_path_factory.mktemp("in r")
    if runs_r("library(terra)", folder).returncode != 0:
        pytest.skip("needs R's package terra: apt install r-cran-terra")
    random = np.random.default_rng(0)
    vectors = random.normal(size=(20, 24, 16)).astype(np.float32)
    vectors[:10] += 3 * np.eye(16, dtype=np.float32)[0]
    vectors[3, 4:9] = np.nan
    made_up_output(folder / "scene_dir.embeddings", vectors)
    opened = open_embeddings(folder / "scene_dir.embeddings")
    features = []
    for row in (1, 5, 8, 12, 15, 18):
        for column in (2, 10, 20):
            x, y = opened.grid.transform @ (column + 0.5, row + 0.5)
            (lon,), (lat,) = transform(opened.grid.crs, "EPSG:4326", [x], [y])
            properties = {"class": "north" if row < 10 else "south"}
            geometry = {"type": "Point", "coordinates": [lon, lat]}
            features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    (folder / "points.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    code = re.findall(r"^```r\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    done = runs_r("\n".join(code) + CHECK, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_r_reads_what_python_reads_to_the_last_bit(folder):
    expected = open_embeddings(folder / "scene_dir.embeddings").read()
    found = np.fromfile(folder / "values.bin").reshape(expected.shape)
    assert expected.dtype == np.float32
    assert np.isnan(expected[3, 4:9]).all()
    np.testing.assert_array_equal(found.astype(np.float32), expected)


def test_points_take_the_values_of_their_pixels(folder):
    expected = open_embeddings(folder / "scene_dir.embeddings").read()
    rows, columns = np.meshgrid((1, 5, 8, 12, 15, 18), (2, 10, 20), indexing="ij")
    found = np.fromfile(folder / "table.bin").reshape(-1, expected.shape[2])
    np.testing.assert_array_equal(found.astype(np.float32), expected[rows.ravel(), columns.ravel()])


def test_the_engine_takes_the_map_that_r_wrote(folder, run):
    code, _, err = run(
        "sample-design", folder / "from-r/map.tif", "-o", "check.geojson", "--per-class", "20", "--show-class"
    )
    assert code == 0, err
    from tessera_engine.analysis.class_map import open_class_map

    opened = open_class_map("map", folder / "from-r/map.tif")
    assert set(opened.names.values()) == {"north", "south"}
    assert sum(opened.pixels.values()) == 20 * 24 - 5
    points = json.loads(Path("check.geojson").read_text())
    for feature in points["features"]:
        feature["properties"]["reference"] = feature["properties"]["map_class"]
    Path("check.geojson").write_text(json.dumps(points))
    code, out, err = run("area", folder / "from-r/map.tif", "--reference", "check.geojson", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert {each["class"] for each in found["classes"]} == {"north", "south"}
    assert found["overall_accuracy"]["value"] == 1
