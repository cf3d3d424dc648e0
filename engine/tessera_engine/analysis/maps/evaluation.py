"""How well embeddings predict labels, on land that was held out from learning: each stored form, or each period."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import sorted_classes
from tessera_engine.analysis.labels.gathering import Gathered, gather
from tessera_engine.analysis.labels.pixels import LabelSource
from tessera_engine.analysis.maps.compare import MAIN_SCORES, Comparison, Outcome
from tessera_engine.analysis.maps.forms import VQ, Form, forms, quantised, read_back, stored_form
from tessera_engine.analysis.maps.intervals import CONFIDENCE, DRAWS, Interval
from tessera_engine.analysis.maps.learn import Blocks, make_blocks, need_learning
from tessera_engine.analysis.options import EvaluateOptions
from tessera_engine.errors import InputError
from tessera_engine.files.checksums import path_sha256
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.same_model import check_stored_alike
from tessera_engine.machine import check_threads
from tessera_engine.progress import Progress

MOST_LABELS = 5_000
"""Labelled pixels to use, at most. Models are fitted fifteen times for each form, and more labels hardly change the
scores."""


@dataclass(frozen=True)
class Seen:
    """One of several periods: how the labelled pixels were seen until then.

    Attributes:
        start: first day, as ISO text.
        until: last day.
        with_data: share of the labelled pixels that have an embedding; the others count as wrong or, for numbers, get
            a vector of zeros.
        recall: share of each class's labels that are found, by class; empty for regression.
    """

    start: str
    until: str
    with_data: float
    recall: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """One form, or one period, with one method.

    Attributes:
        method: see `tessera_engine.analysis.maps.learn.METHODS`.
        form: how the embeddings are stored.
        scores: name -> score, with its interval.
        difference: main score minus that of the first form or of the last period, from the same folds and draws.
        period: where periods are compared, this one; None where forms are.
    """

    method: str
    form: Form
    scores: dict[str, Interval]
    difference: Interval
    period: Seen | None = None


@dataclass(frozen=True)
class Place:
    """One of several outputs.

    Attributes:
        embeddings: its name.
        labelled_pixels: that lie there.
        scores: method -> main score on them, of the embeddings as they are stored; empty where no label lies there.
    """

    embeddings: str
    labelled_pixels: int
    scores: Mapping[str, float]


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The scores of all forms, or of all periods.

    Attributes:
        facts: of the embeddings, the labels and the validation, by name; plain values.
        main: name of the score by which forms and periods are compared.
        rows: method by method, each from the first form or period to the last.
        notes: what was unusual about the labels, a line each.
        places: the outputs, if there are several.
        out: the folder of the report; None where none was written.
    """

    facts: dict[str, Any]
    main: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    places: tuple[Place, ...] = ()
    out: Path | None = None

    @property
    def by_period(self) -> bool:
        """Whether periods are compared, not forms."""
        return self.rows[0].period is not None

    @property
    def methods(self) -> dict[str, list[Row]]:
        """The rows of each method."""
        return {
            method: [row for row in self.rows if row.method == method]
            for method in dict.fromkeys(row.method for row in self.rows)
        }

    def earliest(self, method: str) -> Row:
        """The first period from which on no score is lower than that of the last one, beyond chance.

        Beyond chance: the interval of the difference lies below 0.
        """
        rows = self.methods[method]
        lower = [i for i, row in enumerate(rows) if row.difference.high < 0]
        return rows[lower[-1] + 1 if lower else 0]

    def _earliest(self) -> dict[str, str]:
        """The last day of the earliest period of each method."""
        rows = {method: self.earliest(method) for method in self.methods}
        return {method: row.period.until for method, row in rows.items() if row.period is not None}

    def __repr__(self) -> str:
        place = "" if self.out is None else f" {self.out}"
        if self.by_period:
            found = ", ".join(f"{method} from {until}" for method, until in self._earliest().items())
            return f"<Evaluation{place}: {len(self.rows)} rows; {self.main} as in the last period: {found}>"
        best = max(self.rows, key=lambda row: row.scores[self.main].value)
        return (
            f"<Evaluation{place}: {len(self.rows)} rows; best {self.main} {best.scores[self.main].value:.3f} "
            f"({best.method}, {best.form})>"
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        rows = [
            {
                "method": row.method,
                **(_form_facts(row.form) if row.period is None else asdict(row.period)),
                "scores": {name: asdict(score) for name, score in row.scores.items()},
                "difference": asdict(row.difference),
            }
            for row in self.rows
        ]
        return {
            **self.facts,
            "main_score": self.main,
            **({"earliest": self._earliest(), "periods": rows} if self.by_period else {"rows": rows}),
            **({"places": [asdict(place) for place in self.places]} if self.places else {}),
            "notes": list(self.notes),
        }


def _form_facts(form: Form) -> dict[str, Any]:
    return {
        "store": form.stored_as,
        "dim": form.dim,
        "bytes_per_pixel": form.bytes_per_pixel,
        "km2_per_gb": form.km2_per_gb,
    }


def measure(
    times: Sequence[Sequence[Embeddings]],
    labels: LabelSource,
    options: EvaluateOptions,
    report: Progress | None = None,
) -> Evaluation:
    """Measure each form in which embeddings can be stored, or each of several periods, by spatial cross-validation.

    Args:
        times: the opened outputs of one model, once; or for each of several periods, in the order of time, on the same
            grids. Labels are used where the last period has data.
        labels: see `tessera_engine.analysis.labels.reading.read_labels`.
        options: methods, blocks and threads.
        report: called with scores done and in all.

    Raises:
        InputError: the labels can't be used, or outputs are stored in different forms.
        MissingExtra: scikit-learn, or a library that reads labels, isn't installed.
        TesseraError: a file couldn't be read.
    """
    need_learning("evaluate")
    outputs, regression = times[-1], options.regression
    check_stored_alike(outputs)
    read = gather(labels, outputs, regression, MOST_LABELS)
    if not regression and len(set(read.values)) < 2:
        raise InputError(f"{labels.path} has only one class on the embeddings; expected 2 or more")
    grids = [each.grid for each in outputs]
    blocks = make_blocks(list(zip(read.labels, grids, strict=True)), options.block)
    comparison = Comparison(read.values, blocks.groups, regression, check_threads(options.threads))
    work = _Work(comparison, read, outputs, report)
    for method in options.method:
        if len(times) == 1:
            work.compare_forms(method, len(options.method))
        else:
            work.compare_periods(method, times, len(options.method))
    facts = _facts(outputs, labels, read, comparison, blocks)
    return Evaluation(facts, MAIN_SCORES[regression], tuple(work.rows), read.notes, work.places())


@dataclass
class _Work:
    """Rows as they are measured.

    Attributes:
        stored: method -> the outcome of the embeddings as they are stored, of the last period.
    """

    comparison: Comparison
    read: Gathered
    outputs: Sequence[Embeddings]
    report: Progress | None
    rows: list[Row] = field(default_factory=list)
    stored: dict[str, Outcome] = field(default_factory=dict)

    def compare_forms(self, method: str, methods: int) -> None:
        """Measure each form in which the embeddings can be stored."""
        stored = stored_form(self.outputs[0])
        measured = forms(stored, self.outputs[0].dim)
        readable = [form for form in measured if stored == VQ or form.stored_as != VQ]
        values_of = list(read_back(self.read.x, stored, readable))
        values_of += [(form, self._coded) for form in measured if form not in readable]
        for form, values in values_of:
            outcome = self.comparison.measure(values, method)
            first = self.stored.setdefault(method, outcome)
            self._add(method, form, outcome, first, None, methods * len(measured))

    @cached_property
    def _coded(self) -> NDArray[np.float32]:
        """(N, K) what the format vq would give."""
        pairs = zip(self.outputs, self.read.labels, strict=True)
        return np.concatenate([quantised(each, labels.cols, labels.rows) for each, labels in pairs])

    def compare_periods(self, method: str, times: Sequence[Sequence[Embeddings]], methods: int) -> None:
        """Measure each period, as it is stored."""
        final = self.stored[method] = self.comparison.measure(self.read.x, method)
        form = Form(self.outputs[0].stored_as, self.outputs[0].dim)
        for outputs in times:
            outcome, with_data = final, 1.0
            if outputs is not times[-1]:
                x = self.read.read(outputs)
                there = np.isfinite(x[:, 0])
                with_data = float(there.mean())
                outcome = self.comparison.measure(np.where(there[:, np.newaxis], x, 0), method)
            start, until = outputs[0].provenance["season"]
            seen = Seen(start, until, with_data, self._recall(outcome))
            self._add(method, form, outcome, final, seen, methods * len(times))

    def _add(
        self, method: str, form: Form, outcome: Outcome, base: Outcome, period: Seen | None, total: int
    ) -> None:
        difference = outcome.less(base, MAIN_SCORES[self.comparison.regression])
        self.rows.append(Row(method, form, outcome.scores(), difference, period))
        if self.report is not None:
            self.report(len(self.rows), total)

    def _recall(self, outcome: Outcome) -> dict[str, float]:
        """The share of each class's labels that are found."""
        if self.comparison.regression:
            return {}
        counts, right = (each.sum(axis=0) for each in outcome.means["balanced_accuracy"])
        names = self.comparison.names
        return {name: float(found / count) for name, found, count in zip(names, right, counts, strict=True)}

    def places(self) -> tuple[Place, ...]:
        """The scores of each of several outputs."""
        if len(self.outputs) == 1:
            return ()
        found, main = [], MAIN_SCORES[self.comparison.regression]
        for number, output in enumerate(self.outputs):
            here = self.read.output == number
            scores = {
                method: self.comparison.scores_in(outcome, here)[main]
                for method, outcome in self.stored.items()
                if here.any()
            }
            found.append(Place(_name(output), int(here.sum()), scores))
        return tuple(found)


def _name(output: Embeddings) -> str:
    return str(output.item.get("id", output.path.name))


def _facts(
    outputs: Sequence[Embeddings],
    labels: LabelSource,
    read: Gathered,
    comparison: Comparison,
    blocks: Blocks,
) -> dict[str, Any]:
    """Facts of the embeddings, the labels and the validation, by name."""
    about, names = outputs[0].provenance, [_name(each) for each in outputs]
    facts = {
        "embeddings": names if len(names) > 1 else names[0],
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
