"""How well each stored form of an output predicts labels, on land that was held out from learning."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tessera_engine.analysis.labels.classes import sorted_classes
from tessera_engine.analysis.labels.pixels import Labels, LabelSource, with_embeddings
from tessera_engine.analysis.labels.reading import read_labels
from tessera_engine.analysis.maps.compare import MAIN_SCORES, Comparison
from tessera_engine.analysis.maps.forms import VQ, Form, forms, quantised, read_back, stored_form
from tessera_engine.analysis.maps.intervals import CONFIDENCE, DRAWS, Interval
from tessera_engine.analysis.maps.learn import Blocks, make_blocks, need_learning
from tessera_engine.analysis.options import EvaluateOptions
from tessera_engine.errors import InputError
from tessera_engine.files.checksums import path_sha256
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.machine import check_threads
from tessera_engine.progress import Progress

MOST_LABELS = 5_000
"""Labelled pixels to use, at most. Models are fitted fifteen times for each form, and more labels hardly change the
scores."""


@dataclass(frozen=True)
class Row:
    """One form with one method.

    Attributes:
        method: see `tessera_engine.analysis.maps.learn.METHODS`.
        form: how the embeddings are stored.
        scores: name -> score, with its interval.
        difference: main score minus that of the first form, from the same folds and draws.
    """

    method: str
    form: Form
    scores: dict[str, Interval]
    difference: Interval


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The scores of all forms.

    Attributes:
        facts: of the embeddings, the labels and the validation, by name; plain values.
        main: name of the score by which forms are compared.
        rows: method by method, each from the first form to the last.
        notes: what was unusual about the labels, a line each.
        out: the folder of the report; None where none was written.
    """

    facts: dict[str, Any]
    main: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    out: Path | None = None

    def __repr__(self) -> str:
        best = max(self.rows, key=lambda row: row.scores[self.main].value)
        place = "" if self.out is None else f" {self.out}"
        return (
            f"<Evaluation{place}: {len(self.rows)} rows; best {self.main} {best.scores[self.main].value:.3f} "
            f"({best.method}, {best.form})>"
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        rows = [
            {
                "method": row.method,
                "store": row.form.stored_as,
                "dim": row.form.dim,
                "bytes_per_pixel": row.form.bytes_per_pixel,
                "km2_per_gb": row.form.km2_per_gb,
                "scores": {name: asdict(score) for name, score in row.scores.items()},
                "difference": asdict(row.difference),
            }
            for row in self.rows
        ]
        return {**self.facts, "main_score": self.main, "rows": rows, "notes": list(self.notes)}


def measure_forms(
    embeddings: Embeddings,
    labels: LabelSource,
    options: EvaluateOptions,
    report: Progress | None = None,
) -> Evaluation:
    """Measure every form in which an output's embeddings can be stored, by spatial cross-validation.

    Args:
        embeddings: an opened output.
        labels: see `tessera_engine.analysis.labels.reading.read_labels`.
        options: methods, blocks and threads.
        report: called with scores done and in all.

    Raises:
        InputError: the labels can't be used.
        MissingExtra: scikit-learn, or a library that reads labels, isn't installed.
        TesseraError: a file couldn't be read.
    """
    need_learning("evaluate")
    regression = options.regression
    read, x = with_embeddings(read_labels(labels, embeddings.grid, regression, MOST_LABELS), embeddings)
    if not regression and len(set(read.values)) < 2:
        raise InputError(f"{labels.path} has only one class on the embeddings; expected 2 or more")
    blocks = make_blocks(read, embeddings.grid, options.block)
    comparison = Comparison(read.values, blocks.groups, regression, check_threads(options.threads))
    main = MAIN_SCORES[regression]
    stored = stored_form(embeddings)
    measured = forms(stored, embeddings.dim)
    readable = [form for form in measured if stored == VQ or form.stored_as != VQ]
    coded = [(form, quantised(embeddings, read.cols, read.rows)) for form in measured if form not in readable]
    rows = []
    for method in options.method:
        first = None
        for form, values in (*read_back(x, stored, readable), *coded):
            outcome = comparison.measure(values, method)
            first = first or outcome
            rows.append(Row(method, form, outcome.scores(), outcome.less(first, main)))
            if report is not None:
                report(len(rows), len(options.method) * len(measured))
    return Evaluation(facts_of(embeddings, labels, read, comparison, blocks), main, tuple(rows), read.notes)


def facts_of(
    embeddings: Embeddings, labels: LabelSource, read: Labels, comparison: Comparison, blocks: Blocks
) -> dict[str, Any]:
    """Facts of the embeddings, the labels and the validation, by name."""
    about = embeddings.provenance
    facts = {
        "embeddings": str(embeddings.item.get("id", embeddings.path.name)),
        **{key: about.get(key) for key in ("model", "model_sha256", "precision")},
        "labels": labels.path.name,
        "labels_sha256": path_sha256(labels.path),
        "field": labels.field,
        "labelled_pixels": len(read),
        "folds": len(comparison.folds),
        "blocks": len(np.unique(blocks.groups)),
        "block_metres": blocks.metres,
        "interval": f"{CONFIDENCE} %, percentiles of {DRAWS} random weightings of the blocks",
    }
    if not comparison.regression:
        counts = Counter(read.values)
        facts["classes"] = {name: counts[name] for name in sorted_classes(counts)}
    return facts
