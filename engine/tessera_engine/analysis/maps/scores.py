"""Scores of predictions, from confusion matrices or sums, so that many draws are scored in one operation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LIMITS = {
    "accuracy": (0.0, 1.0),
    "balanced_accuracy": (0.0, 1.0),
    "macro_f1": (0.0, 1.0),
    "r2": (-np.inf, 1.0),
    "rmse": (0.0, np.inf),
}
"""The lowest and the highest value of each score."""


def confusions(
    y: NDArray[Any], predicted: NDArray[Any], groups: NDArray[np.int64], names: list[str]
) -> NDArray[np.int64]:
    """Count, for each group of labels, the predicted classes for each true class.

    Args:
        y: (N,) true class names.
        predicted: (N,) class names.
        groups: (N,) 0..G-1.
        names: the C classes.

    Returns:
        (G, C, C), true classes along the rows.
    """
    number = {name: i for i, name in enumerate(names)}
    true, guessed = (np.array([number[name] for name in each], np.int64) for each in (y, predicted))
    counts = np.zeros((groups.max() + 1, len(names), len(names)), np.int64)
    np.add.at(counts, (groups, true, guessed), 1)
    return counts


def class_scores(confusion: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Accuracy, balanced accuracy (mean recall) and macro F1 of confusion matrices, over the classes that have labels.

    Args:
        confusion: (..., C, C) counts, true classes along the rows.

    Returns:
        Name -> (...).
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    true, guessed = confusion.sum(axis=-1), confusion.sum(axis=-2)
    there = true > 0
    classes = there.sum(axis=-1)
    recall = np.divide(right, true, out=np.zeros_like(right), where=there)
    f1 = np.divide(2 * right, true + guessed, out=np.zeros_like(right), where=there)
    return {
        "accuracy": right.sum(axis=-1) / true.sum(axis=-1),
        "balanced_accuracy": recall.sum(axis=-1) / classes,
        "macro_f1": f1.sum(axis=-1) / classes,
    }


def moments(y: NDArray[Any], predicted: NDArray[Any], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """(G, 4): for each group, the number of labels, and the sums of y, of y squared and of the squared error."""
    each = np.stack([np.ones(len(y)), y, y**2, (predicted - y) ** 2], axis=1).astype(np.float64)
    sums = np.zeros((groups.max() + 1, 4))
    np.add.at(sums, groups, each)
    return sums


def number_scores(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """R2 and RMSE from `moments` (..., 4); where all numbers are equal, R2 is 0."""
    count, total, squares, error = np.moveaxis(sums, -1, 0)
    spread = squares - total**2 / count
    some = spread > 1e-12 * squares
    r2 = np.where(some, 1 - error / np.where(some, spread, 1), 0.0)
    return {"r2": r2, "rmse": np.sqrt(error / count)}
