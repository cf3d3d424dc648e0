"""Learn from labelled embeddings, and measure how well that works on places that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import sorted_classes
from tessera_engine.analysis.labels.pixels import Labels
from tessera_engine.analysis.maps.scores import class_scores, confusions, moments, number_scores
from tessera_engine.errors import InputError, MissingExtra
from tessera_engine.scene import Grid

METHODS = ("linear", "knn", "forest")
"""Logistic regression (ridge regression for numbers), nearest neighbours, a random forest."""

FOLDS = 5

BLOCKS_ACROSS = 5
"""Spatial blocks across the labelled area, unless the user gives their size."""

NEIGHBOURS = 5
TREES = 200
RIDGE_ALPHAS = tuple(10.0**power for power in range(-2, 5))
SEED = 0


@dataclass(frozen=True)
class Blocks:
    """Square blocks of the grid. In each fold, a block is used either for learning or for validation.

    Attributes:
        groups: (N,) number of the block of each label.
        metres: side of a block, in the units of the grid's CRS.
    """

    groups: NDArray[np.int64]
    metres: float


def need_learning(purpose: str) -> None:
    """Make sure that scikit-learn is installed; `purpose` is the function that needs it.

    Raises:
        MissingExtra: it isn't installed.
    """
    try:
        import sklearn  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtra("scikit-learn", "maps", purpose) from None


def make_model(method: str, regression: bool, fewest: int, threads: int) -> Any:
    """A scikit-learn estimator of (N, K) embeddings.

    Args:
        method: one of `METHODS`; `linear` is logistic regression, and ridge regression for numbers.
        regression: the values are numbers.
        fewest: the smallest number of labels that it is fitted to.
        threads: CPU threads.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler

    if method == "linear":
        last = RidgeCV(RIDGE_ALPHAS) if regression else LogisticRegression(max_iter=1000)
        return make_pipeline(StandardScaler(), last)
    if method == "knn":
        kind = KNeighborsRegressor if regression else KNeighborsClassifier
        # Between unit vectors, the nearest is the one with the largest cosine
        return make_pipeline(Normalizer(), kind(min(NEIGHBOURS, fewest), weights="distance", n_jobs=threads))
    forest = RandomForestRegressor if regression else RandomForestClassifier
    return forest(TREES, random_state=SEED, n_jobs=threads)


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


def split(
    y: NDArray[Any], groups: NDArray[np.int64], regression: bool
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Folds of spatial cross-validation, at most `FOLDS`: indices of the labels for learning and for validation.

    A group (a block or a parcel) is never split between folds. Classes are spread over the folds as evenly
    as the groups allow.

    Args:
        y: (N,) class names or numbers.
        groups: (N,) the group of each label.
        regression: the values are numbers.

    Raises:
        InputError: no class has two labels.
    """
    import warnings

    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    folds = min(FOLDS, len(np.unique(groups)))
    if regression:
        splitter = GroupKFold(folds)
    else:
        most = np.unique(y.astype(str), return_counts=True)[1].max()
        if most < 2:
            raise InputError(
                f"each of the {len(y)} classes has a single labelled pixel, so none is left for validation; give more "
                "labels"
            )
        splitter = StratifiedGroupKFold(max(2, min(folds, most)), shuffle=True, random_state=SEED)
    with warnings.catch_warnings():
        # scikit-learn warns of classes with few labels; the report shows the number of labels of each class
        warnings.simplefilter("ignore", UserWarning)
        return [(train, test) for train, test in splitter.split(y, y, groups) if len(train) and len(test)]


def predict_held_out(
    model: Any,
    x: NDArray[np.float32],
    y: NDArray[Any],
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> NDArray[Any]:
    """Cross-validation: each fold is predicted by a model that was fitted to the other folds.

    Args:
        model: an estimator; each fold gets a copy.
        x: (N, K) embeddings.
        y: (N,) class names or numbers.
        folds: see `split`.

    Returns:
        (N,) predictions, of the type of y.
    """
    from sklearn.base import clone
    from threadpoolctl import threadpool_limits

    predicted = np.empty_like(y)
    # With such small matrices threads mostly wait for each other: on a busy machine a hundred times as long
    with threadpool_limits(1, "blas"):
        for train, test in folds:
            if (y[train] == y[train][0]).all():
                predicted[test] = y[train][0]  # a classifier needs two classes
            else:
                predicted[test] = clone(model).fit(x[train], y[train]).predict(x[test])
    return predicted


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
    names = sorted_classes(y)
    (confusion,) = confusions(y, predicted, np.zeros(len(y), np.int64), names)
    right, true, guessed = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    recall = right / true
    precision = np.divide(right, guessed, out=np.zeros(len(names)), where=guessed > 0)
    f1 = 2 * right / (true + guessed)
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
