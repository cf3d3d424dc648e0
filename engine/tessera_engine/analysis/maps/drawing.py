"""A map's files: its values and their confidence as GeoTIFFs, its legend, and a picture."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import Classes
from tessera_engine.analysis.map_shares import CONFIDENCE, NO_CONFIDENCE, PROBABILITIES
from tessera_engine.analysis.maps.features import grown
from tessera_engine.analysis.maps.fields import Fields, Layers, Votes
from tessera_engine.analysis.maps.predictor import Prediction, Predictor
from tessera_engine.analysis.rasters import write_bands, write_map
from tessera_engine.formats.cog.styles import StyledClass, style_classes, style_numbers
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.geo import grid_fields
from tessera_engine.pictures.caption import caption_of_item
from tessera_engine.pictures.colours import RAMP, ramp
from tessera_engine.pictures.frame import thinned, write_framed
from tessera_engine.pictures.legend import Bar, Legend, Swatch, Swatches
from tessera_engine.progress import Progress
from tessera_engine.scene import Grid, Window
from tessera_engine.stac.items import Asset
from tessera_kernels.scores import most_likely, probabilities

PICTURE = "map.png"
"""The picture of a map."""

WHITE = (255, 255, 255)
GREY = (128, 128, 128)

WITHIN, BEYOND = 1, 2
"""Values of `applicability.tif`; 0 where there is no data."""

HATCH = 8
"""Pixels of the picture between two lines of the hatch."""


@dataclass(frozen=True)
class Drawing:
    """What is drawn from what.

    Attributes:
        folder: for the files.
        embeddings: of all pixels.
        values: of the embeddings that are predicted at a time.
        predictor: what predicts.
        probabilities: whether the probability of each class is written.
        report: called with pixels done and in all.
        fields: that get one class or number each; None: the map is by pixel.
    """

    folder: Path
    embeddings: Embeddings
    values: int
    predictor: Predictor
    probabilities: bool
    report: Progress
    fields: Fields | None = None


@dataclass(frozen=True)
class Drawn:
    """What was written.

    Attributes:
        assets: the files.
        pixels: with data.
        beyond: of them, those beyond the area of applicability; None: not known.
        of_class: pixels of each class, by its name; none of numbers.
    """

    assets: list[Asset]
    pixels: int
    beyond: int | None
    of_class: dict[str, int]


Which = NDArray[np.int32] | slice
"""Of what was predicted, that of each pixel with data."""

Put = Callable[[tuple[slice, slice], NDArray[np.bool_], Prediction, Which], None]
"""Takes the rows and columns of a window, its mask of data, what is predicted, and which of it each pixel has."""


def draw(drawing: Drawing) -> Drawn:
    """Write the map, and what belongs to it.

    For classes `map.tif` and `confidence.tif` (uint8), `legend.csv` and `map.png`; for numbers `map.tif` (float32) and
    `map.png`; if they are asked for, `probabilities.tif`, `dissimilarity.tif` and `applicability.tif`.

    Raises:
        TesseraError: a file couldn't be read or written.
    """
    grid, classes = drawing.embeddings.grid, drawing.predictor.meaning.classes
    trust = _Trust(drawing) if drawing.predictor.meaning.threshold is not None else None
    drawn = _draw_numbers(drawing, trust) if classes is None else _draw_classes(drawing, classes, trust)
    if trust is None:
        return drawn
    return replace(drawn, assets=drawn.assets + trust.write(drawing.folder, grid), beyond=trust.count)


class _Trust:
    """Dissimilarities, and where they are above the threshold."""

    def __init__(self, drawing: Drawing) -> None:
        grid = drawing.embeddings.grid
        self.threshold = drawing.predictor.meaning.threshold or 0.0
        self.values = np.full((grid.height, grid.width), np.nan, np.float32)

    @property
    def beyond(self) -> NDArray[np.bool_]:
        """(height, width)."""
        return self.values > np.float32(self.threshold)

    @property
    def count(self) -> int:
        """Pixels beyond the area of applicability."""
        return int(self.beyond.sum())

    def hatched(self, picture: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
        """A picture with grey lines where the map is beyond its area of applicability; `step` pixels were thinned."""
        beyond = self.beyond[::step, ::step]
        lines = np.add.outer(np.arange(beyond.shape[0]), np.arange(beyond.shape[1])) % HATCH < 2
        hatched = picture.copy()
        hatched[beyond & lines, :3] = GREY
        return hatched

    def write(self, folder: Path, grid: Grid) -> list[Asset]:
        """Write both files."""
        tags = {"THRESHOLD": f"{self.threshold:.9g}"}
        about = "Dissimilarity to the labels, in mean distances between them"
        area = np.where(self.beyond, BEYOND, np.where(np.isfinite(self.values), WITHIN, 0)).astype(np.uint8)
        colours = {WITHIN: (0, 114, 178), BEYOND: GREY}
        names = {f"CLASS_{WITHIN}": "within", f"CLASS_{BEYOND}": "beyond"}
        title = f"Area of applicability: {WITHIN} within, {BEYOND} beyond"
        assets = [
            write_map(folder / "dissimilarity.tif", self.values, grid, about, np.nan, None, tags),
            write_map(folder / "applicability.tif", area, grid, title, 0, colours, tags | names),
        ]
        counts = np.bincount(area.ravel(), minlength=3).tolist()
        shown = {WITHIN: "within", BEYOND: "beyond"}
        styled = {value: StyledClass(name, colours[value], counts[value]) for value, name in shown.items()}
        style_classes(folder / "applicability.tif", styled)
        style_numbers(folder / "dissimilarity.tif", RAMP, 0, 2 * self.threshold)
        return assets


def _draw_classes(drawing: Drawing, classes: Classes, trust: _Trust | None) -> Drawn:
    folder, grid, meaning = drawing.folder, drawing.embeddings.grid, drawing.predictor.meaning
    title, colours = meaning.title, meaning.colours
    shape = (grid.height, grid.width)
    codes = np.full(shape, classes.nodata, np.uint8)
    confidence = np.full(shape, NO_CONFIDENCE, np.uint8)
    bands = np.full((len(classes.names), *shape), NO_CONFIDENCE, np.uint8) if drawing.probabilities else None
    values = np.array(classes.values, np.uint8)
    votes = None if drawing.fields is None else Votes(drawing.fields, len(values))

    def put(place: tuple[slice, slice], valid: NDArray[np.bool_], found: Prediction, which: Which) -> None:
        number, probability = most_likely(found.scores, meaning.temperature)
        codes[place][valid] = values[number][which]
        confidence[place][valid] = np.rint(probability * 100)[which]
        if bands is None and votes is None:
            return
        shares = probabilities(found.scores, meaning.temperature)
        if bands is not None:
            bands[(slice(None), *place)][:, valid] = np.rint(shares.T * 100)[:, which]
        if votes is not None:
            votes.add(place, valid, shares[which])

    pixels = _predict(drawing, put, trust)
    if votes is not None:
        votes.settle(values, Layers(codes, confidence, bands), classes.nodata)
    value_of = dict(zip(classes.names, classes.values, strict=True))
    tags = {f"CLASS_{value}": name for name, value in value_of.items()}
    assets = [
        write_map(
            folder / "map.tif", codes, grid, f"Class ({title}), see legend.csv", classes.nodata, colours, tags
        ),
        write_map(
            folder / CONFIDENCE, confidence, grid, "Probability of the class, in percent", NO_CONFIDENCE
        ),
    ]
    if bands is not None:
        about = "Probability of each class, in percent"
        assets.append(write_bands(folder / PROBABILITIES, bands, grid, about, classes.names, NO_CONFIDENCE))
        # Of the first class; QGIS would take three classes for red, green and blue
        style_numbers(folder / PROBABILITIES, RAMP, 0, 100)
    counts = np.bincount(codes.ravel(), minlength=256).tolist()
    styled = {value: StyledClass(name, colours[value], counts[value]) for name, value in value_of.items()}
    style_classes(folder / "map.tif", styled)
    style_numbers(folder / CONFIDENCE, RAMP, 0, 100)
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
    picture = table[codes[::step, ::step]]
    swatches = [Swatch(name, colours[value], str(value)) for name, value in value_of.items()]
    if trust is not None:
        picture = trust.hatched(picture, step)
        swatches.append(Swatch("hatched: beyond the labels", GREY))
    assets.append(_write_png(drawing, picture, shown, Swatches(swatches)))
    return Drawn(assets, pixels, None, {name: counts[value] for name, value in value_of.items()})


def _draw_numbers(drawing: Drawing, trust: _Trust | None) -> Drawn:
    grid, title = drawing.embeddings.grid, drawing.predictor.meaning.title
    values = np.full((grid.height, grid.width), np.nan, np.float32)

    def put(place: tuple[slice, slice], valid: NDArray[np.bool_], found: Prediction, which: Which) -> None:
        values[place][valid] = found.scores[:, 0][which]

    pixels = _predict(drawing, put, trust)
    if drawing.fields is not None:
        drawing.fields.settle_numbers(values)
    step, small = thinned(grid)
    shown = values[::step, ::step]
    valid = np.isfinite(shown)
    low, high = np.percentile(shown[valid], (2, 98)) if valid.any() else (0, 1)
    picture = np.where(valid[..., None], ramp(np.nan_to_num(shown), low, high), np.uint8(255))
    if trust is not None:
        picture = trust.hatched(picture, step)
    legend = Bar(float(low), float(high), title)
    asset = write_map(drawing.folder / "map.tif", values, grid, f"Estimate ({title})", np.nan)
    style_numbers(drawing.folder / "map.tif", RAMP, float(low), float(high))
    return Drawn([asset, _write_png(drawing, picture, small, legend)], pixels, None, {})


def _predict(drawing: Drawing, put: Put, trust: _Trust | None) -> int:
    """Predict window by window; gives the number of pixels with data."""
    embeddings, predictor = drawing.embeddings, drawing.predictor
    grid, pixels, done = embeddings.grid, 0, 0
    for window in predictor.windows(embeddings, drawing.values):
        place = window.slices
        predicted = _predict_window(embeddings, predictor, window)
        if predicted is not None:
            valid, found, which = predicted
            put(place, valid, found, which)
            pixels += int(valid.sum())
            if trust is not None and found.dissimilarity is not None:
                trust.values[place][valid] = found.dissimilarity[which]
        done += window.pixels
        drawing.report(done, grid.window.pixels)
    return pixels


def _predict_window(
    embeddings: Embeddings, predictor: Predictor, window: Window
) -> tuple[NDArray[np.bool_], Prediction, Which] | None:
    """The mask of a window's pixels with data, what is predicted, and which of it each has; None without data."""
    distinct = embeddings.read_distinct(window) if predictor.alone else None
    if distinct is not None:
        valid = distinct.which >= 0
        if not valid.any():
            return None
        block = StoredBlock(distinct.vectors[np.newaxis], None)
        return valid, predictor.predict(block, np.ones(block.values.shape[:2], bool)), distinct.which[valid]
    around = grown(window, predictor.margin, embeddings.grid)
    block = embeddings.read_stored(around)
    row, col = window.row - around.row, window.col - around.col
    inner = slice(row, row + window.height), slice(col, col + window.width)
    chosen = np.zeros_like(block.valid)
    chosen[inner] = block.valid[inner]
    if not chosen.any():
        return None
    return chosen[inner], predictor.predict(block, chosen), slice(None)


def _write_png(drawing: Drawing, picture: NDArray[np.uint8], grid: Grid, legend: Legend) -> Asset:
    embeddings, meaning = drawing.embeddings, drawing.predictor.meaning
    about = caption_of_item(embeddings.item, embeddings.path.name, embeddings.dim)
    caption = (f"Map of {meaning.title}", meaning.quality, about.scene, about.period, about.model)
    framed = write_framed(drawing.folder / PICTURE, [picture], grid, caption, legend)
    description = f"Map of {meaning.title}, with legend"
    return Asset("picture", PICTURE, "image/png", description, ("overview",), grid_fields(framed))
