"""The report of an evaluation as Markdown."""

from __future__ import annotations

from tessera_engine.analysis.maps.evaluation import Evaluation, Row
from tessera_engine.analysis.maps.intervals import Interval

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "r2": "R2",
    "rmse": "RMSE",
}

METHOD_TITLES = {
    "linear": "Linear probe",
    "knn": "k nearest neighbours",
    "forest": "Random forest",
}

PERCENT = ("accuracy", "balanced_accuracy", "macro_f1")
"""Scores that are shown in percent."""

SHOWN_CLASSES = 8
"""Classes that the table of periods has columns for, those with most labels."""


def markdown(evaluation: Evaluation) -> str:
    """The report as Markdown: what was measured, and one table for each method."""
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
    lines = [f"# {how} {names} predicts {facts['field'] or facts['labels']}", "", about]
    if "classes" in facts:
        counts = ", ".join(f"{name} {count}" for name, count in facts["classes"].items())
        lines += ["", f"Labelled pixels by class: {counts}."]
    lines += [f"Note: {note}." for note in evaluation.notes]
    for method, rows in evaluation.methods.items():
        lines += (
            _period_table(evaluation, method, rows) if evaluation.by_period else _form_table(evaluation, rows)
        )
    return "\n".join([*lines, *_places(evaluation)]) + "\n"


def _form_table(evaluation: Evaluation, rows: list[Row]) -> list[str]:
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
    return ["", f"## {METHOD_TITLES[rows[0].method]}", "", *_table(titles, table)]


def _period_table(evaluation: Evaluation, method: str, rows: list[Row]) -> list[str]:
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
        "",
        f"## {METHOD_TITLES[method]}, from {start}",
        "",
        *_table(titles, table),
        "",
        f"From {first} on, the {TITLES[main]} is not lower than at the end, beyond chance.",
    ]


def _places(evaluation: Evaluation) -> list[str]:
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
    return ["", f"## By output: {TITLES[main]}", "", *_table(titles, table)]


def _table(titles: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a table."""
    return [
        f"| {' | '.join(titles)} |",
        "|---" * len(titles) + "|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def score_text(score: Interval, name: str, sign: str = "") -> str:
    """A score with its interval, in percent where that is usual."""
    value, low, high = (_value(each, name, sign) for each in (score.value, score.low, score.high))
    return f"{value} ({low} to {high})"


def _value(value: float, name: str, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f}" if name in PERCENT else f"{value:{sign}.3g}"
