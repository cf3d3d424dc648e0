"""From embeddings and labels to a map: learn, validate, predict strip by strip, write."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.labels import read_labels, with_embeddings
from tessera_engine.analysis.maps.learn import (
    assess,
    make_blocks,
    make_model,
    need_learning,
    predict_held_out,
    split,
)
from tessera_engine.analysis.rasters import write_map, write_result_item
from tessera_engine.errors import InputError
from tessera_engine.files.checksums import file_sha256
from tessera_engine.files.result import result_folder
from tessera_engine.formats.embeddings.base import BLOCK_VALUES, Embeddings
from tessera_engine.formats.embeddings.same_model import check_same_model
from tessera_engine.geo import grid_fields
from tessera_engine.pictures.caption import caption_of_item
from tessera_engine.pictures.colours import class_colour, ramp
from tessera_engine.pictures.frame import thinned, write_framed
from tessera_engine.progress import Progress
from tessera_engine.running.memory import strip_values
from tessera_engine.scene import Grid, Window
from tessera_engine.stac.items import Asset

MOST_LABELS = 20_000
"""Labelled pixels that are learned from; more gain little, and kNN and forests become slow."""

LEARNING_BYTES = 150_000_000
"""scikit-learn, labels and the model that is learned."""

PIXEL_BYTES = 6
"""Bytes a pixel of the map and its picture."""

VALUE_BYTES = 20
"""Bytes a value that predicting takes, besides reading it: dequantised, scaled, and what the model makes of it."""

MOST_CLASSES = 254
NO_CLASS, NO_CONFIDENCE = 0, 255

WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Made:
    """A finished map.

    Attributes:
        out: the folder.
        report: what `tessera_engine.analysis.maps.learn.assess` found.
        notes: what was worth saying about the labels, a line each.
    """

    out: Path
    report: dict[str, Any]
    notes: tuple[str, ...]


def make_map(
    embeddings: Embeddings,
    labels: str | Path,
    out: str | Path,
    *,
    field: str | None = None,
    train: Embeddings | None = None,
    method: str = "linear",
    regression: bool = False,
    block_metres: float | None = None,
    threads: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
    memory: int | None = None,
) -> Made:
    """Map a whole scene from a few labels.

    Args:
        embeddings: what is mapped.
        labels: file with points, polygons or a raster, see `tessera_engine.analysis.maps.labels.read_labels`.
        out: the folder to make.
        field: of points or polygons.
        train: the embeddings in which the labels lie; None: those that are mapped.
        method: see `tessera_engine.analysis.maps.learn.METHODS`.
        regression: the labels are numbers, not classes.
        block_metres: side of the blocks of the spatial cross-validation; None: a fifth of the labelled part.
        threads: CPU threads.
        overwrite: replace an earlier map.
        progress: called with pixels done and in all.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.

    Raises:
        InputError: the labels can't be used, the embeddings are of different models, the memory is too little, or
            something stands at `out`.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    need_learning("map")
    row = embeddings.grid.width * embeddings.dim
    fixed = LEARNING_BYTES + embeddings.grid.window.pixels * PIXEL_BYTES
    strip_size = strip_values(memory, fixed, embeddings.bytes_per_value + VALUE_BYTES, row, BLOCK_VALUES)
    source = embeddings if train is None else train
    if train is not None:
        check_same_model(embeddings, train)
    labels = Path(labels)
    read, x = with_embeddings(read_labels(labels, field, source.grid, regression), source, MOST_LABELS)
    classes = [] if regression else sorted(set(read.values))
    if not regression and not 2 <= len(classes) <= MOST_CLASSES:
        raise InputError(
            f"{labels} has {len(classes)} class(es) on the embeddings; expected 2 to {MOST_CLASSES}"
        )
    blocks = make_blocks(read, source.grid, block_metres)
    folds = split(read.values, blocks.groups, regression)
    model = make_model(method, regression, min(len(learned) for learned, _ in folds), threads)
    report = {
        "method": method,
        "folds": len(folds),
        "blocks": len(np.unique(blocks.groups)),
        "block_metres": blocks.metres,
        "labelled_pixels": len(read),
        **assess(read.values, predict_held_out(model, x, read.values, folds), regression),
    }
    with result_folder(Path(out), overwrite) as folder:
        model.fit(x, read.values)
        tell = progress or (lambda done, total: None)
        draw = _draw_numbers if regression else _draw_classes
        assets = draw(
            folder, embeddings.windows(strip_size), embeddings, model, classes, field or labels.stem, tell
        )
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        assets.append(
            Asset("report", "report.json", "application/json", "Spatial cross-validation", ("metadata",))
        )
        facts = {
            "method": method,
            "field": field,
            "labels": labels.name,
            "labels_sha256": file_sha256(labels),
            "trained_on": str(source.item.get("id", source.path.name)),
        }
        title = f"Map of {field or labels.stem} from {len(read)} labelled pixels"
        write_result_item(folder, embeddings.grid, (embeddings,), "map", title, assets, facts)
    return Made(Path(out), report, read.notes)


def _predict(
    strips: Iterable[Window],
    embeddings: Embeddings,
    tell: Progress,
    put: Callable[[slice, NDArray[np.bool_], NDArray[np.float32]], None],
) -> None:
    """Give `put` each strip's rows, where it has data (height, width), and those pixels' embeddings (N, K)."""
    for window in strips:
        strip = embeddings.read(window)
        valid = np.isfinite(strip[..., 0])
        if valid.any():
            put(slice(window.row, window.row + window.height), valid, strip[valid])
        tell((window.row + window.height) * window.width, embeddings.grid.window.pixels)


def _draw_classes(
    folder: Path,
    strips: Iterable[Window],
    embeddings: Embeddings,
    model: Any,
    classes: list[str],
    title: str,
    tell: Progress,
) -> list[Asset]:
    grid = embeddings.grid
    codes = np.full((grid.height, grid.width), NO_CLASS, np.uint8)
    confidence = np.full((grid.height, grid.width), NO_CONFIDENCE, np.uint8)

    def put(rows: slice, valid: NDArray[np.bool_], pixels: NDArray[np.float32]) -> None:
        probability = model.predict_proba(pixels)
        # The model's classes are sorted names, as ours are
        codes[rows][valid] = probability.argmax(axis=1) + 1
        confidence[rows][valid] = np.rint(probability.max(axis=1) * 100)

    _predict(strips, embeddings, tell, put)
    colours = {i + 1: class_colour(i) for i in range(len(classes))}
    tags = {f"CLASS_{i + 1}": name for i, name in enumerate(classes)}
    assets = [
        write_map(
            folder / "map.tif", codes, grid, f"Class ({title}), see legend.csv", NO_CLASS, colours, tags
        ),
        write_map(
            folder / "confidence.tif", confidence, grid, "Probability of the class, in percent", NO_CONFIDENCE
        ),
    ]
    with (folder / "legend.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["value", "class", "colour", "pixels"])
        for i, name in enumerate(classes):
            hexadecimal = "#{:02x}{:02x}{:02x}".format(*colours[i + 1])
            rows.writerow([i + 1, name, hexadecimal, int((codes == i + 1).sum())])
    assets.append(Asset("legend", "legend.csv", "text/csv", "Value, class, colour, pixels", ("metadata",)))
    step, shown = thinned(grid)
    table = np.array([WHITE, *colours.values()], np.uint8)
    legend = {name: colours[i + 1] for i, name in enumerate(classes)}
    return [*assets, _write_png(folder, table[codes[::step, ::step]], shown, legend, title, embeddings)]


def _draw_numbers(
    folder: Path,
    strips: Iterable[Window],
    embeddings: Embeddings,
    model: Any,
    classes: list[str],
    title: str,
    tell: Progress,
) -> list[Asset]:
    grid = embeddings.grid
    values = np.full((grid.height, grid.width), np.nan, np.float32)

    def put(rows: slice, valid: NDArray[np.bool_], pixels: NDArray[np.float32]) -> None:
        values[rows][valid] = model.predict(pixels)

    _predict(strips, embeddings, tell, put)
    step, small = thinned(grid)
    shown = values[::step, ::step]
    valid = np.isfinite(shown)
    low, high = np.percentile(shown[valid], (2, 98)) if valid.any() else (0, 1)
    picture = np.where(valid[..., None], ramp(np.nan_to_num(shown), low, high), np.uint8(255))
    legend = {
        f"{number:.3g}": tuple(int(band) for band in ramp(np.array(number), low, high))
        for number in np.linspace(high, low, 5)
    }
    asset = write_map(folder / "map.tif", values, grid, f"Estimate ({title})", np.nan)
    return [asset, _write_png(folder, picture, small, legend, title, embeddings)]


def _write_png(
    folder: Path,
    picture: NDArray[np.uint8],
    grid: Grid,
    legend: dict[str, Any],
    title: str,
    embeddings: Embeddings,
) -> Asset:
    about = caption_of_item(embeddings.item, embeddings.path.name, embeddings.dim)
    caption = (f"Map of {title}", about.scene, about.period, about.model)
    framed = write_framed(folder / "map.png", picture, grid, caption, legend)
    description = f"Map of {title}, with legend"
    return Asset("picture", "map.png", "image/png", description, ("overview",), grid_fields(framed))
