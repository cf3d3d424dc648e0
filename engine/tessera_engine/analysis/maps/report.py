"""The report of an evaluation."""

from __future__ import annotations

from pathlib import Path

from tessera_engine.analysis.maps.evaluation import Evaluation, Row
from tessera_engine.analysis.maps.intervals import Interval
from tessera_engine.analysis.maps.learners.registry import LEARNERS
from tessera_engine.analysis.reporting.document import (
    Block,
    Document,
    Figure,
    Heading,
    Notes,
    Paragraph,
    Table,
)

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "r2": "R2",
    "rmse": "RMSE",
}

METHOD_TITLES = {name: learner.title for name, learner in LEARNERS.items()}

PERCENT = ("accuracy", "balanced_accuracy", "macro_f1")
"""Scores that are shown in percent."""

SHOWN_CLASSES = 8
"""Classes that the table of periods has columns for, those with most labels."""


def document(evaluation: Evaluation, picture: Path | None = None) -> Document:
    """The report: what was measured, and one table for each method.

    Args:
        evaluation: the scores.
        picture: of the scores, a PNG beside the report; None: there is none.
    """
    facts = evaluation.facts
    names = facts["embeddings"] if isinstance(facts["embeddings"], str) else ", ".join(facts["embeddings"])
    how, same = ("How early", ", the same in all periods") if evaluation.by_period else ("How well", "")
    about = (
        f"Model {facts['model'] or 'unknown'}, {facts['labelled_pixels']:,} labelled pixels of {facts['labels']}{same}."
        f" Each score is measured on blocks that were held out: {facts['folds']} folds over {facts['blocks']} blocks "
        f"of {facts['block_metres']:g} m. In brackets: {facts['interval']}."
    )
    if not evaluation.by_period:
        about += " Bytes: codes and scales, or numbers and codebooks, not compressed; km2 with 10 m pixels."
    blocks: list[Block] = [Paragraph(about)]
    if "classes" in facts:
        counts = ", ".join(f"{name} {count}" for name, count in facts["classes"].items())
        blocks.append(Paragraph(f"Labelled pixels by class: {counts}."))
    if evaluation.notes:
        blocks.append(Notes(tuple(evaluation.notes)))
    if picture is not None:
        blocks.append(Figure(picture, f"{TITLES[evaluation.main]} of each method, with intervals"))
    for method, rows in evaluation.methods.items():
        blocks += (
            _period_table(evaluation, method, rows) if evaluation.by_period else _form_table(evaluation, rows)
        )
    title = f"{how} {names} predicts {facts['field'] or facts['labels']}"
    return Document(title, (*blocks, *_places(evaluation)))


def _form_table(evaluation: Evaluation, rows: list[Row]) -> list[Block]:
    main, names = evaluation.main, list(rows[0].scores)
    titles = [
        "form",
        "bytes per pixel",
        "km2 per GB",
        *(TITLES[name] for name in names),
        f"{TITLES[main]} minus the first",
    ]
    table = []
    for i, row in enumerate(rows):
        cells = [str(row.form), f"{row.form.bytes_per_pixel:.3g}", f"{row.form.km2_per_gb:,.0f}"]
        cells += [score_text(row.scores[name], name) for name in names]
        table.append([*cells, score_text(row.difference, main, "+") if i else ""])
    return [Heading(METHOD_TITLES[rows[0].method]), _table(titles, table)]


def _period_table(evaluation: Evaluation, method: str, rows: list[Row]) -> list[Block]:
    main, names, counts = evaluation.main, list(rows[0].scores), evaluation.facts.get("classes", {})
    classes = sorted(counts, key=lambda name: -counts[name])[:SHOWN_CLASSES]
    titles = ["until", *(TITLES[name] for name in names), f"{TITLES[main]} minus the last"]
    titles += [f"found of {name}" for name in classes]
    table, first, start = [], "", ""
    for row in rows:
        assert row.period is not None
        cells = [row.period.until, *(score_text(row.scores[name], name) for name in names)]
        cells.append("" if row is rows[-1] else score_text(row.difference, main, "+"))
        table.append([*cells, *(f"{100 * row.period.recall[name]:.0f} %" for name in classes)])
        start = row.period.start
        first = row.period.until if row is evaluation.earliest(method) else first
    return [
        Heading(f"{METHOD_TITLES[method]}, from {start}"),
        _table(titles, table),
        Paragraph(f"From {first} on, the {TITLES[main]} is not lower than at the end, beyond chance."),
    ]


def _places(evaluation: Evaluation) -> list[Block]:
    """The table of several outputs; nothing for one."""
    if not evaluation.places:
        return []
    main, methods = evaluation.main, list(evaluation.methods)
    table = [
        [
            place.embeddings,
            f"{place.labelled_pixels:,}",
            *(_value(place.scores[method], main) if method in place.scores else "" for method in methods),
        ]
        for place in evaluation.places
    ]
    titles = ["embeddings", "labelled pixels", *(METHOD_TITLES[method] for method in methods)]
    return [Heading(f"By output: {TITLES[main]}"), _table(titles, table)]


def _table(titles: list[str], rows: list[list[str]]) -> Table:
    return Table(tuple(titles), tuple(map(tuple, rows)))


def score_text(score: Interval, name: str, sign: str = "") -> str:
    """A score with its interval, in percent where that is usual."""
    value, low, high = (_value(each, name, sign) for each in (score.value, score.low, score.high))
    return f"{value} ({low} to {high})"


def _value(value: float, name: str, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f}" if name in PERCENT else f"{value:{sign}.3g}"
