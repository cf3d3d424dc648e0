"""From embeddings and labels to a map: learn, validate, predict strip by strip, write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import LARGEST_CODE, MOST_CLASSES, Classes
from tessera_engine.analysis.labels.gathering import gather
from tessera_engine.analysis.labels.pixels import LabelSource
from tessera_engine.analysis.maps.drawing import Drawing, draw_classes, draw_numbers
from tessera_engine.analysis.maps.fields import NOTE, Fields
from tessera_engine.analysis.maps.fields import PIXEL_BYTES as FIELD_BYTES
from tessera_engine.analysis.maps.learn import (
    assess,
    make_blocks,
    make_model,
    need_learning,
    predict_held_out,
    split,
)
from tessera_engine.analysis.maps.quality import quality, unknown_because_of
from tessera_engine.analysis.options import MapKeywords, MapOptions, check_options
from tessera_engine.analysis.rasters import within, write_result_item
from tessera_engine.errors import InputError, check_type
from tessera_engine.files.checksums import path_sha256
from tessera_engine.files.naming import default_out
from tessera_engine.files.result import result_folder
from tessera_engine.formats.embeddings.base import BLOCK_VALUES, Embeddings
from tessera_engine.formats.embeddings.same_model import check_same_model
from tessera_engine.formats.given import (
    GivenPath,
    Several,
    check_path,
    folder_names,
    identity_of,
    open_given,
    open_several,
    paths_given,
)
from tessera_engine.machine import check_threads
from tessera_engine.progress import ShowProgress, part_of, shown
from tessera_engine.running.memory import strip_values
from tessera_engine.running.options import spelled_out
from tessera_engine.stac.items import Asset

if TYPE_CHECKING:
    from typing_extensions import Unpack

MOST_LABELS = 20_000
"""Labelled pixels to learn from, at most. More of them improve a map little, and kNN and forests become slow."""

LEARNING_BYTES = 150_000_000
"""Memory of scikit-learn, the labels and the fitted model."""

PIXEL_BYTES = 6
"""Bytes of memory that the map and its picture take for each pixel."""

VALUE_BYTES = 20
"""Bytes of memory that predicting takes for each value, besides reading it: the dequantised and the scaled value, and
what the model computes from them."""


RENUMBERED = (
    f"not all codes are from 0 to {LARGEST_CODE}, so the pixel values of map.tif are 1, 2, ...; legend.csv has the "
    "code of each"
)


@dataclass(frozen=True, repr=False)
class Map:
    """A finished map.

    Attributes:
        out: the folder.
        report: the scores of the cross-validation, see `tessera_engine.analysis.maps.learn.assess`.
        notes: what was unusual about the labels, a line each.
    """

    out: Path
    report: dict[str, Any]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        report = self.report
        return (
            f"<Map {self.out}: {quality(report)}, in {report['folds']} folds over {report['blocks']} blocks>"
        )


def map(
    embeddings: Several,
    labels: GivenPath,
    field: str | None = None,
    out: GivenPath | None = None,
    *,
    overwrite: bool = False,
    progress: ShowProgress = None,
    **options: Unpack[MapKeywords],
) -> Map:
    """Map whole scenes from a few labels.

    Of several outputs, each has its map in a folder of its name.

    Args:
        embeddings: what is mapped: an output folder, or `open_embeddings(...)`, or a list of them, by one model.
        labels: a file with points or polygons, a table or a raster, see
            `tessera_engine.analysis.labels.reading.read_labels`.
        field: the field of points or polygons, or the column of a table, to map.
        out: the folder to make; None: `<name>.map` in the current folder.
        overwrite: replace an earlier map.
        progress: a function to call with pixels done and in all; True to show progress, False not to; None: show it
            in terminals and notebooks.
        train: the embeddings at the labels, by the same model; None: those that are mapped. The labels may lie in any
            of several; where they overlap, a place is taken from the first that has data there.
        by_segment: a file of polygons, such as `segment` writes or the parcels of a register: each gets one class, the
            one with most votes of its pixels, or their mean number. Pixels outside are mapped one by one.
        method: `linear` (logistic or ridge regression), `knn` or `forest`.
        regression: the labels are numbers, not classes.
        block: side of the blocks of the spatial cross-validation, in metres; None: a fifth of the labelled area.
        layer: the layer of a file with several; None: the only one that has the field.
        labels_crs: the CRS of the labels' coordinates, such as "EPSG:32631"; None: what the file says.
        band: the band of a raster with several, from 1; None: the only one.
        nodata: the number that is no label; None: what a raster declares.
        dim: use only the first `dim` dimensions; None: all that are stored.
        year: the year to map, of an output with several years.
        train_year: the year to read from `train`, if it has several.
        until: the last day of the period to map, of an output with several periods.
        train_until: the last day of the period to read from `train`, if it has several.
        memory: what the process may take: bytes, or a size like "2GB"; None: half of the free memory, at most 4 GB.
        threads: CPU threads; None: all that this process may use.

    Raises:
        InputError: an argument is wrong, the labels can't be used, the embeddings are of different models, the memory
            is too little, or there is something at `out` already.
        MissingExtra: scikit-learn, or a library that reads labels, isn't installed.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    chosen = check_options(MapOptions, "map", options)
    check_type("overwrite", overwrite, (bool,), "True or False")
    target = default_out(paths_given("embeddings", embeddings)[0], "map")
    if out is not None:
        check_path("out", out, "a folder")
        target = Path(out)
    check_path("labels", labels, "a file with points or polygons, a table or a raster")
    if field is not None:
        check_type("field", field, (str,), "the name of a field")
    need_learning("map")
    opened = open_several("embeddings", embeddings, chosen.dim, chosen.year, chosen.until)
    sources, names = opened, folder_names(opened)
    if chosen.train is not None:
        sources = [open_given("train", chosen.train, chosen.dim, chosen.train_year, chosen.train_until)]
        check_same_model(opened[0], sources[0])
    extra = 0 if chosen.by_segment is None else FIELD_BYTES
    strips = [_strip_size(each, chosen.memory, extra) for each in opened]
    fields = _fields(chosen.by_segment, opened)
    file, regression = Path(labels), chosen.regression
    given = LabelSource(file, field, chosen.layer, chosen.labels_crs, chosen.band, chosen.nodata)
    read = gather(given, sources, regression, MOST_LABELS)
    classes = None if regression else _classes(file, read.values)
    notes = read.notes
    if classes is not None and classes.renumbered:
        notes += (RENUMBERED,)
    if chosen.by_segment is not None:
        notes += (NOTE,)
    grids = [each.grid for each in sources]
    blocks = make_blocks(list(zip(read.labels, grids, strict=True)), chosen.block)
    folds = split(read.values, blocks.groups, regression)
    fewest = min(len(learned) for learned, _ in folds)
    model = make_model(chosen.method, regression, fewest, check_threads(chosen.threads))
    identity = identity_of(
        "map", (*opened, *sources), labels=file, field=field, by_segment=chosen.by_segment, options=chosen
    )
    trained = [str(each.item.get("id", each.path.name)) for each in sources]
    with shown(progress, "mapping", "px") as tally, result_folder(target, overwrite, identity) as folder:
        report = {
            "method": chosen.method,
            "folds": len(folds),
            "blocks": len(np.unique(blocks.groups)),
            "block_metres": blocks.metres,
            "labelled_pixels": len(read),
            "notes": list(notes),
            **assess(read.values, predict_held_out(model, read.x, read.values, folds), regression),
        }
        report["accuracy_known"] = not unknown_because_of(report)
        model.fit(read.x, read.values)
        name, assets = field or file.stem, []
        pixels = [each.grid.window.pixels for each in opened]
        for i, (each, strip, own, parcels) in enumerate(zip(opened, strips, names, fields, strict=True)):
            place = folder if len(opened) == 1 else folder / own
            place.mkdir(exist_ok=True)
            part = part_of(tally, sum(pixels[:i]), sum(pixels))
            drawing = Drawing(place, each, each.windows(strip), model, name, quality(report), part, parcels)
            drawn = draw_numbers(drawing) if classes is None else draw_classes(drawing, classes)
            assets += drawn if len(opened) == 1 else [within(asset, own, each.grid) for asset in drawn]
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        assets.append(
            Asset("report", "report.json", "application/json", "Spatial cross-validation", ("metadata",))
        )
        facts = {
            "method": chosen.method,
            "field": field,
            "labels": file.name,
            "labels_sha256": path_sha256(file),
            **({} if chosen.by_segment is None else {"by_segment": chosen.by_segment.name}),
            "trained_on": trained if len(trained) > 1 else trained[0],
        }
        title = f"Map of {name} from {len(read)} labelled pixels"
        write_result_item(folder, [each.grid for each in opened], opened, "map", title, assets, facts)
    return Map(target, report, notes)


def _fields(path: Path | None, outputs: Sequence[Embeddings]) -> list[Fields | None]:
    """The fields on each output.

    Raises:
        InputError: the file can't be used, or no field lies on any output.
    """
    if path is None:
        return [None] * len(outputs)
    for each in outputs:
        if each.grid.crs is None:
            raise InputError(f"{each.path} has no CRS, so fields have no place in it; leave out by_segment=")
    found = [Fields.read(path, each.grid) for each in outputs]
    if not any(each.filled for each in found):
        raise InputError(
            f"no polygon of {path} holds the centre of a pixel of {', '.join(str(each.path) for each in outputs)}; "
            "give by_segment= of the same place"
        )
    return list(found)


def _strip_size(embeddings: Embeddings, memory: int | None, extra: int) -> int:
    """Values that are predicted at a time; `extra` bytes of memory for each pixel are taken already.

    Raises:
        InputError: the memory is too little.
    """
    row = embeddings.grid.width * embeddings.dim
    fixed = LEARNING_BYTES + embeddings.grid.window.pixels * (PIXEL_BYTES + extra)
    return strip_values(memory, fixed, embeddings.bytes_per_value + VALUE_BYTES, row, BLOCK_VALUES)


def _classes(file: Path, values: NDArray[Any]) -> Classes:
    count = len(set(values))
    if not 2 <= count <= MOST_CLASSES:
        raise InputError(f"{file} has {count} class(es) on the embeddings; expected 2 to {MOST_CLASSES}")
    return Classes.of(values)


map.__signature__ = spelled_out(map, MapKeywords, MapOptions())  # type: ignore[attr-defined]
