"""The scores of a map with their intervals, and what can't be said with few labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.compare import Predictions
from tessera_engine.analysis.maps.intervals import CONFIDENCE, Interval, expansion, interval
from tessera_engine.analysis.maps.quality import FEWEST_LABELS
from tessera_engine.analysis.maps.scores import LIMITS, confusions


def score_intervals(labelled: Predictions, predicted: NDArray[Any]) -> dict[str, list[float]]:
    """The lower and the upper end of each score of a report.

    Args:
        labelled: labels and draws.
        predicted: (N,) names of classes or numbers.
    """
    outcome = labelled.outcome(predicted)
    blocks = len(labelled.draws[0])
    found = {}
    for name, each in outcome.scores().items():
        if LIMITS[name] == (0.0, 1.0) and each.low == each.high:
            each = share_interval(each.value, blocks)
        found[name] = [each.low, each.high]
    return found


def class_report(
    classes: Mapping[str, Mapping[str, Any]], labelled: Predictions, predicted: NDArray[Any]
) -> dict[str, dict[str, Any]]:
    """The scores of each class, with the intervals of recall and precision; None where there are too few labels.

    Args:
        classes: of `tessera_engine.analysis.maps.learn.assess`.
        labelled: labels and draws.
        predicted: (N,) names of classes.
    """
    names = labelled.names
    counted = confusions(labelled.y, predicted, labelled.groups, names)
    right = counted.diagonal(axis1=1, axis2=2)
    found = {}
    for i, name in enumerate(names):
        each = dict(classes[name])
        if each["labels"] < FEWEST_LABELS:
            found[name] = {
                **dict.fromkeys(("precision", "recall", "f1", "precision_interval", "recall_interval")),
                "labels": each["labels"],
            }
            continue
        for score, axis in (("recall", 2), ("precision", 1)):
            counts = counted.sum(axis=axis)[:, i]
            each[f"{score}_interval"] = _share(counts, right[:, i], labelled.draws)
        found[name] = each
    return found


def share_interval(share: float, blocks: float) -> Interval:
    """Wilson's interval of a share that doesn't vary between blocks, each block counted once.

    A bootstrap has no width there, though few blocks can't show that a share is 0 or 1 (Wilson 1927, Journal of the
    American Statistical Association 22, 209-212).

    Args:
        share: 0 to 1.
        blocks: that have such labels.
    """
    from scipy.stats import norm

    z = float(norm.ppf(0.5 + CONFIDENCE / 200))
    middle = (share + z**2 / (2 * blocks)) / (1 + z**2 / blocks)
    half = z / (1 + z**2 / blocks) * (share * (1 - share) / blocks + z**2 / (4 * blocks**2)) ** 0.5
    return Interval(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))


def _share(
    counts: NDArray[np.int64], right: NDArray[np.int64], draws: NDArray[np.float64]
) -> list[float] | None:
    """The interval of sum(right) / sum(counts) over blocks; None where nothing was counted."""
    if not counts.sum():
        return None
    blocks = int((counts > 0).sum())
    value = float(right.sum() / counts.sum())
    drawn = (draws @ right) / (draws @ counts)
    if blocks < 2 or np.ptp(drawn) < 1e-12:
        found = share_interval(value, blocks)
    else:
        wider = expansion(counts[:, np.newaxis], right[:, np.newaxis])
        found = interval(value, drawn, wider, (0.0, 1.0))
    return [found.low, found.high]
