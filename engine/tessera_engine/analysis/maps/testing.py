"""The scores of a map on independent labels, which nothing was learned from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import sorted_classes
from tessera_engine.analysis.labels.pixels import LabelSource, with_embeddings
from tessera_engine.analysis.labels.reading import read_labels
from tessera_engine.analysis.maps.class_report import class_report, score_intervals
from tessera_engine.analysis.maps.compare import Predictions
from tessera_engine.analysis.maps.features import features_at
from tessera_engine.analysis.maps.learn import assess, block_groups
from tessera_engine.analysis.maps.learners.base import Vectors
from tessera_engine.analysis.maps.training import MOST_LABELS, Trained
from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.base import Embeddings


def score_test(
    trained: Trained, source: Embeddings, opened: Sequence[Embeddings], given: LabelSource
) -> dict[str, Any]:
    """Score a classifier on independent labels. Pixels that it was learned from are left out.

    Args:
        trained: what was learned.
        source: the embeddings that it was learned from.
        opened: the embeddings that are mapped, in which the labels lie.
        given: the labels.

    Returns:
        The scores as in the report of cross-validation, with intervals over the same size of blocks.

    Raises:
        InputError: no label can be used.
        TesseraError: a file couldn't be read.
    """
    classifier, regression = trained.classifier, trained.classifier.about.regression
    y: list[NDArray[Any]] = []
    found: list[NDArray[Any]] = []
    groups: list[NDArray[np.int64]] = []
    learned_from, first_error = 0, None
    notes: list[str] = []
    for scene in opened:
        try:
            read, _ = with_embeddings(read_labels(given, scene.grid, regression, MOST_LABELS), scene)
        except InputError as error:
            first_error = first_error or error
            continue
        fresh = np.ones(len(read), bool)
        if scene.path == source.path and scene.provenance == source.provenance:
            pixels, known = (each.rows * scene.grid.width + each.cols for each in (read, trained.labels))
            fresh = ~np.isin(pixels, known)
        learned_from += int((~fresh).sum())
        if not fresh.any():
            continue
        notes += read.notes
        cols, rows = read.cols[fresh], read.rows[fresh]
        x = features_at(scene, cols, rows, classifier.about.context)
        scores = classifier.fitted.scores(Vectors(x))
        names = np.array([each.name for each in classifier.about.classes], object)
        found.append(scores[:, 0].astype(np.float64) if regression else names[scores.argmax(axis=1)])
        y.append(read.values[fresh])
        pixel = float(abs(scene.grid.transform.determinant) ** 0.5)
        side = max(1, round(trained.report["block_metres"] / pixel))
        before = 0 if not groups else int(groups[-1].max()) + 1
        groups.append(block_groups(cols, rows, side) + before)
    if not y:
        if learned_from or first_error is None:
            raise InputError(
                f"all {learned_from:,} pixels of test={given.path} were learned from; give labels of other places"
            )
        raise first_error
    if learned_from:
        notes.append(f"{learned_from:,} test pixels are left out, because they were learned from")
    true, predicted = np.concatenate(y), np.concatenate(found)
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
