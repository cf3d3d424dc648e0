"""Labels: the values of labelled pixels, from points, polygons or a raster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError, MissingExtra, reason
from tessera_engine.files.nearby import nearest
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.gdal import (
    GDAL_ERRORS,
    PROJECTION_ERRORS,
    gdal_environment,
    raster_crs,
    raster_reader,
    vector_reader,
)
from tessera_engine.scene import Grid

RASTERS = (".tif", ".tiff", ".vrt")


@dataclass(frozen=True)
class Labels:
    """Labelled pixels of a grid, each once.

    Attributes:
        cols: (N,) columns of the grid.
        rows: (N,) rows of the grid.
        values: (N,) class names (str) or, for regression, float64.
        notes: what was unusual about the labels, a line each.
    """

    cols: NDArray[np.int64]
    rows: NDArray[np.int64]
    values: NDArray[Any]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cols)

    def take(self, which: NDArray[Any], *notes: str) -> Labels:
        """Some of the labels, with more notes."""
        return Labels(self.cols[which], self.rows[which], self.values[which], (*self.notes, *notes))


def read_labels(path: Path, field: str | None, grid: Grid, regression: bool) -> Labels:
    """Read labels onto a grid.

    A point labels the pixel in which it lies. A polygon labels all pixels whose centre lies in it. In a raster, each
    pixel gets the label of the nearest raster pixel. Pixels with different labels are left out. The nodata value of a
    raster is no label; if the raster has none, 0 is no label.

    Args:
        path: GeoTIFF, or anything with points or polygons that GDAL reads (GeoJSON, GeoPackage, shapefile, ...).
        field: the field of points or polygons; not used for a raster.
        grid: of the embeddings.
        regression: the values are numbers, not classes.

    Raises:
        InputError: the file or field can't be used, or no label lies on the grid.
        MissingExtra: a library that reads vector files isn't installed.
    """
    if not path.exists():
        raise InputError(f"no such file: {path}")
    if grid.crs is None:
        raise InputError("the embeddings have no CRS, so labels can't be located in them")
    labels = _from_raster(path, grid) if path.suffix.lower() in RASTERS else _from_shapes(path, field, grid)
    if not len(labels):
        raise InputError(f"no label of {path} lies on the embeddings; give labels of the same place")
    if not regression:
        return labels
    try:
        values = labels.values.astype(np.float64)
    except ValueError:
        raise InputError(f"{path} has labels that are not numbers; leave out regression=True") from None
    return Labels(labels.cols, labels.rows, values, labels.notes)


def with_embeddings(labels: Labels, source: Embeddings, most: int) -> tuple[Labels, NDArray[np.float32]]:
    """The labels of pixels that have an embedding, and their embeddings (N, K).

    Args:
        labels: of pixels of the source's grid.
        source: embeddings.
        most: the largest number of labels; of more labels, some are drawn at random.

    Raises:
        InputError: none of the pixels has an embedding.
    """
    if len(labels) > most:
        chosen = np.random.default_rng(0).choice(len(labels), most, replace=False)
        labels = labels.take(np.sort(chosen), f"{most:,} of {len(labels):,} labelled pixels are used")
    x = source.pixels(labels.cols, labels.rows)
    valid = np.isfinite(x[:, 0])
    if not valid.any():
        raise InputError(f"none of the {len(labels)} labelled pixels has an embedding in {source.path}")
    if not valid.all():
        labels = labels.take(valid, f"{(~valid).sum()} labelled pixels have no embedding and are left out")
    return labels, x[valid]


def _from_raster(path: Path, grid: Grid) -> Labels:
    from rasterio.vrt import WarpedVRT

    try:
        with gdal_environment(), raster_reader(path) as file:
            if raster_crs(file) is None:
                raise InputError(f"{path} has no CRS, so its labels can't be located")
            nodata = 0 if file.nodata is None else file.nodata
            place = {"crs": grid.crs, "transform": grid.transform, "width": grid.width, "height": grid.height}
            with WarpedVRT(file, **place, src_nodata=nodata, nodata=nodata) as warped:
                values = warped.read(1)
    except GDAL_ERRORS as error:
        raise InputError(f"can't read labels from {path}: {error}") from None
    rows, cols = np.nonzero(np.isfinite(values) & (values != nodata))
    found = values[rows, cols]
    whole = found.dtype.kind in "iu" or (found == np.rint(found)).all()
    return Labels(
        cols, rows, np.array([str(int(value)) if whole else str(value) for value in found], dtype=object)
    )


def _from_shapes(path: Path, field: str | None, grid: Grid) -> Labels:
    geometries, values, crs = _read_shapes(path, field)
    kinds = {geometry["type"].removeprefix("Multi") for geometry in geometries}
    if kinds not in ({"Point"}, {"Polygon"}):
        raise InputError(f"{path} holds {', '.join(sorted(kinds)) or 'nothing'}; expected points or polygons")
    geometries = _to_crs(path, geometries, crs, grid)
    if kinds == {"Point"}:
        cols, rows, which = _pixels_of_points(geometries, grid)
        return _without_contradictions(Labels(cols, rows, values[which]), grid)
    return _pixels_of_polygons(geometries, values, grid)


def _read_shapes(path: Path, field: str | None) -> tuple[list[dict[str, Any]], NDArray[Any], str]:
    """Geometries as GeoJSON, their values as text, and their CRS. Shapes without a value or a geometry are left out."""
    try:
        import shapely
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "shapely", "maps", "reading labels") from None

    with vector_reader(path) as (pyogrio, name):
        try:
            fields = [str(name) for name in pyogrio.read_info(name)["fields"]]
            if field not in fields:
                raise InputError(_no_field(path, field, fields))
            meta, _, wkb, (values,) = pyogrio.raw.read(name, columns=[field])
        except (RuntimeError, ValueError) as error:  # pyogrio's own errors, and text in another encoding
            raise InputError(f"can't read labels from {path}: {reason(error)}") from None
    if meta["crs"] is None:
        raise InputError(f"{path} has no CRS, so its labels can't be located")
    shapes = shapely.from_wkb(wkb, on_invalid="ignore")
    named = np.array([_text(value) for value in values], dtype=object)
    kept = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes) | (named == ""))
    return [shapely.geometry.mapping(shape) for shape in shapes[kept]], named[kept], meta["crs"]


def _no_field(path: Path, field: str | None, fields: list[str]) -> str:
    known = ", ".join(fields) or "none"
    if field is None:
        return f"{path} needs field=, the name of the field with the labels; its fields: {known}"
    near = nearest(field, fields)
    hint = f"; did you mean '{near}'?" if near else ""
    return f"{path} has no field '{field}'; its fields: {known}{hint}"


def _text(value: Any) -> str:
    """A value of a field as text; empty where it is missing."""
    if value is None or (isinstance(value, (float, np.floating)) and np.isnan(value)):
        return ""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))  # GDAL gives whole numbers as floats where a value is missing
    return str(value).strip()


def _to_crs(path: Path, geometries: list[dict[str, Any]], crs: str, grid: Grid) -> list[dict[str, Any]]:
    from rasterio.warp import transform_geom

    try:
        return list(transform_geom(crs, grid.crs, geometries))
    except PROJECTION_ERRORS as error:
        raise InputError(f"labels of {path} can't be transformed from {crs} to {grid.crs}: {error}") from None


def _pixels_of_points(
    geometries: list[dict[str, Any]], grid: Grid
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The columns and rows of points on the grid, and the index of each point's geometry."""
    x, y, which = [], [], []
    for i, geometry in enumerate(geometries):
        single = geometry["type"] == "Point"
        for point in [geometry["coordinates"]] if single else geometry["coordinates"]:
            x.append(point[0])
            y.append(point[1])
            which.append(i)
    cols, rows = (np.floor(each).astype(np.int64) for each in ~grid.transform @ np.array([x, y]))
    inside = (cols >= 0) & (rows >= 0) & (cols < grid.width) & (rows < grid.height)
    return cols[inside], rows[inside], np.array(which, np.int64)[inside]


def _without_contradictions(labels: Labels, grid: Grid) -> Labels:
    """Each pixel once, without pixels that have different labels."""
    pixels = labels.rows * grid.width + labels.cols
    kept, contradicted = [], 0
    for here in np.split(
        np.argsort(pixels, kind="stable"), np.unique(pixels, return_counts=True)[1].cumsum()[:-1]
    ):
        if len(set(labels.values[here])) == 1:
            kept.append(here[0])
        elif len(here):
            contradicted += 1
    notes = [f"{contradicted} pixels have different labels and are left out"] if contradicted else []
    return labels.take(np.array(kept, np.int64), *notes)


def _pixels_of_polygons(geometries: list[dict[str, Any]], values: NDArray[Any], grid: Grid) -> Labels:
    from rasterio.features import rasterize

    names, numbers = np.unique(values.astype(str), return_inverse=True)
    numbered = list(zip(geometries, (int(number) + 1 for number in numbers), strict=True))
    size = (grid.height, grid.width)
    # Where polygons overlap, the last one is drawn on top. Drawing them in both orders shows where labels differ
    first, last = (
        rasterize(shapes, size, transform=grid.transform, dtype="int32")
        for shapes in (numbered[::-1], numbered)
    )
    contradicted = int((first != last).sum())
    rows, cols = np.nonzero((first == last) & (first > 0))
    notes = (f"{contradicted} pixels have different labels and are left out",) if contradicted else ()
    return Labels(cols, rows, names.astype(object)[first[rows, cols] - 1], notes)
