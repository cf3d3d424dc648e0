"""What a file's content refers to, found before a library that would follow it opens the file."""

from __future__ import annotations

import re
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from tessera_engine.errors import InputError
from tessera_engine.offline.crs import crs_elsewhere, named_file

_START = 4096
"""Bytes of a file in which a description of data elsewhere shows what it is."""

_DESCRIPTIONS = (
    (rb"<OGRVRT", "an OGR VRT, which names other data sources", "ogr2ogr"),
    (rb"<VRTDataset", "a VRT, which names other files", "gdal_translate"),
    (rb"<GDALTileIndexDataset", "a GDAL tile index, which names other files", "gdal_translate"),
    (rb"<GDAL_W[CM]S|<WMS_|<Capabilities|<WMT_MS", "the description of a web service", "gdal_translate"),
    (rb'"gdal_streamed_alg"', "a GDAL pipeline, which names other files", "ogr2ogr"),
)

_TEXT = rb'"[^"\\]*"|\d+'
_NAME = rb'"type"\s*:\s*"(?:name|EPSG|OGC)"'
_PROPERTIES = rb'"properties"\s*:\s*\{\s*"\w+"\s*:\s*(?P<name%d>' + _TEXT + rb")\s*\}"
_NAMED = (
    rb"\{\s*(?:" + _NAME + rb"\s*,\s*" + _PROPERTIES % 1
    + rb"|" + _PROPERTIES % 2 + rb"\s*,\s*" + _NAME + rb")\s*\}"
)  # fmt: skip
_PLAIN = rb"(?:null|true|false|-?[\d.]+|" + _TEXT + rb")\s*[,}]"
_CRS = re.compile(
    rb"""["']crs["'](?!\s*[,}\]])(?:\s*:\s*(?P<plain>""" + _PLAIN + rb"|" + _NAMED + rb"))?", re.IGNORECASE
)
"""A key `crs` of JSON. Without the group `plain` its value isn't plainly a name: it may be a link, which GDAL would
follow. In doubt it is one: GDAL's readers of JSON accept comments, single quotes, any case and repeated keys."""

_ESCAPED_LETTER = re.compile(rb"(?<!\\)(?:\\\\)*\\u00[4-7]")
"""No program escapes plain letters in JSON, except to hide a key."""

_JSON_STARTS = (b"{", b"[", b"loadGeoJSON", b"jsonp")
"""How files begin that GDAL may read as GeoJSON."""

_CHUNK, _OVERLAP = 1 << 22, 1 << 12

_WKT_BYTES = 1 << 20
"""Bytes of a CRS at most; real ones have a few thousand."""

_SQLITE, _FLATGEOBUF = b"SQLite format 3\0", b"fgb"

_SHAPEFILE = (".dbf", ".shx", ".prj", ".cpg", ".qix", ".sbn", ".sbx", ".idm", ".ind")
"""What GDAL opens with a `.shp`."""

_ZIP_ERRORS = (
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


class Elsewhere(NamedTuple):
    """A file that describes data which lie elsewhere.

    Attributes:
        what: what it is, in words.
        tool: GDAL's program that makes a file of its own from it.
    """

    what: str
    tool: str

    def __str__(self) -> str:
        return f"it is {self.what}, and is not followed; make a file of its own from it with {self.tool}"


def described(path: Path) -> Elsewhere | None:
    """What a file is that describes data which lie elsewhere; None for any other file."""
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError:
        return None
    return next((Elsewhere(what, tool) for mark, what, tool in _DESCRIPTIONS if re.search(mark, start)), None)


def check_vector(path: Path) -> None:
    """Make sure that a file of points, lines or polygons refers to nothing elsewhere.

    GeoJSON is read once; of other formats only the CRS, in the places where they keep it.

    Args:
        path: file, or folder of a file geodatabase.

    Raises:
        InputError: it describes data elsewhere, a part of it is a link to elsewhere, or its CRS is a link or names a
            file; or that can't be found out.
    """
    _check_links(path)
    if path.is_dir():
        for table in sorted(path.glob("*.gdbtable")):
            with table.open("rb") as file:
                _check_bytes(file, path)
        return
    elsewhere = described(path)
    if elsewhere is not None:
        raise InputError(f"can't read {path}: {elsewhere}")
    for beside in (path.with_suffix(".prj"), path.with_suffix(".PRJ"), Path(f"{path}.prj")):
        if beside != path and beside.is_file():
            with beside.open("rb") as file:
                _refuse(named_file(file.read(_WKT_BYTES).decode("utf-8", "replace")), path)
    with path.open("rb") as file:
        start = file.read(len(_SQLITE))
        file.seek(0)
        if start == _SQLITE:
            for text in _of_geopackage(path):
                _refuse(crs_elsewhere(text), path)
        elif start.startswith(_FLATGEOBUF):
            _check_header(file, path)
        elif start.startswith(b"PK") and zipfile.is_zipfile(path):
            _check_zip(path)
        else:
            _check_json(file, path)


def _check_links(path: Path) -> None:
    """Make sure that the parts of a shapefile or file geodatabase are no links that lead away from it."""
    if path.is_dir():
        parts = list(path.iterdir())
    elif path.suffix.lower() == ".shp":
        parts = [path.with_suffix(case(ending)) for ending in _SHAPEFILE for case in (str.lower, str.upper)]
    else:
        return
    places = {path.resolve()} if path.is_dir() else {path.parent.resolve(), path.resolve().parent}
    for part in parts:
        if part.is_symlink() and part.resolve().parent not in places:
            raise InputError(
                f"can't read {path}: {part.name} is a link to another folder; replace it by a copy of that file"
            )


def _refuse(found: str | None, path: Path) -> None:
    if found is not None:
        raise InputError(
            f"the CRS of {path} refers to {found!r}, which is not opened; save it with a CRS such as EPSG:4326"
        )


def _of_geopackage(path: Path) -> Iterator[str]:
    """The CRSs of a GeoPackage as text."""
    try:
        # As a URI, so that nothing is written beside it
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            columns = [row[1] for row in database.execute("pragma table_info(gpkg_spatial_ref_sys)")]
            for column in columns:
                if column.lower().startswith("definition"):
                    quoted = column.replace('"', '""')
                    for (text,) in database.execute(f'select "{quoted}" from gpkg_spatial_ref_sys'):
                        if isinstance(text, str) and text.strip().lower() != "undefined":
                            yield text
        finally:
            database.close()
    except (sqlite3.Error, UnicodeDecodeError) as error:  # names of columns are bytes in the file
        raise InputError(f"{path} can't be read as a GeoPackage ({error}); copy it again") from None


def _check_header(file: IO[bytes], path: Path) -> None:
    """Check the header of a FlatGeobuf file: 8 bytes, its length, and tables with the CRS as text."""
    start = file.read(12)
    length = struct.unpack("<I", start[8:])[0] if len(start) == 12 else 0
    _check_names(file.read(min(length, 16 * _WKT_BYTES)), path)


def _check_bytes(file: IO[bytes], path: Path) -> None:
    """Check a file that has CRSs among other values, as UTF-8 or UTF-16."""
    part = file.read(_CHUNK)
    while part:
        _check_names(part, path)
        more = file.read(_CHUNK)
        part = part[-_OVERLAP:] + more if more else b""


def _check_names(content: bytes, path: Path) -> None:
    for text in (content, content[::2], content[1::2]):  # the last two: UTF-16
        for match in re.finditer(rb"(?i)grids|init\s*=|PARAMETERFILE", text):
            _refuse(named_file(text[match.start() : match.start() + 512].decode("latin-1")), path)


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as member:
                    if info.filename.lower().endswith(".prj"):
                        _refuse(named_file(member.read(_WKT_BYTES).decode("utf-8", "replace")), path)
                        continue
                    if info.filename.lower().endswith(".gdbtable"):
                        _check_bytes(member, path)
                        continue
                    start = member.read(len(_SQLITE))
                    if start == _SQLITE or start.startswith(_FLATGEOBUF):
                        raise InputError(f"{path} holds {info.filename[:80]}; unpack it and give that file")
                with archive.open(info) as member:
                    _check_json(member, path)
    except _ZIP_ERRORS as error:
        raise InputError(f"{path} can't be read as a zip ({error}); unpack it and give the file") from None


def _check_json(file: IO[bytes], path: Path) -> None:
    """Check JSON, if it is JSON."""
    part = file.read(_OVERLAP)
    if not part.lstrip(b"\xef\xbb\xbf \t\r\n\x1e").startswith(_JSON_STARTS):
        return
    while part:
        more = file.read(_CHUNK)
        part += more
        # What is near the end may continue in the next part, which begins with it
        end = len(part) - _OVERLAP if more else len(part)
        for match in _CRS.finditer(part):
            if match.start() >= end:
                break
            if match["plain"] is None:
                raise InputError(
                    f"{path} has a CRS that is a link, which is not followed; name the CRS instead, such as "
                    '{"type": "name", "properties": {"name": "EPSG:4326"}}'
                )
            name = match["name1"] or match["name2"] or b""
            if name.startswith(b'"'):
                _refuse(crs_elsewhere(name.decode("utf-8", "replace").strip('"')), path)
        if _ESCAPED_LETTER.search(part):
            raise InputError(f"{path} has plain letters written as \\u00..; save it again as plain GeoJSON")
        part = part[-_OVERLAP:] if more else b""
