"""Evaluate an output's stored forms with labels, and write the report: text, figure, numbers, and an item."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tessera_engine.analysis.labels.pixels import LabelSource
from tessera_engine.analysis.labels.reading import check_used
from tessera_engine.analysis.maps.evaluation import Evaluation, measure
from tessera_engine.analysis.maps.figures import draw
from tessera_engine.analysis.maps.report import document
from tessera_engine.analysis.options import EvaluateKeywords, EvaluateOptions, check_options
from tessera_engine.analysis.rasters import write_result_item
from tessera_engine.analysis.reporting.write import write_report
from tessera_engine.errors import InputError, check_type
from tessera_engine.files.result import check_apart, result_folder
from tessera_engine.files.text import write_text
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.given import (
    GivenPath,
    Several,
    check_path,
    identity_of,
    open_several,
    paths_given,
)
from tessera_engine.formats.opening import stored_periods
from tessera_engine.progress import ShowProgress, shown
from tessera_engine.running.options import spelled_out
from tessera_engine.stac.items import Asset

if TYPE_CHECKING:
    from typing_extensions import Unpack


def evaluate(
    embeddings: Several,
    labels: GivenPath,
    field: str | None = None,
    out: GivenPath | None = None,
    *,
    overwrite: bool = False,
    progress: ShowProgress = None,
    **options: Unpack[EvaluateKeywords],
) -> Evaluation:
    """Measure how well each stored form of an output predicts labels, by spatial cross-validation.

    Of a store with several periods, each period is measured instead, as it is stored: how early the labels can be
    predicted. The labels of several outputs are measured together, and each output beside that.

    Args:
        embeddings: an output folder, or `open_embeddings(...)`, or a list of them, by one model; the labels may lie in
            any of them. Where outputs overlap, a place is taken from the first that has data there.
        labels: a file with points or polygons, a table or a raster, see
            `tessera_engine.analysis.labels.reading.read_labels`.
        field: the field of points or polygons, or the column of a table, to predict.
        out: the folder to make, with `report.html`, `report.md`, `report.png`, `report.json` and `item.json`; None:
            write no files.
        overwrite: replace an earlier report.
        progress: a function to call with scores done and in all; True to show progress, False not to; None: show it
            in terminals and notebooks.
        method: `linear`, `knn`, `forest`, `boosting` or `mlp`, or a list of them; None: the first three.
        regression: the labels are numbers, not classes.
        block: side of the blocks that are held out, in metres; None: a fifth of the labelled area.
        layer: the layer of a file with several; None: the only one that has the field.
        labels_crs: the CRS of the labels' coordinates, such as "EPSG:32631"; None: what the file says.
        band: the band of a raster with several, from 1; None: the only one.
        nodata: the number that is no label; None: what a raster declares.
        year: the year to read, of an output with several years.
        until: the last day of the only period to measure, of an output with several; None: all of them.
        threads: CPU threads; None: all that this process may use.

    Raises:
        InputError: an argument is wrong, the labels can't be used, or there is something at `out` already.
        MissingExtra: scikit-learn, Pillow, or a library that reads labels, isn't installed.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    chosen = check_options(EvaluateOptions, "evaluate", options)
    check_type("overwrite", overwrite, (bool,), "True or False")
    paths_given("embeddings", embeddings)
    if out is not None:
        check_path("out", out, "a folder")
    check_path("labels", labels, "a file with points or polygons, a table or a raster")
    if field is not None:
        check_type("field", field, (str,), "the name of a field")
    times = _open(embeddings, chosen)
    source = LabelSource(Path(labels), field, chosen.layer, chosen.labels_crs, chosen.band, chosen.nodata)
    check_used(source)
    with shown(progress, "evaluating", "scores") as report:
        if out is None:
            return measure(times, source, chosen, report)
        every = [each for outputs in times for each in outputs]
        check_apart(Path(out), [source.path, *(each.path for each in every)])
        identity = identity_of("evaluate", every, labels=source.path, field=field, options=chosen)
        with result_folder(Path(out), overwrite, identity) as folder:
            found = measure(times, source, chosen, report)
            _write(found, times[-1], folder)
    return replace(found, out=Path(out))


evaluate.__signature__ = spelled_out(  # type: ignore[attr-defined]
    evaluate, EvaluateKeywords, EvaluateOptions()
)


def _open(embeddings: Several, options: EvaluateOptions) -> list[list[Embeddings]]:
    """The embeddings to measure, once, or for each of several periods of stores.

    Raises:
        InputError: see `open_several`; or stores have different periods.
    """
    paths = paths_given("embeddings", embeddings)
    given = list(embeddings) if isinstance(embeddings, (list, tuple)) else [embeddings]
    closed = not any(isinstance(each, Embeddings) for each in given)
    if closed and options.until is None and options.year is None:
        periods = [stored_periods(path) for path in paths]
        if any(len(each) > 1 for each in periods):
            for path, each in zip(paths, periods, strict=True):
                if each != periods[0]:
                    raise InputError(
                        f"{paths[0]} and {path} hold different periods, so they can't be measured together; give until="
                    )
            return [open_several("embeddings", embeddings, until=last) for _, last in periods[0]]
    return [open_several("embeddings", embeddings, year=options.year, until=options.until)]


def _write(evaluation: Evaluation, outputs: Sequence[Embeddings], folder: Path) -> None:
    """Write the report of an evaluation of these embeddings."""
    title = f"Evaluation on {evaluation.facts['field'] or evaluation.facts['labels']}"
    draw(evaluation, folder / "report.png")
    assets = write_report(folder, document(evaluation, folder / "report.png"))
    numbers = json.dumps(evaluation.to_dict(), indent=2)
    write_text(folder / "report.json", numbers + "\n")
    assets += [
        Asset("picture", "report.png", "image/png", f"{title}, as a figure", ("overview",)),
        Asset("numbers", "report.json", "application/json", f"{title}, as numbers", ("metadata",)),
    ]
    asked = {key: evaluation.facts[key] for key in ("labels", "labels_sha256", "field")}
    grids = [each.grid for each in outputs]
    write_result_item(folder, grids, outputs, "evaluation", title, assets, asked)
