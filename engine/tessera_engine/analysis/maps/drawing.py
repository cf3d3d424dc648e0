"""A map's files: its values and their confidence as GeoTIFFs, its legend, and a picture."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import Classes
from tessera_engine.analysis.maps.fields import Fields
from tessera_engine.analysis.rasters import write_map
from tessera_engine.formats.cog.styles import StyledClass, style_classes, style_numbers
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.geo import grid_fields
from tessera_engine.pictures.caption import caption_of_item
from tessera_engine.pictures.colours import RAMP, class_colour, ramp
from tessera_engine.pictures.frame import thinned, write_framed
from tessera_engine.pictures.legend import Bar, Legend, Swatch, Swatches
from tessera_engine.progress import Progress
from tessera_engine.scene import Grid, Window
from tessera_engine.stac.items import Asset

NO_CONFIDENCE = 255

WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Drawing:
    """What is drawn from what.

    Attributes:
        folder: for the files.
        embeddings: of all pixels.
        strips: windows that cover them, from top to bottom.
        model: a fitted estimator of scikit-learn.
        title: what is mapped, for people.
        quality: how good the map is, in one line.
        report: called with pixels done and in all.
        fields: that get one class or number each; None: the map is by pixel.
    """

    folder: Path
    embeddings: Embeddings
    strips: Iterable[Window]
    model: Any
    title: str
    quality: str
    report: Progress
    fields: Fields | None = None


def draw_classes(drawing: Drawing, classes: Classes) -> list[Asset]:
    """Write `map.tif` and `confidence.tif` (uint8), `legend.csv` and `map.png`.

    Args:
        drawing: with a classifier.
        classes: its classes.

    Raises:
        TesseraError: a file couldn't be read or written.
    """
    folder, grid, title = drawing.folder, drawing.embeddings.grid, drawing.title
    codes = np.full((grid.height, grid.width), classes.nodata, np.uint8)
    confidence = np.full((grid.height, grid.width), NO_CONFIDENCE, np.uint8)

    value_of = dict(zip(classes.names, classes.values, strict=True))
    # The model sorts its classes by the alphabet
    in_order = np.array([value_of[name] for name in drawing.model.classes_], np.uint8)

    def put(rows: slice, valid: NDArray[np.bool_], pixels: NDArray[np.float32]) -> None:
        probability = drawing.model.predict_proba(pixels)
        codes[rows][valid] = in_order[probability.argmax(axis=1)]
        confidence[rows][valid] = np.rint(probability.max(axis=1) * 100)

    _predict(drawing, put)
    if drawing.fields is not None:
        drawing.fields.settle_classes(codes, confidence, classes.nodata)
    colours = {value: class_colour(i) for i, value in enumerate(classes.values)}
    tags = {f"CLASS_{value}": name for name, value in value_of.items()}
    assets = [
        write_map(
            folder / "map.tif", codes, grid, f"Class ({title}), see legend.csv", classes.nodata, colours, tags
        ),
        write_map(
            folder / "confidence.tif", confidence, grid, "Probability of the class, in percent", NO_CONFIDENCE
        ),
    ]
    counts = {value: int((codes == value).sum()) for value in value_of.values()}
    style_classes(
        folder / "map.tif",
        {value: StyledClass(name, colours[value], counts[value]) for name, value in value_of.items()},
    )
    style_numbers(folder / "confidence.tif", RAMP, 0, 100)
    with (folder / "legend.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["value", "class", "colour", "pixels"])
        for name, value in value_of.items():
            hexadecimal = "#{:02x}{:02x}{:02x}".format(*colours[value])
            rows.writerow([value, name, hexadecimal, counts[value]])
    assets.append(Asset("legend", "legend.csv", "text/csv", "Value, class, colour, pixels", ("metadata",)))
    step, shown = thinned(grid)
    table = np.full((256, 3), WHITE, np.uint8)
    for value, colour in colours.items():
        table[value] = colour
    legend = Swatches([Swatch(name, colours[value], str(value)) for name, value in value_of.items()])
    return [*assets, _write_png(drawing, table[codes[::step, ::step]], shown, legend)]


def draw_numbers(drawing: Drawing) -> list[Asset]:
    """Write `map.tif` (float32) and `map.png`.

    Args:
        drawing: with a regressor.

    Raises:
        TesseraError: a file couldn't be read or written.
    """
    grid = drawing.embeddings.grid
    values = np.full((grid.height, grid.width), np.nan, np.float32)

    def put(rows: slice, valid: NDArray[np.bool_], pixels: NDArray[np.float32]) -> None:
        values[rows][valid] = drawing.model.predict(pixels)

    _predict(drawing, put)
    if drawing.fields is not None:
        drawing.fields.settle_numbers(values)
    step, small = thinned(grid)
    shown = values[::step, ::step]
    valid = np.isfinite(shown)
    low, high = np.percentile(shown[valid], (2, 98)) if valid.any() else (0, 1)
    picture = np.where(valid[..., None], ramp(np.nan_to_num(shown), low, high), np.uint8(255))
    legend = Bar(float(low), float(high), drawing.title)
    asset = write_map(drawing.folder / "map.tif", values, grid, f"Estimate ({drawing.title})", np.nan)
    style_numbers(drawing.folder / "map.tif", RAMP, float(low), float(high))
    return [asset, _write_png(drawing, picture, small, legend)]


def _predict(drawing: Drawing, put: Callable[[slice, NDArray[np.bool_], NDArray[np.float32]], None]) -> None:
    """Call `put` for each strip with its rows, its mask of data (height, width), and the embeddings there (N, K)."""
    embeddings = drawing.embeddings
    for window in drawing.strips:
        strip = embeddings.read(window)
        valid = np.isfinite(strip[..., 0])
        if valid.any():
            put(slice(window.row, window.row + window.height), valid, strip[valid])
        drawing.report((window.row + window.height) * window.width, embeddings.grid.window.pixels)


def _write_png(drawing: Drawing, picture: NDArray[np.uint8], grid: Grid, legend: Legend) -> Asset:
    embeddings, title = drawing.embeddings, drawing.title
    about = caption_of_item(embeddings.item, embeddings.path.name, embeddings.dim)
    caption = (f"Map of {title}", drawing.quality, about.scene, about.period, about.model)
    framed = write_framed(drawing.folder / "map.png", picture, grid, caption, legend)
    description = f"Map of {title}, with legend"
    return Asset("picture", "map.png", "image/png", description, ("overview",), grid_fields(framed))
