"""Shapes of the vector files that GDAL reads: GeoPackage, shapefile, GeoJSON, KML, GPX, FileGDB, FlatGeobuf, ..."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError, MissingExtra
from tessera_engine.files.nearby import nearest
from tessera_engine.gdal import vector_reader
from tessera_engine.places.crs import Near, no_crs, parse_crs, stated_crs
from tessera_engine.places.features import Features, from_wkb
from tessera_engine.places.losses import Cause
from tessera_engine.places.nearby import Collector
from tessera_engine.places.shapes import Part, ShapeFile, listed, no_field

_Read = TypeVar("_Read")

FEW_SHAPES = 50_000
"""Up to so many shapes of a layer are all read, so that each one's cause of loss is known. Of a larger layer only those
near the box are read, and the others count as beside it."""

FOLDERS = ("LIBKML", "KML", "GPX")
"""Drivers whose layers are parts of one collection: all layers that have the field are read."""

EXPECTED = (
    "expected GeoPackage, GeoJSON, shapefile, FlatGeobuf, KML, GPX, file geodatabase, GeoParquet or CSV"
)

DEGREES = ("GeoJSON", "GeoJSONSeq", "TopoJSON")
"""Drivers that take WGS 84 where the file names no CRS."""


def read_vector(file: ShapeFile, field: str | None, near: Near) -> list[Part]:
    """The shapes near a box, one part for each layer that is read.

    Args:
        file: what to read.
        field: the field to read; None: only shapes.
        near: the box.

    Raises:
        InputError: the file, layer, field or CRS can't be used.
        MissingExtra: pyogrio or shapely isn't installed.
    """
    with _opened(file.path) as source:
        layers = _layers_with(source, file, field)
        return [_read_layer(source, file, layer, field, near) for layer in layers]


def features_of_vector(file: ShapeFile) -> Features:
    """All shapes with all fields.

    Raises:
        InputError: the file, layer or CRS can't be used.
        MissingExtra: pyogrio, pyarrow or shapely isn't installed.
    """
    with _opened(file.path) as source:
        layers = _layers_with(source, file, None)
        crs, assumed = _crs_of(file, _about(source, layers[0]))
        read = [_read_all(source, file.path, layer) for layer in layers]
    import pyarrow

    tables, geometries = zip(*read, strict=True)
    joined = tables[0] if len(tables) == 1 else pyarrow.concat_tables(tables, promote_options="permissive")
    return Features(joined, np.concatenate(geometries), crs, assumed)


def _read_all(source: _Source, path: Path, layer: str) -> tuple[Any, NDArray[Any]]:
    """The fields of a layer as a pyarrow.Table, and its geometries."""
    about, table = _decoded(
        path, lambda encoding: source.pyogrio.raw.read_arrow(source.name, layer=layer, encoding=encoding)
    )
    name = about["geometry_name"] or "wkb_geometry"
    if name not in table.column_names:  # without shapes
        return table, np.full(table.num_rows, None, object)
    return table.drop_columns([name]), from_wkb(table.column(name).to_pylist())


def fields_of_vector(path: Path) -> list[str]:
    """The fields of all layers.

    Raises:
        InputError: the file can't be read.
        MissingExtra: pyogrio or shapely isn't installed.
    """
    with _opened(path) as source:
        layers = _layers(source)
        return list(dict.fromkeys(name for layer in layers for name in _about(source, layer)["fields"]))


class _Source(NamedTuple):
    """An open file.

    Attributes:
        pyogrio: the library.
        name: the file's name for it.
    """

    pyogrio: Any
    name: str


@contextmanager
def _opened(path: Path) -> Iterator[_Source]:
    """The file for pyogrio, which is quiet meanwhile, with its errors as ours."""
    try:
        import shapely  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "shapely", "maps", "reading shapes") from None

    log = logging.getLogger("pyogrio")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with vector_reader(path) as (pyogrio, name), _errors_of(pyogrio, path), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield _Source(pyogrio, name)
    finally:
        log.setLevel(level)


@contextmanager
def _errors_of(pyogrio: Any, path: Path) -> Iterator[None]:
    errors = pyogrio.errors
    kinds = (
        errors.DataSourceError,
        errors.DataLayerError,
        errors.CRSError,
        errors.FieldError,
        errors.FeatureError,
        errors.GeometryError,
        UnicodeDecodeError,
    )
    try:
        yield
    except kinds as error:
        # What follows are hints for programmers
        reason = " ".join(str(error).split()).split("; It might help")[0].split(" Set SHAPE_RESTORE")[0]
        if path.suffix.lower() == ".shp" and not _has_beside(path, ".shx"):
            reason = f"{path.stem}.shx is not beside it; copy all files of the shapefile"
        elif "not recognized as being in a supported" in reason:
            reason = f"it is no {'file geodatabase' if path.is_dir() else 'known format'}; {EXPECTED}"
        raise InputError(f"can't read shapes from {path}: {reason}") from None


def _layers(source: _Source) -> list[str]:
    """The layers that have shapes."""
    return [str(name) for name, kind in source.pyogrio.list_layers(source.name) if kind is not None]


def _about(source: _Source, layer: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = source.pyogrio.read_info(source.name, layer=layer, **more)
    return found | {"fields": [str(name) for name in found["fields"]]}


def _layers_with(source: _Source, file: ShapeFile, field: str | None) -> list[str]:
    """The layers to read: the one that the user named, or those with the field, or with shapes.

    Raises:
        InputError: there are none, or several and nothing says which is meant.
    """
    path, layers = file.path, _layers(source)
    if file.layer is not None and file.layer not in layers:
        near = nearest(file.layer, layers)
        hint = f"; did you mean '{near}'?" if near else ""
        raise InputError(f"{path} has no layer '{file.layer}'; its layers: {listed(layers)}{hint}")
    fields = {
        layer: _about(source, layer, force_feature_count=field is None)
        for layer in ([file.layer] if file.layer else layers)
    }
    if field is None:
        having = [layer for layer, about in fields.items() if about["features"]] or list(fields)[:1]
    else:
        having = [layer for layer, about in fields.items() if field in about["fields"]]
    if not having:
        if field is None:
            raise InputError(f"{path} has no layer with shapes; expected points, lines or polygons")
        known = list(dict.fromkeys(name for about in fields.values() for name in about["fields"]))
        if not known and not any(about["features"] for about in fields.values()):
            raise InputError(f"{path} holds no shapes; expected points or polygons")
        without = path.suffix.lower() == ".shp" and not _has_beside(path, ".dbf")
        if not known and without:
            raise InputError(
                f"{path} has no field '{field}': {path.stem}.dbf, which holds the fields, is not beside it; copy all "
                "files of the shapefile"
            )
        raise no_field(path, field, known)
    if len(having) > 1 and fields[having[0]]["driver"] not in FOLDERS:
        what = "shapes" if field is None else f"a field '{field}'"
        advice = "give layer=, one of them" if file.crs_parameter else "save the one that is meant by itself"
        raise InputError(f"{path} has {len(having)} layers with {what}: {listed(having)}; {advice}")
    return having


def _read_layer(source: _Source, file: ShapeFile, layer: str, field: str | None, near: Near) -> Part:
    about = _about(source, layer, force_feature_count=True)
    crs, assumed = _crs_of(file, about)
    found = Collector(crs, near, assumed)
    wanted: dict[str, Any] = {"layer": layer, "columns": [] if field is None else [field], "force_2d": True}
    count = int(about["features"])
    if found.box is None or count <= FEW_SHAPES:
        wkb, values = _read(source, file.path, wanted)
    else:
        wkb, values = _read(source, file.path, wanted | {"bbox": found.box})
        missing = _without_geometry(source, layer, about.get("geometry_name"))
        found.lost[Cause.NO_GEOMETRY] += missing
        found.lost[Cause.BESIDE] += max(0, count - len(wkb) - missing)
    found.add_wkb(wkb, values)
    if len(wkb) == 0 and count:
        bounds = _about(source, layer, force_total_bounds=True)["total_bounds"]
        if bounds is not None and np.isfinite(bounds).all():
            found.extend(tuple(map(float, bounds)))  # type: ignore[arg-type]
    return found.part()


def _crs_of(file: ShapeFile, about: dict[str, Any]) -> tuple[Any, str]:
    """The CRS of a layer's coordinates, and why it is that one if the file may not say it."""
    if file.crs is not None:
        return parse_crs(file.crs, file.crs_parameter), f"given by {file.crs_parameter}="
    crs = stated_crs(about["crs"])
    if crs is None:
        raise no_crs(file.path, file.crs_parameter)
    return crs, "what GeoJSON means without a crs" if about["driver"] in DEGREES else ""


def _read(source: _Source, path: Path, wanted: dict[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Geometries as WKB and values of a layer."""
    _, _, wkb, values = _decoded(
        path, lambda encoding: source.pyogrio.raw.read(source.name, encoding=encoding, **wanted)
    )
    return wkb, values[0] if values else np.full(len(wkb), None, object)


def _decoded(path: Path, read: Callable[[str | None], _Read]) -> _Read:
    """What a function reads, given an encoding; None: as the file says."""
    # A .dbf without a .cpg doesn't say its encoding. Today's programs write UTF-8, and other text is hardly ever valid
    # as UTF-8; GDAL's own choice would be Latin-1
    guess = path.suffix.lower() == ".shp" and not _has_beside(path, ".cpg")
    try:
        return read("UTF-8" if guess else None)
    except UnicodeDecodeError:
        if not guess:
            raise
        return read(None)


def _has_beside(path: Path, ending: str) -> bool:
    """Whether another file of a shapefile is there."""
    return any(path.with_suffix(case).exists() for case in (ending, ending.upper()))


def _without_geometry(source: _Source, layer: str, geometry: str | None) -> int:
    """How many shapes of a layer have no geometry. 0 where the driver can't search for them."""
    # Databases know the column by its name; other formats are searched by GDAL, which has a name of its own
    for column in ([f'"{geometry}"'] if geometry else []) + ["OGR_GEOMETRY"]:
        try:
            # With the geometries, without which some drivers find that all are missing
            wkb = source.pyogrio.raw.read(source.name, layer=layer, columns=[], where=f"{column} IS NULL")[2]
        except (ValueError, RuntimeError):
            continue
        return len(wkb)
    return 0
