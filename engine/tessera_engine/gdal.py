"""GDAL through rasterio and pyogrio: which drivers may open a file, no network, a small cache, and GDAL's errors.

GDAL chooses a driver by a file's content. A file named `B04.jp2` or `labels.geojson` may really be a virtual raster or
another description of data that lie elsewhere: in any file of the machine, or on the network. So every file is opened
here, by drivers that read the named file alone, see `raster_reader` and `vector_reader`.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

# rasterio lets GDAL's own errors through, and exports no public name for them.
from rasterio._err import CPLE_BaseError
from rasterio.enums import Interleaving
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader

from tessera_engine.errors import InputError, MissingExtra, TesseraError, quoted, reason
from tessera_engine.offline.content import check_vector, described
from tessera_engine.offline.crs import crs_elsewhere
from tessera_engine.offline.names import gdal_name, plain_names
from tessera_engine.offline.process import GDAL_OPTIONS

GDAL_ERRORS = (CPLE_BaseError, RasterioError, OSError)
"""Whatever opening, reading, writing or projecting with rasterio can raise."""

PROJECTION_ERRORS = (CPLE_BaseError, RasterioError)
"""Whatever projecting coordinates can raise."""

CACHE_BYTES = 64_000_000
"""GDAL's block cache. Its own default is 5 % of the machine's memory."""

_OPTIONS = {
    **GDAL_OPTIONS,
    # No files *.aux.xml: they can name other files, and replace what a raster says of itself
    "GDAL_PAM_ENABLED": "NO",
}

GEOTIFF = "GTiff"

_ALONE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
"""Only the named file, as if its folder held nothing else. GDAL opens overviews and masks beside a raster with any
driver, so these could be descriptions of data elsewhere."""

_WORLD_FILES = (".tfw", ".tifw", ".tiffw", ".wld")
"""Beside a raster, in place of its suffix: the numbers of its geotransform."""

_BESIDE = (".ovr", ".msk", ".aux", ".rrd")
"""Behind a raster's name or in place of its suffix: what GDAL opens as rasters of their own."""

MOST_BLOCK_BYTES = 128_000_000
"""What one block of a raster may take in memory. A block is decoded as a whole even for one pixel, and a file of some
kB may hold one of several GB. Blocks of products take 1 to 30 MB."""

VECTOR_DRIVERS = (
    "GeoJSON",
    "GeoJSONSeq",
    "TopoJSON",
    "GPKG",
    "ESRI Shapefile",
    "FlatGeobuf",
    "KML",
    "LIBKML",
    "GPX",
    "CSV",
    "OpenFileGDB",
)
"""Drivers that may open points, lines and polygons. Each reads the named file and those that belong to it, such as the
.dbf of a shapefile. Not among them: descriptions of data elsewhere (OGR_VRT, GDALG, WFS, ...), formats that refer to
other files or schemas (GML, MapInfo, SQLite with virtual tables), and services."""

_ALWAYS = ("MEM", "Memory")
"""Drivers for what lies in memory; pyogrio needs one of them."""

_drivers = threading.RLock()
"""Held while pyogrio's drivers are restricted: they are the process's."""


def gdal_options(cache_bytes: int = CACHE_BYTES, **options: Any) -> rasterio.Env:
    """A context in which GDAL has a limited cache, no network and further options; of this thread only.

    Args:
        cache_bytes: size of GDAL's block cache.
        options: further configuration options of GDAL.
    """
    return rasterio.Env(**{"GDAL_CACHEMAX": cache_bytes, **_OPTIONS, **options})


def gdal_reason(error: BaseException) -> str:
    """What GDAL says went wrong first, in one line: rasterio's own error often refers to it only."""
    while error.__cause__ is not None:
        error = error.__cause__
    return reason(error)


class _Hush:
    """Hides a kind of warning while at least one thread wants that.

    Filters belong to the process: the first thread adds one, and the last takes it away.
    """

    def __init__(self, category: type[Warning]) -> None:
        self._category, self._lock, self._users = category, threading.Lock(), 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore", self._category)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._filters.__exit__(None, None, None)


_hush = _Hush(NotGeoreferencedWarning)


@contextmanager
def without_georeference_warnings() -> Iterator[None]:
    """Hide rasterio's warnings about rasters without a georeference, which the engine reports itself."""
    with _hush:
        yield


@contextmanager
def gdal_environment(cache_bytes: int = CACHE_BYTES, **options: Any) -> Iterator[None]:
    """`gdal_options` and `without_georeference_warnings` together.

    Args:
        cache_bytes: size of GDAL's block cache.
        options: further configuration options of GDAL.
    """
    with gdal_options(cache_bytes, **options), without_georeference_warnings():
        yield


class _Reports(logging.Handler):
    """What GDAL reports to rasterio's log from this thread."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.thread = threading.get_ident()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a report of a failure."""
        text = record.getMessage()
        # PROJ tries several ways to understand a CRS, and reports those that fail
        if record.thread == self.thread and text.startswith("GDAL signalled an error") and "PROJ" not in text:
            self.texts.append(" ".join(text.partition("msg=")[2].split()))


@contextmanager
def reported_errors() -> Iterator[None]:
    """Raise what GDAL reports while it writes.

    rasterio raises no exception for what fails while a file is closed, or while tags are written: a full or broken disk
    would leave a file without its CRS, or with pixels that were never written.

    Raises:
        RasterioIOError: the first report, where nothing else was raised.
    """
    reports = _Reports()
    loggers = [logging.getLogger(name) for name in ("rasterio._err", "rasterio._env", "rasterio._io")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(reports)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(reports)
            logger.setLevel(level)
    if reports.texts:
        raise RasterioIOError(reports.texts[0].strip("'\""))


def raster_reader(path: Path | str, driver: str = GEOTIFF, **options: Any) -> Any:
    """Open a raster for reading, by this driver only: a rasterio dataset. Call it inside `gdal_options`.

    Args:
        path: a file; or, as text, a name that the driver understands, such as `NETCDF:"<file>":<variable>`.
        driver: GDAL's name of the only driver that may open it.
        options: its open options.

    Raises:
        RasterioIOError: the driver can't open it, or one of its blocks takes more than `MOST_BLOCK_BYTES` of memory.
            The message says so if it describes data that lie elsewhere, or takes its overviews from there.
    """
    # As a path and absolute: otherwise rasterio and GDAL read "http:", "zip:" or "!" in a name as a place
    name = Path(os.path.abspath(path)) if isinstance(path, Path) else path  # noqa: PTH100, keeps links
    placed = options.get("GEOREF_SOURCES") != "NONE"  # otherwise its pixels alone are wanted
    beside = {} if placed and isinstance(path, Path) and _has_world_file(path) else _ALONE
    try:
        # The class itself: rasterio.open would begin and end a further environment for each file
        with rasterio.Env(**beside):
            dataset = DatasetReader(name, driver=driver, **options)
    except RasterioError:
        elsewhere = described(path) if isinstance(path, Path) else None
        if elsewhere is None:
            raise
        # Not from the driver's error, which says only that the file is none of the driver's
        raise RasterioIOError(str(elsewhere)) from None
    overviews = dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE")
    if overviews is not None:
        dataset.close()
        raise RasterioIOError(
            f"it names the file of its overviews ({quoted(overviews, 200)}), which is not opened; make a file of "
            "its own from it with gdal_translate"
        )
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


def _has_world_file(path: Path) -> bool:
    """Whether a raster's geotransform may lie beside it.

    Raises:
        RasterioIOError: it does, and there is something else that GDAL would open.
    """
    stem = os.path.splitext(path)[0]  # noqa: PTH122, a path without a name has no suffix to replace
    if not any(os.path.isfile(stem + case(end)) for end in _WORLD_FILES for case in (str.lower, str.upper)):  # noqa: PTH113
        return False
    others = {f"{name}{ending}".lower() for name in (path.name, path.stem) for ending in _BESIDE}
    for each in path.absolute().parent.iterdir():
        if each.name.lower() in others:
            raise RasterioIOError(
                f"{each.name} lies beside it, which is not opened; move it to another folder"
            )
    return True


def block_bytes(dataset: Any) -> int:
    """Bytes of memory that reading one pixel takes: its block, with all bands where they lie pixel by pixel."""
    if not dataset.count:
        return 0  # a container of other rasters
    bands = dataset.count if dataset.interleaving is Interleaving.pixel else 1
    pixels: int = max(height * width for height, width in dataset.block_shapes)
    return int(bands * pixels * max(np.dtype(dtype).itemsize for dtype in set(dataset.dtypes)))


def raster_crs(dataset: Any) -> Any:
    """The CRS of a dataset of rasterio, or None.

    Raises:
        RasterioIOError: it names a file, which PROJ would open.
    """
    crs = dataset.crs
    found = None if crs is None else crs_elsewhere(crs.to_wkt())
    if found is not None:
        raise RasterioIOError(f"its CRS refers to {found!r}, which is not opened")
    return crs


@contextmanager
def vector_writer(name: str) -> Iterator[Any]:
    """The library pyogrio, for writing one file without the network; one thread at a time.

    Args:
        name: of the file, for messages.

    Raises:
        TesseraError: pyogrio can't write it.
        MissingExtra: pyogrio isn't installed.
    """
    try:
        import pyogrio
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "pyogrio", "maps", "writing a GeoPackage") from None
    with _drivers, plain_names(pyogrio), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = {each: pyogrio.get_gdal_config_option(each) for each in GDAL_OPTIONS}
        try:
            pyogrio.set_gdal_config_options(GDAL_OPTIONS)
            yield pyogrio
        except RuntimeError as error:  # pyogrio's own errors have no other common base
            raise TesseraError(f"can't write {name}: {' '.join(str(error).split())[:300]}") from None
        finally:
            pyogrio.set_gdal_config_options(before)


@contextmanager
def vector_reader(path: Path) -> Iterator[tuple[Any, str]]:
    """The library pyogrio, for reading one file with `VECTOR_DRIVERS` only and without the network; and its name there.

    pyogrio can't be told which drivers may open a file. So all others are taken from its copy of GDAL meanwhile, and
    given back at the end; one thread at a time.

    Args:
        path: file, or folder of a file geodatabase.

    Raises:
        InputError: the file refers to something elsewhere, see `check_vector`; or pyogrio can't read it.
        MissingExtra: pyogrio isn't installed.
    """
    try:
        import pyogrio
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "pyogrio", "maps", "reading shapes") from None
    check_vector(path)
    with _drivers, plain_names(pyogrio):
        others = [each for each in pyogrio.list_drivers() if each not in (*VECTOR_DRIVERS, *_ALWAYS)]
        options = {**GDAL_OPTIONS, "OGR_SKIP": ",".join(others)}
        before = {each: pyogrio.get_gdal_config_option(each) for each in options}
        try:
            pyogrio.set_gdal_config_options(options)
            pyogrio.core._register_drivers()
            yield pyogrio, gdal_name(path)
        except RuntimeError as error:  # pyogrio's own errors have no other common base
            raise InputError(f"can't read {path}: {' '.join(str(error).split())[:300]}") from None
        finally:
            pyogrio.set_gdal_config_options(before)
            pyogrio.core._register_drivers()


def write_geopackage(path: Path, layer: str, wkb: Any, fields: Mapping[str, Any], crs: str) -> None:
    """Write shapes as a GeoPackage of one layer.

    Args:
        path: of the file; nothing is there.
        layer: its name.
        wkb: (N,) geometries of any kinds, as WKB.
        fields: name -> (N,) texts.
        crs: of the coordinates.

    Raises:
        MissingExtra: pyogrio isn't installed.
        TesseraError: the file can't be written; nothing of it is left.
    """
    try:
        import pyogrio
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "pyogrio", "maps", "writing a GeoPackage") from None
    try:
        with _drivers, plain_names(pyogrio), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a name that doesn't end with .gpkg
            pyogrio.raw.write(
                gdal_name(path),
                wkb,
                list(fields.values()),
                list(fields),
                layer=layer,
                driver="GPKG",
                geometry_type="Unknown",
                crs=crs,
                promote_to_multi=False,
            )
    except (RuntimeError, OSError) as error:
        path.unlink(missing_ok=True)
        reason = " ".join(str(error).split())[:300]
        raise TesseraError(f"can't write {path}: {reason}; make room and try again") from None
