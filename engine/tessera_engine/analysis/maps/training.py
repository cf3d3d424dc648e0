"""From labels to a classifier, and a report of how good it is on land that was held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import LARGEST_CODE, MOST_CLASSES, Classes
from tessera_engine.analysis.labels.gathering import Gathered, gather
from tessera_engine.analysis.labels.pixels import LabelSource
from tessera_engine.analysis.maps.about import About, ClassFacts
from tessera_engine.analysis.maps.applicability import measure_applicability
from tessera_engine.analysis.maps.calibration import calibrate
from tessera_engine.analysis.maps.choosing import try_methods
from tessera_engine.analysis.maps.class_report import class_report, score_intervals
from tessera_engine.analysis.maps.classifier import Classifier
from tessera_engine.analysis.maps.compare import Comparison
from tessera_engine.analysis.maps.features import features_at
from tessera_engine.analysis.maps.field_validation import LabelledFields, predict_held_out
from tessera_engine.analysis.maps.fields import Fields
from tessera_engine.analysis.maps.learn import AUTO, assess, hint_of_numbers, learn, make_blocks, numbered
from tessera_engine.analysis.maps.learners.base import Task
from tessera_engine.analysis.maps.quality import quality, unknown_because_of
from tessera_engine.analysis.options import MapOptions
from tessera_engine.errors import InputError
from tessera_engine.files.checksums import path_sha256
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.machine import check_threads
from tessera_engine.pictures.colours import class_colour

MOST_LABELS = 20_000
"""Labelled pixels to learn from, at most. More of them improve a map little, and kNN and forests become slow."""

RENUMBERED = (
    f"not all codes are from 0 to {LARGEST_CODE}, so the pixel values of map.tif are 1, 2, ...; legend.csv has the "
    "code of each"
)

NO_FIELDS = "no label lies in a field, so the scores are those of single pixels"

SEVERAL_TRIED = (
    "the method was chosen by the same labels that score it, so its score is a little too good; independent labels "
    "would show it without that"
)


@dataclass(frozen=True)
class Trained:
    """What was learned, and how good it is.

    Attributes:
        classifier: what was learned.
        report: as plain values.
        labels: the labels that were used.
        predicted: (N,) what was predicted for them when they were held out, names of classes or numbers.
    """

    classifier: Classifier
    report: dict[str, Any]
    labels: Gathered
    predicted: NDArray[Any]


def train(
    sources: Sequence[Embeddings],
    given: LabelSource,
    options: MapOptions,
    fields: Sequence[Fields] | None = None,
) -> Trained:
    """Learn a map from labels, and cross-validate it over blocks of land.

    Args:
        sources: the embeddings at the labels, of one model.
        given: the labels.
        options: of `map`.
        fields: on each of the sources, for a map by segment: they are held out as a whole; None: the map is by pixel.

    Raises:
        InputError: the labels can't be used.
        MissingExtra: a library that reads labels isn't installed.
        TesseraError: a file couldn't be read.
    """
    regression = options.regression
    read = gather(given, sources, regression, MOST_LABELS)
    classes = None if regression else _classes(given.path, read.values)
    notes = read.notes
    if classes is not None and classes.renumbered:
        notes += (RENUMBERED,)
    inside = None if fields is None else LabelledFields.find(read.labels, fields)
    if inside is not None and not inside.count:
        notes += (NO_FIELDS,)
    placed = read.labels if inside is None else inside.gathered(read.labels)
    blocks = make_blocks(
        [(part, each.grid) for part, each in zip(placed, sources, strict=True)], options.block
    )
    threads = check_threads(options.threads)
    comparison = Comparison(read.values, blocks.groups, regression, threads, options.balance)
    kept: dict[int, NDArray[np.float32]] = {}

    def features(context: int) -> NDArray[np.float32]:
        if context not in kept:
            pairs = zip(read.labels, sources, strict=True)
            kept[context] = np.concatenate(
                [features_at(each, part.cols, part.rows, context) for part, each in pairs]
            )
        return kept[context]

    best, tried = try_methods(comparison, features, options.method, options.context)
    if len(tried) > 1:
        notes += (SEVERAL_TRIED,)
    x = features(best.context)
    task = Task(regression, options.balance, len(read), threads)
    task = comparison.task if best.method == "knn" else task
    model = learn(best.method, x, read.values, task)
    predicted, temperature, reliability = best.held.predicted, 1.0, None
    if classes is not None:
        true = numbered(read.values, comparison.names)
        folds = [test for _, test in comparison.folds]
        reliability = calibrate(best.held.scores, true, folds, comparison.groups)
        temperature = reliability.temperature
    if inside is not None and inside.count:
        learned = best.method, read.values, comparison.folds, comparison.task
        of_fields = inside.features(sources, best.context)
        predicted = predict_held_out(predicted, (x, of_fields), learned, inside, temperature)
    report: dict[str, Any] = {
        "method": best.method,
        "context": best.context,
        "balance": options.balance,
        "folds": len(comparison.folds),
        "blocks": len(np.unique(blocks.groups)),
        "block_metres": blocks.metres,
        "labelled_pixels": len(read),
        "notes": list(notes),
        **assess(read.values, predicted, regression),
        "intervals": score_intervals(comparison, predicted),
    }
    if options.by_segment is not None and inside is not None:
        report |= {"by_segment": options.by_segment.name, "labelled_fields": inside.count}
    if options.method == AUTO:
        report["tried"] = [each.to_dict() for each in tried]
    if reliability is not None:
        report["classes"] = class_report(report["classes"], comparison, predicted)
        report["reliability"] = reliability.to_dict()
    report["accuracy_known"] = not unknown_because_of(report)
    applicability = None
    if options.applicability:
        of_fold = np.zeros(len(read), np.int64)
        for number, (_, test) in enumerate(comparison.folds):
            of_fold[test] = number
        applicability = measure_applicability(x, model.importance, of_fold)
        if applicability is None:
            raise InputError(
                f"the labelled pixels of {given.path} are all the same, so applicability=True has no distance to "
                "compare with; leave it out, or give more labels"
            )
        report["applicability_threshold"] = applicability.threshold
    about = _about(sources, given, report, classes, temperature)
    return Trained(Classifier(about, model.fitted, applicability), report, read, predicted)


def _classes(file: Path, values: NDArray[Any]) -> Classes:
    count = len(set(values))
    if not 2 <= count <= MOST_CLASSES:
        found = "1 class" if count == 1 else f"{count} classes"
        hint = hint_of_numbers(set(values)) if count > MOST_CLASSES else ""
        raise InputError(f"{file} has {found} on the embeddings; expected 2 to {MOST_CLASSES}{hint}")
    return Classes.of(values)


def _about(
    sources: Sequence[Embeddings],
    given: LabelSource,
    report: dict[str, Any],
    classes: Classes | None,
    temperature: float,
) -> About:
    from tessera_engine.version import __version__

    source = sources[0]
    facts = source.provenance
    season = facts.get("season") or ([] if facts.get("year") is None else [facts["year"]])
    coloured = []
    if classes is not None:
        coloured = [
            ClassFacts(name, value, class_colour(i))
            for i, (name, value) in enumerate(zip(classes.names, classes.values, strict=True))
        ]
    return About(
        title=given.field or given.path.stem,
        quality=quality(report),
        method=report["method"],
        regression=classes is None,
        context=report["context"],
        dim=source.dim,
        classes=coloured,
        nodata=0 if classes is None else classes.nodata,
        temperature=temperature,
        model=str(facts.get("model") or ""),
        model_sha256=str(facts.get("model_sha256") or ""),
        stored_as="int8" if source.stored_as == "int8" else "float32",
        trained_on=", ".join(str(each.item.get("id", each.path.name)) for each in sources)[:1000],
        season=[str(day) for day in season],
        labels=given.path.name,
        labels_sha256=path_sha256(given.path),
        field=given.field or "",
        labelled_pixels=report["labelled_pixels"],
        engine=__version__,
        report=report,
    )
