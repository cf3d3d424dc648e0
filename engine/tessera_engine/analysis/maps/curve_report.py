"""The report of a learning curve: a document, a figure, and a folder with both."""

from __future__ import annotations

import json
from pathlib import Path

from tessera_engine.analysis.labels.pixels import LabelSource
from tessera_engine.analysis.maps.curve import Curve, learning_curve
from tessera_engine.analysis.maps.curve_figure import draw_curve
from tessera_engine.analysis.maps.intervals import Interval
from tessera_engine.analysis.rasters import write_result_item
from tessera_engine.analysis.reporting.document import Block, Document, Figure, Notes, Paragraph, Table
from tessera_engine.analysis.reporting.write import write_report
from tessera_engine.files.result import check_apart, result_folder
from tessera_engine.files.text import write_text
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.given import identity_of
from tessera_engine.progress import Progress
from tessera_engine.stac.items import Asset


def write_curve(
    embeddings: Embeddings,
    labels: LabelSource,
    block: float | None,
    out: Path,
    overwrite: bool,
    report: Progress | None,
) -> Curve:
    """Measure a curve and write its folder: `report.html`, `report.md`, `report.png`, `report.json`, `item.json`.

    Args:
        embeddings: an opened output.
        labels: of classes.
        block: side of the blocks, in metres; None: a fifth of the labelled area.
        out: the folder to make.
        overwrite: replace an earlier report.
        report: called with draws done and in all.

    Raises:
        InputError: see `learning_curve`, or something stands at `out`.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    check_apart(out, (embeddings.path, labels.path))
    identity = identity_of(
        "evaluate --curve", (embeddings,), labels=labels.path, source=repr(labels), block=block
    )
    with result_folder(out, overwrite, identity) as folder:
        curve = learning_curve(embeddings, labels, block, report)
        picture = folder / "report.png"
        draw_curve(curve, picture)
        found = curve_document(curve, picture)
        assets = write_report(folder, found)
        write_text(folder / "report.json", json.dumps(curve.to_dict(), indent=2) + "\n")
        assets += [
            Asset("picture", "report.png", "image/png", "The learning curve", ("overview",)),
            Asset("numbers", "report.json", "application/json", "The curve, as numbers", ("metadata",)),
        ]
        facts = {key: curve.facts[key] for key in ("labels", "field")}
        write_result_item(folder, (embeddings.grid,), (embeddings,), "curve", found.title, assets, facts)
    return curve


def curve_document(curve: Curve, picture: Path | None = None) -> Document:
    """The report.

    Args:
        curve: the scores.
        picture: of the curve, a PNG beside the report; None: there is none.
    """
    facts = curve.facts
    counts = ", ".join(f"{name} {count}" for name, count in facts["classes"].items())
    blocks: list[Block] = [
        Paragraph(
            f"Balanced accuracy of logistic regression on land that is not labelled: half of {facts['blocks']} blocks "
            f"of {facts['block_metres']:g} m, drawn {facts['draws']} times. {facts['labelled_pixels']:,} labelled "
            f"pixels of {facts['labels']}: {counts}. In brackets: {facts['interval']}."
        ),
        *([Notes(tuple(curve.notes))] if curve.notes else []),
        *([Figure(picture, "Accuracy by the number of labels, suggested and random")] if picture else []),
        Table(
            ("labels", "suggested", "random", "suggested minus random", "random labels that are as good"),
            tuple(
                (
                    str(step.labels),
                    _percent(step.suggested),
                    _percent(step.random),
                    _percent(step.difference, "+"),
                    _worth(curve, step.labels),
                )
                for step in curve.steps
            ),
        ),
    ]
    name = facts["field"] or facts["labels"]
    return Document(f"How many labels of {name} a map of {facts['embeddings']} needs", tuple(blocks))


def _percent(score: Interval, sign: str = "") -> str:
    value, low, high = (f"{100 * each:{sign}.1f}" for each in (score.value, score.low, score.high))
    return f"{value} ({low} to {high})"


def _worth(curve: Curve, labels: int) -> str:
    found = curve.worth(labels)
    return f"more than {curve.steps[-1].labels}" if found is None else f"{found:.0f}"
