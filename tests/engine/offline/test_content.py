"""What is refused before a library could follow it, and what is not."""

from __future__ import annotations

import ast
import os
import sqlite3
import subprocess
import sys
import zipfile

import hostile
import numpy as np
import pytest
import rasterio
from made_up import CRS, write_roi
from places import ROOT
from rasterio.errors import RasterioIOError

from tessera_engine.errors import InputError
from tessera_engine.gdal import VECTOR_DRIVERS, gdal_options, raster_crs, raster_reader, vector_reader
from tessera_engine.offline.content import check_vector
from tessera_engine.offline.crs import crs_elsewhere

LINKED = '{"type":"link","properties":{"href":"http://127.0.0.1:9/crs"}}'
NAMED = '{"type":"name","properties":{"name":"urn:ogc:def:crs:OGC:1.3:CRS84"}}'


@pytest.mark.parametrize("code", [32631, 3857, 4326, 28992, 27700, 31370, 2180, 5514, 3035])
def test_real_crs_are_let_through(code):
    crs = rasterio.crs.CRS.from_epsg(code)
    for text in (f"EPSG:{code}", crs.to_wkt(), crs.to_wkt(version="WKT2_2019"), crs.to_proj4()):
        assert crs_elsewhere(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "urn:ogc:def:crs:EPSG::32631",
        "OGC:CRS84",
        "WGS84",
        "+proj=longlat +datum=WGS84",
        "+init=epsg:4326",
        "+proj=merc +nadgrids=@null +wktext",
        "+proj=sterea +nadgrids=rdtrans2008.gsb +units=m",
    ],
)
def test_names_without_a_place_are_let_through(text):
    assert crs_elsewhere(text) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("http://127.0.0.1/a.wkt", "http://127.0.0.1/a.wkt"),
        ("HTTPS://127.0.0.1/a.wkt", "HTTPS://127.0.0.1/a.wkt"),
        ("/etc/passwd", "/etc/passwd"),
        ("secret.prj", "secret.prj"),
        ("file:///etc/passwd", "file:///etc/passwd"),
        ("+proj=longlat +nadgrids=/etc/passwd +type=crs", "/etc/passwd"),
        ("+proj=longlat +nadgrids=@null,../x.gsb", "../x.gsb"),
        ("+proj=longlat +geoidgrids = http://127.0.0.1/x", "127.0.0.1"),
        ("+init=/etc/passwd:1", "/etc/passwd"),
        ("+init=~/x:1", "~/x"),
        (r"+proj=longlat +nadgrids=\\server\x.gsb", "server"),
        ('GEOGCS["x",DATUM["d",SPHEROID["s",1,2],EXTENSION["PROJ4_GRIDS","/etc/passwd"]]]', "/etc/passwd"),
        ('GEOGCS["x",EXTENSION["PROJ4","+proj=longlat +nadgrids=/etc/passwd"]]', "/etc/passwd"),
        ('BOUNDCRS[ABRIDGEDTRANSFORMATION["n",PARAMETERFILE["Latitude file","/etc/passwd"]]]', "/etc/passwd"),
        ('{"type": "BoundCRS", "parameters": [{"name": "file", "value": "/etc/passwd"}]}', "/etc/passwd"),
    ],
)
def test_crs_that_name_a_place_are_found(text, named):
    assert named in crs_elsewhere(text)


def test_a_rasters_crs_is_checked(tmp_path):
    class Dataset:
        crs = rasterio.crs.CRS.from_string("EPSG:32631")

    assert raster_crs(Dataset) == Dataset.crs

    class Wkt:
        @staticmethod
        def to_wkt():
            return 'GEOGCS["x",EXTENSION["PROJ4","+proj=longlat +nadgrids=/etc/passwd"]]'

    Dataset.crs = Wkt
    with pytest.raises(RasterioIOError, match="/etc/passwd"):
        raster_crs(Dataset)


@pytest.mark.parametrize(
    "head",
    [
        f'"crs":{LINKED},',
        f'"CRS" :\n {LINKED},',
        f'"\\u0063rs":{LINKED},',
        f'"crs"/**/:{LINKED},',
        f"'crs':{LINKED},",
        f'"crs":{NAMED},"crs":{LINKED},',
        f'"crs":{{"type":"name","properties":{{"name":"EPSG:4326"}},{LINKED[1:-1]}}},',
        f'"x":"{" " * (1 << 22)}","crs":{LINKED},',
        '"crs":{"type":"name","properties":{"name":"+proj=longlat +nadgrids=/etc/passwd"}},',
        '"crs":{"properties":{"name":"/etc/passwd"},"type":"name"},',
    ],
)
def test_linked_crs_are_refused(tmp_path, head):
    path = tmp_path / "labels.geojson"
    path.write_text(hostile.geojson(head))
    with pytest.raises(InputError, match=r"labels\.geojson"):
        check_vector(path)
    with zipfile.ZipFile(tmp_path / "labels.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "a.geojson")
    with pytest.raises(InputError, match=r"labels\.zip"):
        check_vector(tmp_path / "labels.zip")


@pytest.mark.parametrize("offset", range(-60, 61, 7))
def test_a_link_is_found_wherever_it_lies(tmp_path, offset):
    """Also across the borders of the parts in which a file is read; and a name there is no link."""
    path = tmp_path / "labels.json"
    filled = f'{{"x":"{" " * ((1 << 22) + (1 << 12) + offset)}","crs":'
    path.write_text(filled + LINKED + "}")
    with pytest.raises(InputError):
        check_vector(path)
    path.write_text(filled + NAMED + "}")
    check_vector(path)


@pytest.mark.parametrize(
    "text",
    [
        hostile.geojson(),
        hostile.geojson(f'"crs":{NAMED},'),
        hostile.geojson('"crs":null,'),
        hostile.geojson().replace(
            '"crop": "a"', '"crs": "EPSG:4326", "kind": "crs", "path": "C:\\\\data", "n": "\\u00e9"'
        ),
    ],
)
def test_plain_geojson_is_let_through(tmp_path, text):
    (tmp_path / "labels.geojson").write_text(text)
    check_vector(tmp_path / "labels.geojson")


def write_points(path, driver):
    pyogrio = pytest.importorskip("pyogrio")
    shapely = pytest.importorskip("shapely")
    points = shapely.to_wkb(shapely.points([[500025, 5599975], [500055, 5599975]]))
    crop = np.array(["a", "b"], dtype=object)
    pyogrio.raw.write(path, points, [crop], ["crop"], geometry_type="Point", crs=CRS, driver=driver)
    return path


FORMATS = {"ESRI Shapefile": "shp", "GPKG": "gpkg", "FlatGeobuf": "fgb", "GeoJSON": "geojson", "KML": "kml", "GPX": None, "OpenFileGDB": "gdb"}  # fmt: skip


@pytest.mark.parametrize("driver", [name for name, suffix in FORMATS.items() if suffix])
def test_ordinary_formats_are_read(tmp_path, driver):
    path = write_points(tmp_path / f"points.{FORMATS[driver]}", driver)
    with vector_reader(path) as (pyogrio, name):
        info = pyogrio.read_info(name)
        assert info["features"] == 2
        assert set(pyogrio.list_drivers()) <= {*VECTOR_DRIVERS, "MEM", "Memory"}
    if driver == "ESRI Shapefile":
        with zipfile.ZipFile(tmp_path / "points.zip", "w") as archive:
            for part in tmp_path.glob("points.*"):
                if part.suffix != ".zip":
                    archive.write(part, part.name)
        with vector_reader(tmp_path / "points.zip") as (pyogrio, name):
            assert pyogrio.read_info(name)["features"] == 2


def test_a_crs_in_a_geopackage_or_beside_a_shapefile_is_checked(tmp_path):
    wkt = 'GEOGCS["x",DATUM["d",SPHEROID["b",6377397,299],EXTENSION["PROJ4_GRIDS","/etc/passwd"]],PRIMEM["g",0],UNIT["degree",0.0174]]'
    path = write_points(tmp_path / "a.gpkg", "GPKG")
    with sqlite3.connect(path) as database:
        database.execute("update gpkg_spatial_ref_sys set definition = ?", (wkt,))
    database.close()
    with pytest.raises(InputError, match="/etc/passwd"):
        check_vector(path)
    path = write_points(tmp_path / "a.shp", "ESRI Shapefile")
    path.with_suffix(".prj").write_text(wkt)
    with pytest.raises(InputError, match="/etc/passwd"):
        check_vector(path)


def test_all_drivers_come_back(tmp_path):
    pyogrio = pytest.importorskip("pyogrio")
    before = pyogrio.list_drivers()
    proxy = pyogrio.get_gdal_config_option("GDAL_HTTP_PROXY")
    path = write_points(tmp_path / "points.geojson", "GeoJSON")
    with vector_reader(path):
        assert len(pyogrio.list_drivers()) < len(before)
        assert pyogrio.get_gdal_config_option("GDAL_HTTP_PROXY") == "offline://offline"
    assert pyogrio.list_drivers() == before
    assert pyogrio.get_gdal_config_option("GDAL_HTTP_PROXY") == proxy
    with pytest.raises(ZeroDivisionError), vector_reader(path):
        raise ZeroDivisionError
    assert pyogrio.list_drivers() == before


def test_a_raster_is_opened_by_its_driver_only(tmp_path):
    write_roi(tmp_path / "a.tif", 4, 4, rasterio.Affine(10, 0, 0, 0, -10, 0))
    for content, named in (
        (hostile.vrt(str(tmp_path / "a.tif")), "gdal_translate"),
        ("GIF89a", "not recognized"),
    ):
        (tmp_path / "b.tif").write_text(content)
        with gdal_options(), pytest.raises(RasterioIOError, match=named):
            raster_reader(tmp_path / "b.tif")
    # A name that GDAL or rasterio would take apart is a file's name all the same
    (tmp_path / "zip!b.tif").write_bytes((tmp_path / "a.tif").read_bytes())
    with gdal_options(), raster_reader(tmp_path / "zip!b.tif") as file:
        assert file.width == 4


SOURCES = [
    path
    for folder in ("engine", "export", "kernels")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "build" not in path.relative_to(ROOT).parts
]
ONE_WAY = {
    "pyogrio": "engine/tessera_engine/gdal.py",
    "onnxruntime": "engine/tessera_engine/offline/onnx_runtime.py",
    "openvino": "engine/tessera_engine/offline/open_vino.py",
}


def test_libraries_that_could_connect_have_one_way_in():
    """rasterio opens with a named driver everywhere; pyogrio, ONNX Runtime and OpenVINO are imported in one module each."""
    found = {name: set() for name in ONE_WAY}
    unnamed = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            for name in ONE_WAY:
                if any(each.split(".")[0] == name for each in names):
                    found[name].add(path.relative_to(ROOT).as_posix())
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "rasterio.open":
                named = {word.arg for word in node.keywords}
                if "driver" not in named and None not in named:
                    unnamed.append(f"{path}:{node.lineno}")
    assert found == {name: {path} for name, path in ONE_WAY.items()}
    assert unnamed == []


def test_openvino_keeps_no_id_of_the_user(tmp_path):
    pytest.importorskip("openvino_telemetry", reason="OpenVINO or its telemetry is not installed")
    code = (
        "import sys; from tessera_engine.offline.open_vino import open_vino; open_vino(); print(*sys.modules)"
    )
    path = os.pathsep.join(str(ROOT / room) for room in ("engine", "kernels"))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"HOME": str(tmp_path), "PYTHONPATH": path},
    )  # fmt: skip
    assert "openvino" in done.stdout.split()
    assert "openvino_telemetry" not in done.stdout.split()
    assert list(tmp_path.iterdir()) == []
