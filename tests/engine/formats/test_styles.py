"""Styles and attribute tables for QGIS: well-formed whatever the names, with the values and colours of the map."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from made_up import CRS, ORIGIN
from outputs import made_up_output

from tessera_engine.formats.cog.styles import StyledClass, style_bands, style_classes, style_numbers

CLASSES = {
    1: StyledClass("maize & <corn>", (230, 159, 0), 12),
    7: StyledClass("\"quoted\" 'crop'", (86, 180, 233), 3_000_000_000),
    254: StyledClass("玉米\u202e\x01", (0, 158, 115), 1),
}
NAMES = ["maize & <corn>", "\"quoted\" 'crop'", "玉米\\u202e\\x01"]


@pytest.fixture
def raster(tmp_path):
    values = np.array([[1, 7], [254, 0]], np.uint8)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "crs": CRS, "transform": ORIGIN, "nodata": 0}
    with rasterio.open(tmp_path / "map.tif", "w", height=2, width=2, **profile) as file:
        file.write(values, 1)
    return tmp_path / "map.tif"


def test_classes_have_their_names_and_colours(raster):
    style_classes(raster, CLASSES)
    assert sorted(path.name for path in raster.parent.iterdir()) == ["map.qml", "map.tif", "map.tif.aux.xml"]
    entries = ElementTree.parse(raster.with_suffix(".qml")).findall(".//paletteEntry")
    assert [entry.get("value") for entry in entries] == ["1", "7", "254"]
    assert [entry.get("label") for entry in entries] == NAMES
    assert [entry.get("color") for entry in entries] == ["#e69f00", "#56b4e9", "#009e73"]
    table = ElementTree.parse(raster.parent / "map.tif.aux.xml").find(".//GDALRasterAttributeTable")
    assert [field.findtext("Name") for field in table.findall("FieldDefn")] == [
        "Value", "Class", "Count", "Red", "Green", "Blue",
    ]  # fmt: skip
    # GDAL's GFU_MinMax, GFU_Name, GFU_PixelCount, GFU_Red, GFU_Green and GFU_Blue
    assert [field.findtext("Usage") for field in table.findall("FieldDefn")] == ["5", "2", "1", "6", "7", "8"]
    rows = [[cell.text for cell in row] for row in table.findall("Row")]
    assert [row[:3] for row in rows] == [
        ["1", NAMES[0], "12"],
        ["7", NAMES[1], str(2**31 - 1)],
        ["254", NAMES[2], "1"],
    ]
    assert [tuple(map(int, row[3:])) for row in rows] == [each.colour for each in CLASSES.values()]
    with rasterio.Env(GDAL_PAM_ENABLED=True), rasterio.open(raster) as file:
        assert file.read(1).tolist() == [[1, 7], [254, 0]]
        assert "map.tif.aux.xml" in " ".join(file.files)


def test_numbers_have_a_ramp(raster):
    style_numbers(raster, [(0, 0, 0), (10, 20, 30), (255, 255, 255)], -1, 3)
    items = ElementTree.parse(raster.with_suffix(".qml")).findall(".//item")
    assert [(float(item.get("value")), item.get("color")) for item in items] == [
        (-1, "#000000"), (1, "#0a141e"), (3, "#ffffff"),
    ]  # fmt: skip
    style_numbers(raster, [(0, 0, 0), (255, 255, 255)], 5, 5)
    low, high = (
        float(item.get("value")) for item in ElementTree.parse(raster.with_suffix(".qml")).findall(".//item")
    )
    assert low < high


def test_bands_are_stretched(raster):
    style_bands(raster, [(-5, 5), (0, 1), (2, 3)])
    renderer = ElementTree.parse(raster.with_suffix(".qml")).find(".//rasterrenderer")
    assert [renderer.get(f"{name}Band") for name in ("red", "green", "blue")] == ["1", "2", "3"]
    found = [
        float(renderer.findtext(f"{name}ContrastEnhancement/minValue")) for name in ("red", "green", "blue")
    ]
    assert found == [-5, 0, 2]


@pytest.mark.parametrize("stored_as", ["int8", "float32"])
def test_embeddings_show_where_most_pixels_lie(tmp_path, stored_as):
    generator = np.random.default_rng(0)
    values = generator.normal(size=(200, 150, 16)).astype(np.float32)
    values[:20] = np.nan
    folder = made_up_output(tmp_path / "a.embeddings", values, stored_as=stored_as)
    renderer = ElementTree.parse(folder / "embeddings.qml").find(".//rasterrenderer")
    with rasterio.open(folder / "embeddings.tif") as file:
        bands = file.read([1, 2, 3])
    there = np.isfinite(bands[0]) & (bands[0] != -128)
    for name, band in zip(("red", "green", "blue"), bands, strict=True):
        ends = [float(renderer.findtext(f"{name}ContrastEnhancement/{end}Value")) for end in ("min", "max")]
        # Of a sample of 22,500 of 30,000 pixels
        expected = np.percentile(band[there], (2, 98))
        np.testing.assert_allclose(ends, expected, atol=0.03 * (expected[1] - expected[0]))
    # The user may save another style there
    item = json.loads((folder / "item.json").read_text())
    assert "embeddings.qml" not in json.dumps(item)


def test_embeddings_without_data_have_a_style(tmp_path):
    folder = made_up_output(tmp_path / "a.embeddings", np.full((4, 5, 16), np.nan, np.float32))
    assert ElementTree.parse(folder / "embeddings.qml").findtext(".//maxValue") == "1.0"


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="needs gdalinfo")
def test_gdal_reads_the_attribute_table(raster):
    style_classes(raster, CLASSES)
    shown = subprocess.run(["gdalinfo", raster], capture_output=True, check=True, text=True).stdout
    table = ElementTree.fromstring(
        shown[shown.index("<GDALRaster") : shown.index("</GDALRaster")] + "</GDALRasterAttributeTable>"
    )
    assert [[cell.text for cell in row][:2] for row in table.findall("Row")] == [
        [str(value), name] for value, name in zip(CLASSES, NAMES, strict=True)
    ]


SHOW = """
import json, sys
from qgis.core import QgsApplication, QgsRasterLayer
app = QgsApplication([], False)
app.initQgis()
layer = QgsRasterLayer(sys.argv[1], "map")
found = [[each.value, each.label, each.color.name()] for each in layer.renderer().classes()]
print(json.dumps([layer.isValid(), layer.renderer().type(), found]))
"""


@pytest.mark.peers
def test_qgis_shows_names_and_colours(raster):
    """With Debian's packages qgis and python3-qgis."""
    style_classes(raster, CLASSES)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(raster.parent), "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        ["/usr/bin/python3", "-c", SHOW, os.fspath(raster)], capture_output=True, text=True, env=environment, check=False
    )  # fmt: skip
    if "No module named 'qgis'" in done.stderr or not done.stdout:
        pytest.skip("needs python3-qgis")
    valid, kind, found = json.loads(done.stdout.strip().splitlines()[-1])
    assert (valid, kind) == (True, "paletted")
    colours = ["#{:02x}{:02x}{:02x}".format(*each.colour) for each in CLASSES.values()]
    assert found == [[*each] for each in zip(CLASSES, NAMES, colours, strict=True)]
