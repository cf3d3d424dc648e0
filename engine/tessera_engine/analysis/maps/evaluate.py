"""What each stored form of an output's embeddings tells of labels, on land that wasn't learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tessera_engine.analysis.maps.compare import MAIN_SCORES, Comparison
from tessera_engine.analysis.maps.forms import Form, forms, read_back
from tessera_engine.analysis.maps.intervals import CONFIDENCE, DRAWS, Interval
from tessera_engine.analysis.maps.labels import read_labels, with_embeddings
from tessera_engine.analysis.maps.learn import METHODS, make_blocks, need_learning
from tessera_engine.errors import InputError
from tessera_engine.files.checksums import file_sha256
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.progress import Progress

MOST_LABELS = 5_000
"""Labelled pixels that are used: a form is learned from fifteen times, and more hardly change the scores."""


@dataclass(frozen=True)
class Row:
    """One form with one method.

    Attributes:
        method: see `tessera_engine.analysis.maps.learn.METHODS`.
        form: how the embeddings are stored.
        scores: name -> score, with its interval.
        difference: of the main score to the first form's, from the same folds and draws.
    """

    method: str
    form: Form
    scores: dict[str, Interval]
    difference: Interval


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        facts: of the embeddings, the labels and the validation, by name; plain values.
        main: the score by which forms are compared.
        rows: method by method, each from the first form to the last.
        notes: what was worth saying about the labels, a line each.
    """

    facts: dict[str, Any]
    main: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

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


def evaluate(
    embeddings: Embeddings,
    labels: str | Path,
    *,
    field: str | None = None,
    methods: Sequence[str] = METHODS,
    regression: bool = False,
    block_metres: float | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure every form that an output's embeddings can be stored in, by spatial cross-validation.

    Args:
        embeddings: an opened output.
        labels: file with points, polygons or a raster, see `tessera_engine.analysis.maps.labels.read_labels`.
        field: of points or polygons.
        methods: what learns, see `tessera_engine.analysis.maps.learn.METHODS`.
        regression: the labels are numbers, not classes.
        block_metres: side of the blocks that are left out; None: a fifth of the labelled part.
        threads: CPU threads.
        progress: called with what is measured and what there is in all.

    Raises:
        InputError: the labels can't be used, or a method is unknown.
        MissingExtra: scikit-learn, or what reads labels, isn't installed.
        TesseraError: a file couldn't be read.
    """
    need_learning("evaluate")
    labels = Path(labels)
    read, x = with_embeddings(
        read_labels(labels, field, embeddings.grid, regression), embeddings, MOST_LABELS
    )
    if not regression and len(set(read.values)) < 2:
        raise InputError(f"{labels} has only one class on the embeddings; expected 2 or more")
    blocks = make_blocks(read, embeddings.grid, block_metres)
    comparison = Comparison(read.values, blocks.groups, regression, threads)
    main = MAIN_SCORES[regression]
    measured = forms(embeddings.stored_as, embeddings.dim)
    rows = []
    for method in methods:
        first = None
        for form, values in read_back(x, embeddings.stored_as, measured):
            outcome = comparison.measure(values, method)
            first = first or outcome
            rows.append(Row(method, form, outcome.scores(), outcome.less(first, main)))
            if progress is not None:
                progress(len(rows), len(methods) * len(measured))
    about = embeddings.provenance
    facts = {
        "embeddings": str(embeddings.item.get("id", embeddings.path.name)),
        **{key: about.get(key) for key in ("model", "model_sha256", "precision")},
        "labels": labels.name,
        "labels_sha256": file_sha256(labels),
        "field": field,
        "labelled_pixels": len(read),
        "folds": len(comparison.folds),
        "blocks": len(np.unique(blocks.groups)),
        "block_metres": blocks.metres,
        "interval": f"{CONFIDENCE} %, percentile bootstrap of {DRAWS} draws over blocks",
    }
    if not regression:
        names, counts = np.unique(read.values.astype(str), return_counts=True)
        facts["classes"] = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return Evaluation(facts, main, tuple(rows), read.notes)
