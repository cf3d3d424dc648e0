"""Learn from labelled embeddings, and measure how well that works on places that were held out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import sorted_classes
from tessera_engine.analysis.labels.pixels import Labels
from tessera_engine.analysis.maps.learners.base import SEED, Fitted, Task, Vectors
from tessera_engine.analysis.maps.learners.registry import LEARNERS
from tessera_engine.analysis.maps.scores import class_scores, confusions, moments, number_scores
from tessera_engine.errors import InputError, MissingExtra
from tessera_engine.scene import Grid

METHODS = tuple(LEARNERS)

AUTO = "auto"
"""Stands for the method that is best in cross-validation."""

EVALUATED = ("linear", "knn", "forest")
"""Methods that forms are compared with where none is named: those that are fitted in seconds."""

FOLDS = 5

BLOCKS_ACROSS = 5
"""Spatial blocks across the labelled area, unless the user gives their size."""

Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Indices of the labels for learning and for validation, of each fold."""


@dataclass(frozen=True)
class Blocks:
    """Square blocks of the grid. In each fold, a block is used either for learning or for validation.

    Attributes:
        groups: (N,) number of the block of each label.
        metres: side of a block, in the units of the grid's CRS.
    """

    groups: NDArray[np.int64]
    metres: float


@dataclass(frozen=True)
class Model:
    """What was learned from some labels.

    Attributes:
        names: the classes in the order of the scores, which is that of `sorted_classes`; none of numbers.
        fitted: what scores vectors.
        importance: (K,) how much each feature matters.
    """

    names: tuple[str, ...]
    fitted: Fitted
    importance: NDArray[np.float64]

    def scores(self, vectors: Vectors) -> NDArray[np.float32]:
        """(N, C) scores of the classes, or (N, 1) numbers."""
        return self.fitted.scores(vectors)

    def predict(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """(N,) names of classes, or float64 numbers, for (N, K) vectors."""
        scores = self.scores(Vectors(x))
        if not self.names:
            return scores[:, 0].astype(np.float64)
        named: NDArray[Any] = np.array(self.names, object)[scores.argmax(axis=1)]
        return named


class HeldOut(NamedTuple):
    """What was predicted for labels that were held out.

    Attributes:
        predicted: (N,) names of classes, or numbers.
        scores: (N, C) of the classes, in the order of `sorted_classes`, -inf for those that a fold had no label of; or
            (N, 1) numbers.
    """

    predicted: NDArray[Any]
    scores: NDArray[np.float32]


def need_learning(purpose: str) -> None:
    """Make sure that scikit-learn is installed; `purpose` is the function that needs it.

    Raises:
        MissingExtra: it isn't installed.
    """
    try:
        import sklearn  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtra("scikit-learn", "maps", purpose) from None


def learn(method: str, x: NDArray[np.float32], y: NDArray[Any], task: Task) -> Model:
    """Learn from labels.

    Args:
        method: one of `METHODS`.
        x: (N, K) embeddings, or features made from them.
        y: (N,) class names, two different ones or more, or numbers.
        task: what else is to be known.
    """
    from threadpoolctl import threadpool_limits

    names = () if task.regression else tuple(sorted_classes(y))
    numbers = y.astype(np.float64) if task.regression else numbered(y, names)
    # On so few values threads mostly wait for each other: on a busy machine a hundred times as long
    with threadpool_limits(1):
        learned = LEARNERS[method].learn(x, numbers, task)
    return Model(names, learned.fitted, learned.importance)


def numbered(y: NDArray[Any], names: Sequence[str]) -> NDArray[np.int64]:
    """(N,) the place of each class name among the names."""
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[name] for name in y], np.int64)


def block_groups(cols: NDArray[np.int64], rows: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """(N,) number of the square block of `side` pixels that holds each pixel, from the smallest column and row."""
    cols, rows = cols - cols.min(), rows - rows.min()
    groups: NDArray[np.int64] = rows // side * (cols.max() // side + 1) + cols // side
    return groups


def make_blocks(parts: Sequence[tuple[Labels, Grid]], metres: float | None) -> Blocks:
    """Divide the labelled area into spatial blocks.

    Args:
        parts: the labelled pixels of one or several grids; each grid has its own blocks.
        metres: side of a block; None: a fifth of the longest side of the labelled area on a grid.

    Raises:
        InputError: all labels lie in one block.
    """
    some = [(labels, float(abs(grid.transform.determinant) ** 0.5)) for labels, grid in parts if len(labels)]
    if metres is None:
        metres = max(
            max(1, int(np.ceil((max(np.ptp(labels.cols), np.ptp(labels.rows)) + 1) / BLOCKS_ACROSS))) * pixel
            for labels, pixel in some
        )
    groups: list[NDArray[np.int64]] = []
    for labels, pixel in some:
        first = int(groups[-1].max()) + 1 if groups else 0
        groups.append(first + block_groups(labels.cols, labels.rows, max(1, round(metres / pixel))))
    every = np.concatenate(groups)
    if len(np.unique(every)) < 2:
        raise InputError(
            f"all labels lie within one block of {metres:g} m, so no label is left for validation; "
            "give a smaller block=, or labels that lie further apart"
        )
    pixel = some[0][1]
    return Blocks(every, max(1, round(metres / pixel)) * pixel)


def split(y: NDArray[Any], groups: NDArray[np.int64], regression: bool) -> Folds:
    """Folds of spatial cross-validation, at most `FOLDS`.

    A group (a block or a parcel) is never split between folds. Classes are spread over the folds as evenly
    as the groups allow.

    Args:
        y: (N,) class names or numbers.
        groups: (N,) the group of each label.
        regression: the values are numbers.

    Raises:
        InputError: no class has two labels, or all numbers are equal.
    """
    import warnings

    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    folds = min(FOLDS, len(np.unique(groups)))
    if regression:
        if len(np.unique(y)) < 2:
            raise InputError(
                f"all {len(y)} labels are {float(y[0]):g}, so there is nothing to learn; expected different numbers"
            )
        splitter = GroupKFold(folds)
    else:
        most = np.unique(y.astype(str), return_counts=True)[1].max()
        if most < 2:
            raise InputError(
                f"each of the {len(y)} classes has a single labelled pixel, so none is left for validation; give more "
                f"labels{hint_of_numbers(y)}"
            )
        splitter = StratifiedGroupKFold(max(2, min(folds, most)), shuffle=True, random_state=SEED)
    with warnings.catch_warnings():
        # scikit-learn warns of classes with few labels; the report shows the number of labels of each class
        warnings.simplefilter("ignore", UserWarning)
        return [(train, test) for train, test in splitter.split(y, y, groups) if len(train) and len(test)]


def hint_of_numbers(names: Iterable[Any]) -> str:
    """What to do about many classes whose names are all numbers; empty where some aren't."""
    return ", or for numbers regression=True" if all(map(_is_number, map(str, names))) else ""


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def hold_out(method: str, x: NDArray[np.float32], y: NDArray[Any], folds: Folds, task: Task) -> HeldOut:
    """Cross-validation: each fold is predicted by what was learned from the other folds.

    Args:
        method: one of `METHODS`.
        x: (N, K) features.
        y: (N,) class names or numbers.
        folds: see `split`.
        task: what else is to be known.
    """
    names = () if task.regression else tuple(sorted_classes(y))
    predicted = np.empty_like(y)
    scores = np.full((len(y), max(1, len(names))), -np.inf, np.float32)
    for train, test in folds:
        if not task.regression and (y[train] == y[train][0]).all():
            predicted[test] = y[train][0]  # a learner needs two classes
            scores[test, names.index(y[train][0])] = 0
            continue
        model = learn(method, x[train], y[train], task)
        found = model.scores(Vectors(x[test]))
        if task.regression:
            predicted[test] = found[:, 0]
            scores[test] = found
        else:
            predicted[test] = np.array(model.names, object)[found.argmax(axis=1)]
            scores[np.ix_(test, numbered(np.array(model.names, object), names))] = found
    return HeldOut(predicted, scores)


def assess(y: NDArray[Any], predicted: NDArray[Any], regression: bool) -> dict[str, Any]:
    """The scores of predictions for a report, as plain values.

    Args:
        y: (N,) class names or numbers.
        predicted: (N,).
        regression: the values are numbers.

    Returns:
        For classes accuracy, balanced accuracy, macro F1, a confusion matrix (rows: true) and precision, recall, F1
        and labels of each class; for numbers R2, RMSE and MAE.
    """
    return _numbers(y, predicted) if regression else _classes(y, predicted)


def _numbers(y: NDArray[Any], predicted: NDArray[Any]) -> dict[str, Any]:
    (sums,) = moments(y, predicted, np.zeros(len(y), np.int64))
    scores = {name: float(score) for name, score in number_scores(sums).items()}
    return scores | {"mae": float(np.abs(predicted - y).mean())}


def _classes(y: NDArray[Any], predicted: NDArray[Any]) -> dict[str, Any]:
    names = sorted_classes([*y, *predicted])
    (confusion,) = confusions(y, predicted, np.zeros(len(y), np.int64), names)
    right, true, guessed = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    recall = np.divide(right, true, out=np.zeros(len(names)), where=true > 0)
    precision = np.divide(right, guessed, out=np.zeros(len(names)), where=guessed > 0)
    f1 = 2 * right / np.maximum(true + guessed, 1)
    per_class = {
        name: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "labels": int(true[i]),
        }
        for i, name in enumerate(names)
    }
    return {
        **{name: float(score) for name, score in class_scores(confusion).items()},
        "classes": per_class,
        "confusion": confusion.tolist(),
    }
