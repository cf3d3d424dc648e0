"""Files of shapes with odd names, names of layers, and parts that are missing: the named file is read, or refused."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pyogrio
import pytest
from shape_files import LAT, LON, NAMES, UTM, X, Y, check, geoparquet, lines, points, read, table, write

from tessera_engine.errors import InputError
from tessera_engine.places.read import list_fields, read_features
from tessera_engine.places.shapes import ShapeFile

ODD = [
    "a!b",
    "d!x/a",
    "a.zip!b",
    "a;b",
    "a?b=c",
    "a?",
    "a#b",
    "a%20b",
    "http:a",
    "http://a",
    "s3:a",
    "file:a",
    "zip:a",
]
"""Names that pyogrio, pyarrow or GDAL could take for a URI or a member of an archive, relative to the folder."""

if sys.platform == "win32":
    ODD = ["a!b", "d!x/a", "a.zip!b", "a;b", "a#b", "a%20b"]
else:
    ODD += ["a\nb", "a\tb", "//a", "-a", ".a", 'a"b', " a "]


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".shp", ".parquet", ".csv"])
@pytest.mark.parametrize("name", ODD)
def test_the_named_file_is_read_however_it_is_called(tmp_path, monkeypatch, name, suffix):
    monkeypatch.chdir(tmp_path)
    path = Path(f".{name}{suffix}" if name.startswith("//") else f"{name}{suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".parquet":
        geoparquet(tmp_path / "made.parquet", LON, LAT)
    elif suffix == ".csv":
        table(tmp_path / "made.csv", "crop,lon,lat\n" + lines("{n},{lon},{lat}\n"))
    else:
        crs = UTM if suffix != ".geojson" else "EPSG:4326"
        x, y = (X, Y) if crs == UTM else (LON, LAT)
        write(tmp_path / f"made{suffix}", points(x, y), NAMES, crs, geometry_type="Point", layer="fields")
    for made in tmp_path.glob("made.*"):
        shutil.copy(made, path.parent / f"{path.stem}{made.suffix}")
    for each in (path, path.absolute()):
        check(read(each))
        assert "crop" in list_fields(each)
        assert len(read_features(ShapeFile(each))) == len(X)


def test_no_other_file_is_read_in_the_place_of_the_named_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "b.gpkg", points(), NAMES)
    (tmp_path / "a!b.gpkg").write_bytes(b"SQLite format 3\0 and nothing more")
    with pytest.raises(InputError, match=r"a!b\.gpkg"):
        read(Path("a!b.gpkg"))
    check(read(tmp_path / "b.gpkg"))


def test_pyogrio_reads_names_of_its_own_again_afterwards(tmp_path):
    resolvers = (
        pyogrio.raw.get_vsi_path_or_buffer,
        pyogrio.core.get_vsi_path_or_buffer,
        pyogrio.raw.vsi_path,
    )
    check(read(write(tmp_path / "a.gpkg", points(), NAMES)))
    assert resolvers == (
        pyogrio.raw.get_vsi_path_or_buffer,
        pyogrio.core.get_vsi_path_or_buffer,
        pyogrio.raw.vsi_path,
    )
    assert pyogrio.raw.vsi_path("zip://a.zip!b.shp") == "/vsizip/a.zip/b.shp"


@pytest.mark.parametrize(
    ("missing", "match"),
    [("a.dbf", r"no field 'crop'.*a\.dbf.*not beside it"), ("a.shx", r"a\.shx is not beside it")],
)
def test_a_missing_part_of_a_shapefile_is_named(tmp_path, missing, match):
    path = write(tmp_path / "a.shp", points(), NAMES, geometry_type="Point")
    (tmp_path / missing).unlink()
    with pytest.raises(InputError, match=match + "; copy all files"):
        read(path)


def test_what_is_no_file_of_shapes_is_refused_with_what_is_expected(tmp_path):
    (tmp_path / "a.gpkg").write_text("notes")
    with pytest.raises(InputError, match=r"a\.gpkg: it is no known format; expected GeoPackage"):
        read(tmp_path / "a.gpkg")
    (tmp_path / "a.gdb").mkdir()
    with pytest.raises(InputError, match=r"a\.gdb: it is no file geodatabase; expected GeoPackage"):
        read(tmp_path / "a.gdb")


def test_layers_of_any_name_are_read_and_listed_unmistakably(tmp_path):
    layers = ["a,b", "a'b", "2018", "小麦 1"]
    for i, layer in enumerate(layers):
        write(tmp_path / "a.gpkg", points(), NAMES, layer=layer, append=i > 0)
    with pytest.raises(InputError, match=r"4 layers.*: 'a,b', a'b, 2018, 小麦 1; give layer="):
        read(tmp_path / "a.gpkg")
    for layer in layers:
        check(read(tmp_path / "a.gpkg", layer=layer))


def test_many_layers_are_listed_in_part(tmp_path):
    for number in range(33):
        write(tmp_path / "a.gpkg", points(), NAMES, layer=f"l{number}", append=number > 0)
    with pytest.raises(InputError, match=r"33 layers.*: l0, .*, l29 and 3 more; give layer="):
        read(tmp_path / "a.gpkg")


@pytest.mark.skipif(sys.platform == "win32", reason="names there are text")
@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".csv"])
def test_a_name_that_is_no_text_is_refused(tmp_path, suffix):
    path = tmp_path / os.fsdecode(b"a\xff" + suffix.encode())
    path.touch()
    with pytest.raises(InputError, match="not UTF-8"):
        read(path)
