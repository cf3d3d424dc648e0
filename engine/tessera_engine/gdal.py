"""GDAL through rasterio and pyogrio: which drivers may open a file, no network, a small cache, and GDAL's errors.

GDAL chooses a driver by a file's content. A file named `B04.jp2` or `labels.geojson` may really be a virtual raster or
another description of data that lie elsewhere: in any file of the machine, or on the network. So every file is opened
here, by drivers that read the named file alone, see `raster_reader` and `vector_reader`.
"""

from __future__ import annotations

import os
import re
import threading
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import rasterio

# rasterio lets GDAL's own errors through, and exports no public name for them.
from rasterio._err import CPLE_BaseError
from rasterio.enums import Interleaving
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError

from tessera_engine.errors import InputError, MissingExtra
from tessera_engine.offline.process import GDAL_OPTIONS

GDAL_ERRORS = (CPLE_BaseError, RasterioError, OSError)
"""Whatever opening, reading, writing or projecting with rasterio can raise."""

PROJECTION_ERRORS = (CPLE_BaseError, RasterioError)
"""Whatever projecting coordinates can raise."""

CACHE_BYTES = 64_000_000
"""GDAL's block cache. Its own default is 5 % of the machine's memory."""

GEOTIFF = "GTiff"

MOST_BLOCK_BYTES = 128_000_000
"""What one block of a raster may take in memory. A block is decoded as a whole even for one pixel, and a file of some
kB may hold one of several GB. Blocks of products take 1 to 30 MB."""

VECTOR_DRIVERS = (
    "GeoJSON",
    "GeoJSONSeq",
    "GPKG",
    "ESRI Shapefile",
    "FlatGeobuf",
    "KML",
    "LIBKML",
    "GPX",
    "CSV",
    "OpenFileGDB",
    "Parquet",
)
"""Drivers that may open points, lines and polygons. Each reads the named file and those that belong to it, such as the
.dbf of a shapefile. Not among them: descriptions of data elsewhere (OGR_VRT, GDALG, WFS, ...), formats that refer to
other files or schemas (GML, MapInfo, SQLite with virtual tables), and services."""

_ALWAYS = ("MEM", "Memory")
"""Drivers for what lies in memory; pyogrio needs one of them."""

_START = 4096
"""Bytes of a file in which a description of data elsewhere shows what it is."""

_DESCRIPTIONS = (
    (rb"<OGRVRT", "an OGR VRT, which names other data sources", "ogr2ogr"),
    (rb"<VRTDataset", "a VRT, which names other files", "gdal_translate"),
    (rb"<GDALTileIndexDataset", "a GDAL tile index, which names other files", "gdal_translate"),
    (rb"<GDAL_W[CM]S|<WMS_|<Capabilities|<WMT_MS", "the description of a web service", "gdal_translate"),
    (rb'"gdal_streamed_alg"', "a GDAL pipeline, which names other files", "ogr2ogr"),
)

_PLAIN = rb'(?:null|true|false|-?[\d.]+|"[^"\\]*")\s*[,}]'
_NAMED = (
    rb'\{\s*"type"\s*:\s*"(?:name|EPSG|OGC)"\s*,\s*"properties"\s*:\s*\{\s*"\w+"\s*:\s*(?:"[^"\\]*"|\d+)\s*\}\s*\}'
    rb'|\{\s*"properties"\s*:\s*\{\s*"\w+"\s*:\s*(?:"[^"\\]*"|\d+)\s*\}\s*,\s*"type"\s*:\s*"(?:name|EPSG|OGC)"\s*\}'
)
_OTHER_CRS = re.compile(
    rb"""["']crs["'](?!\s*[,}\]])(?!\s*:\s*(?:""" + _PLAIN + rb"|" + _NAMED + rb"))", re.IGNORECASE
)
"""A `crs` of GeoJSON that isn't plainly a name: it may be a link, which GDAL would follow. In doubt it is one: GDAL's
readers of JSON also accept comments, single quotes, any case and repeated keys."""

_ESCAPED_LETTER = re.compile(rb"(?<!\\)(?:\\\\)*\\u00[4-7]")
"""No program escapes plain letters in JSON, except to hide a key."""

_JSON_STARTS = (b"{", b"[", b"loadGeoJSON", b"jsonp")
"""How files begin that GDAL may read as GeoJSON."""

_CHUNK, _OVERLAP = 1 << 22, 1 << 12

_drivers = threading.RLock()
"""Held while pyogrio's drivers are restricted: they are the process's."""


def gdal_options(cache_bytes: int = CACHE_BYTES, **options: Any) -> rasterio.Env:
    """A context in which GDAL has a limited cache, no network and further options; of this thread only.

    Args:
        cache_bytes: size of GDAL's block cache.
        options: further configuration options of GDAL.
    """
    return rasterio.Env(GDAL_CACHEMAX=cache_bytes, **GDAL_OPTIONS, **options)


@contextmanager
def without_georeference_warnings() -> Iterator[None]:
    """Hide rasterio's warnings about rasters without a georeference, which the engine reports itself.

    Not for use in several threads at once: it changes the warning filters of the whole process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextmanager
def gdal_environment(cache_bytes: int = CACHE_BYTES, **options: Any) -> Iterator[None]:
    """`gdal_options` and `without_georeference_warnings` together; not for use in several threads at once.

    Args:
        cache_bytes: size of GDAL's block cache.
        options: further configuration options of GDAL.
    """
    with gdal_options(cache_bytes, **options), without_georeference_warnings():
        yield


def raster_reader(path: Path | str, driver: str = GEOTIFF, **options: Any) -> Any:
    """Open a raster for reading, by this driver only: a rasterio dataset. Call it inside `gdal_options`.

    Args:
        path: a file; or, as text, a name that the driver understands, such as `NETCDF:"<file>":<variable>`.
        driver: GDAL's name of the only driver that may open it.
        options: its open options.

    Raises:
        RasterioIOError: the driver can't open it, or one of its blocks takes more than `MOST_BLOCK_BYTES` of memory.
            The message says so if it describes data that lie elsewhere.
    """
    # As a path and absolute: otherwise rasterio and GDAL read "http:", "zip:" or "!" in a name as a place
    name = Path(os.path.abspath(path)) if isinstance(path, Path) else path  # noqa: PTH100, keeps links
    try:
        dataset = rasterio.open(name, driver=driver, **options)
    except RasterioError as error:
        elsewhere = described(path) if isinstance(path, Path) else None
        if elsewhere is None:
            raise
        raise RasterioIOError(str(elsewhere)) from error
    taken = block_bytes(dataset)
    if taken > MOST_BLOCK_BYTES:
        height, width = dataset.block_shapes[0]
        dataset.close()
        raise RasterioIOError(
            f"it is stored in blocks of {width} x {height} pixels, each of which takes {taken / 1e6:,.0f} MB of "
            f"memory, expected at most {MOST_BLOCK_BYTES / 1e6:.0f} MB; store it in smaller ones with "
            "'gdal_translate -co TILED=YES'"
        )
    return dataset


def block_bytes(dataset: Any) -> int:
    """Bytes of memory that reading one pixel takes: its block, with all bands where they lie pixel by pixel."""
    if not dataset.count:
        return 0  # a container of other rasters
    bands = dataset.count if dataset.interleaving is Interleaving.pixel else 1
    pixels: int = max(height * width for height, width in dataset.block_shapes)
    return int(bands * pixels * max(np.dtype(dtype).itemsize for dtype in set(dataset.dtypes)))


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


@contextmanager
def vector_reader(path: Path) -> Iterator[tuple[Any, str]]:
    """The library pyogrio, for reading one file with `VECTOR_DRIVERS` only and without the network; and its name there.

    pyogrio can't be told which drivers may open a file. So all others are taken from its copy of GDAL meanwhile, and
    given back at the end; one thread at a time.

    Args:
        path: file, or folder of a file geodatabase.

    Raises:
        InputError: the file describes data that lie elsewhere, or refers to a CRS elsewhere.
        MissingExtra: pyogrio isn't installed.
    """
    try:
        import pyogrio
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "pyogrio", "maps", "reading labels") from None
    name = os.path.abspath(path)  # noqa: PTH100, keeps links
    elsewhere = described(path)
    if elsewhere is not None:
        raise InputError(f"can't read {path}: {elsewhere}")
    _check_linked_crs(path)
    with _drivers:
        others = [each for each in pyogrio.list_drivers() if each not in (*VECTOR_DRIVERS, *_ALWAYS)]
        options = {**GDAL_OPTIONS, "OGR_SKIP": ",".join(others)}
        before = {each: pyogrio.get_gdal_config_option(each) for each in options}
        try:
            pyogrio.set_gdal_config_options(options)
            pyogrio.core._register_drivers()
            yield pyogrio, name
        finally:
            pyogrio.set_gdal_config_options(before)
            pyogrio.core._register_drivers()


def _check_linked_crs(path: Path) -> None:
    """Refuse GeoJSON whose CRS is a link, which GDAL would follow. Reads the file once, if it is JSON.

    Raises:
        InputError: it has such a link, or letters of its keys are escaped, so that a link can't be excluded.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            _check_json(file, path)
            return
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as member:
                    _check_json(member, path)
    except (
        OSError,
        EOFError,
        RuntimeError,
        NotImplementedError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(f"{path} can't be read as a zip ({error}); unpack it and give the file") from None


def _check_json(file: IO[bytes], path: Path) -> None:
    part = file.read(_OVERLAP)
    if not part.lstrip(b"\xef\xbb\xbf \t\r\n\x1e").startswith(_JSON_STARTS):
        return
    while part:
        more = file.read(_CHUNK)
        part += more
        # What is near the end may continue in the next part, which begins with it
        end = len(part) - _OVERLAP if more else len(part)
        if any(match.start() < end for match in _OTHER_CRS.finditer(part)):
            raise InputError(
                f"{path} has a CRS that is a link, which is not followed; name the CRS instead, such as "
                '{"type": "name", "properties": {"name": "EPSG:4326"}}'
            )
        if _ESCAPED_LETTER.search(part):
            raise InputError(f"{path} has plain letters written as \\u00..; save it again as plain GeoJSON")
        part = part[-_OVERLAP:] if more else b""
