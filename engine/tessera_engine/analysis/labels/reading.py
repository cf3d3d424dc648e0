"""Read labels onto a grid, whatever they are in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.burning import Burner
from tessera_engine.analysis.labels.classes import sorted_classes
from tessera_engine.analysis.labels.fills import Tally
from tessera_engine.analysis.labels.pixels import Draw, Labels, LabelSource, NoLabels
from tessera_engine.analysis.labels.raster import named, read_raster
from tessera_engine.analysis.labels.values import class_names, numbers
from tessera_engine.errors import InputError
from tessera_engine.files.nearby import no_such_file
from tessera_engine.files.partial import finish_or_undo
from tessera_engine.places.crs import Near
from tessera_engine.places.losses import Cause, Losses, in_words
from tessera_engine.places.read import check_layer, list_fields, read_shapes
from tessera_engine.places.shapes import ShapeFile, Shapes, objects
from tessera_engine.scene import Grid

RASTERS = (".tif", ".tiff", ".vrt")


def read_labels(source: LabelSource, grid: Grid, regression: bool, most: int) -> Labels:
    """Read labels onto a grid.

    A point labels the pixel in which it lies. A polygon labels all pixels whose centre lies in it. In a raster, each
    pixel gets the label of the nearest raster pixel. Pixels with different classes are left out; of several numbers in
    a pixel the mean is taken. What labels no pixel is counted by its cause.

    Args:
        source: a GeoTIFF, or what `tessera_engine.places.read.read_shapes` reads.
        grid: of the embeddings.
        regression: the values are numbers, not classes.
        most: the largest number of labels; of more labels, some are drawn at random.

    Raises:
        InputError: the file or field can't be used.
        NoLabels: no label is left.
        MissingExtra: a library that reads the file isn't installed.
    """
    finish_or_undo(source.path)
    if not source.path.exists():
        raise no_such_file(source.path)
    if grid.crs is None:
        raise InputError("the embeddings have no CRS, so labels can't be located in them")
    if source.path.suffix.lower() in RASTERS:
        labels = read_raster(source, grid, regression, most)
        return labels if regression else replace(labels, values=named(labels.values))
    if source.field is None:
        known = ", ".join(list_fields(source.path)) or "none"
        raise InputError(
            f"{source.path} needs field=, the name of the field with the labels; its fields: {known}"
        )
    file = ShapeFile(source.path, source.layer, source.crs, "labels_crs")
    return _onto_grid(read_shapes(file, source.field, Near.grid(grid)), source, grid, regression, most)


def check_used(source: LabelSource, *others: Path) -> None:
    """Make sure that options are not given in vain.

    Args:
        source: where labels come from.
        others: files that are read with the same options.

    Raises:
        InputError: a band is given and no file is a raster, or a layer or field and all are rasters.
    """
    files = [path for path in (source.path, *others) if path.exists()]
    rasters = [path.suffix.lower() in RASTERS for path in files]
    if source.band is not None and files and not any(rasters):
        raise InputError(f"band={source.band} is for rasters, and {source.path} is none; leave it out")
    for option, value in (("layer", source.layer), ("field", source.field)):
        if value is not None and files and all(rasters):
            raise InputError(
                f"{option}='{value}' is not for rasters, such as {source.path}, whose labels are its "
                "values; leave it out"
            )
    if not any(rasters):
        check_layer(source.layer, *files)


def _onto_grid(shapes: Shapes, source: LabelSource, grid: Grid, regression: bool, most: int) -> Labels:
    lost = Losses(shapes.lost)
    names: list[str] = []
    values: NDArray[Any]
    if regression:
        values, wrong = numbers(shapes.values, source.nodata)
        lost[Cause.NOT_A_NUMBER] += int(wrong.sum())
        kept = ~np.isnan(values)
        lost[Cause.NO_VALUE] += int((~kept & ~wrong).sum())
        if wrong.any() and not kept.any():
            example = " ".join(str(shapes.values[wrong.argmax()]).split())[:40]
            raise InputError(
                f"{source.path} has labels that are not numbers, such as '{example}'; write numbers with a decimal "
                "point, or leave out regression=True"
            )
    else:
        found = class_names(shapes.values, source.nodata)
        kept = np.array([name is not None for name in found], bool)
        lost[Cause.NO_VALUE] += int((~kept).sum())
        names = sorted_classes(found[kept])
        numbered = {name: i for i, name in enumerate(names)}
        values = np.array([numbered.get(name, -1) for name in found], np.int64)
    tally = Tally(regression=True)
    tally.add(values[kept] if regression else _finite(numbers(found[kept], None)[0]))
    burner = Burner(shapes.geometries[kept], values[kept], grid)
    draw, several = Draw(most), 0
    for strip in burner.strips():
        draw.add(strip.pixels, strip.values)
        several += strip.several
        lost[Cause.CONTRADICTORY] += strip.contradictory
    lost += burner.lost()
    if not draw.seen:
        raise NoLabels(_nothing_left(source, shapes, lost))
    remarks = (f"{several:,} pixels have several numbers; their mean is taken",) if several else ()
    hints = tally.hints("shapes") if source.nodata is None else ()
    labels = draw.labels(grid.width, lost, (*remarks, *hints))
    return labels if regression else replace(labels, values=objects(names)[labels.values.astype(np.int64)])


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]


def _nothing_left(source: LabelSource, shapes: Shapes, lost: Losses) -> str:
    """Why no label is left, and what to do."""
    if not lost:
        return f"{source.path} holds no shapes; expected points or polygons"
    cause = max(lost, key=lambda each: lost[each])
    advice = {
        Cause.NOT_A_NUMBER: "leave out regression=True",
        Cause.NO_VALUE: f"field '{source.field}' is empty there",
        Cause.NO_GEOMETRY: "expected points or polygons, or columns with decimal coordinates",
        Cause.BROKEN: "save the file again with another program",
        Cause.LINE: "expected points or polygons",
        Cause.BESIDE: shapes.place or "give labels of the same place",
        Cause.OUT_OF_PROJECTION: shapes.place or "give labels_crs=, the CRS of the coordinates",
        Cause.NO_CENTRE: "give points, or polygons larger than a pixel",
        Cause.CONTRADICTORY: "give each place one class, or for numbers regression=True",
    }[cause]
    return f"no label of {source.path} lies on the embeddings: {in_words(lost)}; {advice}"
