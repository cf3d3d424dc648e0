"""The scores of a map on independent labels, which nothing was learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import sorted_classes
from tessera_engine.analysis.labels.gathering import gather
from tessera_engine.analysis.labels.pixels import Labels, LabelSource
from tessera_engine.analysis.maps.class_report import class_report, score_intervals
from tessera_engine.analysis.maps.classifier import Classifier
from tessera_engine.analysis.maps.compare import Predictions
from tessera_engine.analysis.maps.features import features_at
from tessera_engine.analysis.maps.field_validation import LabelledFields, settle
from tessera_engine.analysis.maps.fields import Fields
from tessera_engine.analysis.maps.learn import assess, block_groups
from tessera_engine.analysis.maps.learners.base import Vectors
from tessera_engine.analysis.maps.training import MOST_LABELS, Trained
from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.base import Embeddings


def score_test(
    trained: Trained,
    sources: Sequence[Embeddings],
    opened: Sequence[Embeddings],
    given: LabelSource,
    fields: Sequence[Fields] | None = None,
) -> dict[str, Any]:
    """Score a classifier on independent labels. Pixels that it was learned from are left out.

    Args:
        trained: what was learned.
        sources: the embeddings that it was learned from.
        opened: the embeddings that are mapped, in which the labels lie.
        given: the labels.
        fields: on each of the mapped embeddings, for a map by segment; None: the map is by pixel.

    Returns:
        The scores as in the report of cross-validation, with intervals over the same size of blocks.

    Raises:
        InputError: no label can be used.
        TesseraError: a file couldn't be read.
    """
    classifier, regression = trained.classifier, trained.classifier.about.regression
    read = gather(given, opened, regression, MOST_LABELS)
    kept = [
        _some(labels, ~_learned(labels, scene, trained, sources))
        for labels, scene in zip(read.labels, opened, strict=True)
    ]
    count = sum(map(len, kept))
    left_out = len(read) - count
    if not count:
        raise InputError(
            f"all {len(read):,} pixels of test={given.path} were learned from; give labels of other places"
        )
    notes = list(read.notes)
    if left_out:
        notes.append(f"{left_out:,} test pixels are left out, because they were learned from")
    names = np.array([each.name for each in classifier.about.classes], object)
    found: list[NDArray[Any]] = []
    groups: list[NDArray[np.int64]] = []
    some = [(labels, scene) for labels, scene in zip(kept, opened, strict=True) if len(labels)]
    for labels, scene in some:
        x = features_at(scene, labels.cols, labels.rows, classifier.about.context)
        scores = classifier.fitted.scores(Vectors(x))
        found.append(scores[:, 0].astype(np.float64) if regression else names[scores.argmax(axis=1)])
        pixel = float(abs(scene.grid.transform.determinant) ** 0.5)
        side = max(1, round(trained.report["block_metres"] / pixel))
        before = 0 if not groups else int(groups[-1].max()) + 1
        groups.append(block_groups(labels.cols, labels.rows, side) + before)
    true, predicted = np.concatenate([labels.values for labels, _ in some]), np.concatenate(found)
    if fields is not None:
        predicted = _by_field(predicted, kept, classifier, opened, fields)
    labelled = Predictions(true, np.concatenate(groups), regression, sorted_classes([*true, *predicted]))
    report = {
        "labels": given.path.name,
        "labelled_pixels": len(true),
        "blocks": len(labelled.draws[0]),
        "notes": notes,
        **assess(true, predicted, regression),
        "intervals": score_intervals(labelled, predicted),
    }
    if not regression:
        report["classes"] = class_report(report["classes"], labelled, predicted)
    return report


def _by_field(
    predicted: NDArray[Any],
    kept: Sequence[Labels],
    classifier: Classifier,
    opened: Sequence[Embeddings],
    fields: Sequence[Fields],
) -> NDArray[Any]:
    """(N,) for labels in fields what their field gets; for others `predicted`."""
    about, inside = classifier.about, LabelledFields.find(kept, fields)
    x, of_pixel = inside.features(opened, about.context), inside.of_pixel
    known = np.isfinite(x[:, 0])
    return settle(
        predicted,
        inside.of_label,
        classifier.fitted.scores(Vectors(x[known])),
        of_pixel[known],
        [each.name for each in about.classes],
        about.temperature,
    )


def _learned(
    labels: Labels, scene: Embeddings, trained: Trained, sources: Sequence[Embeddings]
) -> NDArray[np.bool_]:
    """(N,) which labelled pixels of a scene were learned from."""
    known = np.zeros(len(labels), bool)
    for part, source in zip(trained.labels.labels, sources, strict=True):
        if source.path == scene.path and source.provenance == scene.provenance:
            pixels, learned = (each.rows * scene.grid.width + each.cols for each in (labels, part))
            known |= np.isin(pixels, learned)
    return known


def _some(labels: Labels, kept: NDArray[np.bool_]) -> Labels:
    return replace(labels, cols=labels.cols[kept], rows=labels.rows[kept], values=labels.values[kept])
