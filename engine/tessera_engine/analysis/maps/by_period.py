"""How early labels can be predicted: the score of each period of a store, on the same labels, folds and draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tessera_engine.analysis.labels.classes import sorted_classes
from tessera_engine.analysis.labels.pixels import LabelSource, with_embeddings
from tessera_engine.analysis.labels.reading import read_labels
from tessera_engine.analysis.maps.compare import MAIN_SCORES, Comparison, Outcome
from tessera_engine.analysis.maps.evaluation import MOST_LABELS, facts_of
from tessera_engine.analysis.maps.intervals import Interval
from tessera_engine.analysis.maps.learn import make_blocks, need_learning
from tessera_engine.analysis.options import EvaluateOptions
from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.machine import check_threads
from tessera_engine.progress import Progress


@dataclass(frozen=True)
class PeriodRow:
    """One period with one method.

    Attributes:
        method: see `tessera_engine.analysis.maps.learn.METHODS`.
        start: first day, as ISO text.
        until: last day.
        with_data: share of the labelled pixels that have an embedding; the others count as wrong or, for numbers, get
            a vector of zeros.
        scores: name -> score, with its interval.
        difference: main score minus that of the last period, from the same folds and draws.
        recall: share of each class's labels that are found, by class; empty for regression.
    """

    method: str
    start: str
    until: str
    with_data: float
    scores: dict[str, Interval]
    difference: Interval
    recall: Mapping[str, float]


@dataclass(frozen=True, repr=False)
class PeriodEvaluation:
    """The scores of all periods.

    Attributes:
        facts: of the embeddings, the labels and the validation, by name; plain values.
        main: name of the score by which periods are compared.
        rows: method by method, each from the first period to the last.
        notes: what was unusual about the labels, a line each.
        out: the folder of the report; None where none was written.
    """

    facts: dict[str, Any]
    main: str
    rows: tuple[PeriodRow, ...]
    notes: tuple[str, ...]
    out: Path | None = None

    @property
    def methods(self) -> dict[str, list[PeriodRow]]:
        """The rows of each method."""
        return {
            method: [row for row in self.rows if row.method == method]
            for method in dict.fromkeys(row.method for row in self.rows)
        }

    def earliest(self, method: str) -> PeriodRow:
        """The first period from which on no score is lower than that of the last one, beyond chance.

        Beyond chance: the interval of the difference lies below 0.
        """
        rows = self.methods[method]
        lower = [i for i, row in enumerate(rows) if row.difference.high < 0]
        return rows[lower[-1] + 1 if lower else 0]

    def __repr__(self) -> str:
        place = "" if self.out is None else f" {self.out}"
        found = ", ".join(f"{method} from {self.earliest(method).until}" for method in self.methods)
        return f"<PeriodEvaluation{place}: {len(self.rows)} rows; {self.main} as in the last period: {found}>"

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        rows = [
            {
                **{key: getattr(row, key) for key in ("method", "start", "until", "with_data")},
                "scores": {name: asdict(score) for name, score in row.scores.items()},
                "difference": asdict(row.difference),
                "recall": dict(row.recall),
            }
            for row in self.rows
        ]
        earliest = {method: self.earliest(method).until for method in self.methods}
        return {
            **self.facts,
            "main_score": self.main,
            "earliest": earliest,
            "periods": rows,
            "notes": list(self.notes),
        }


def measure_periods(
    periods: Sequence[Embeddings],
    labels: LabelSource,
    options: EvaluateOptions,
    report: Progress | None = None,
) -> PeriodEvaluation:
    """Measure each period of a store by spatial cross-validation.

    Args:
        periods: the opened periods, in the order of time; labels are used where the last one has data.
        labels: see `tessera_engine.analysis.labels.reading.read_labels`.
        options: methods, blocks and threads.
        report: called with scores done and in all.

    Raises:
        InputError: the labels can't be used.
        MissingExtra: scikit-learn, or a library that reads labels, isn't installed.
        TesseraError: a file couldn't be read.
    """
    need_learning("evaluate")
    regression, last = options.regression, periods[-1]
    read, whole = with_embeddings(read_labels(labels, last.grid, regression, MOST_LABELS), last)
    if not regression and len(set(read.values)) < 2:
        raise InputError(f"{labels.path} has only one class on the embeddings; expected 2 or more")
    blocks = make_blocks(read, last.grid, options.block)
    comparison = Comparison(read.values, blocks.groups, regression, check_threads(options.threads))
    main = MAIN_SCORES[regression]
    classes = [] if regression else sorted_classes(read.values)
    rows: list[PeriodRow] = []
    for method in options.method:
        final = comparison.measure(whole, method)
        for period in periods:
            outcome, with_data = final, 1.0
            if period is not last:
                x = period.pixels(read.cols, read.rows)
                there = np.isfinite(x[:, 0])
                with_data = float(there.mean())
                outcome = comparison.measure(np.where(there[:, np.newaxis], x, 0), method)
            start, until = period.provenance["season"]
            rows.append(
                PeriodRow(
                    method,
                    start,
                    until,
                    with_data,
                    outcome.scores(),
                    outcome.less(final, main),
                    _recall(outcome, classes),
                )
            )
            if report is not None:
                report(len(rows), len(options.method) * len(periods))
    return PeriodEvaluation(facts_of(last, labels, read, comparison, blocks), main, tuple(rows), read.notes)


def _recall(outcome: Outcome, classes: Sequence[str]) -> dict[str, float]:
    """The share of each class's labels that are found."""
    if not classes:
        return {}
    counts, right = (each.sum(axis=0) for each in outcome.means["balanced_accuracy"])
    return {name: float(found / count) for name, found, count in zip(classes, right, counts, strict=True)}
