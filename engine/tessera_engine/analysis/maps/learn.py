"""Learning from labelled embeddings, and how well that works on places that weren't learned from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.labels import Labels
from tessera_engine.analysis.maps.scores import class_scores, confusions, moments, number_scores
from tessera_engine.errors import InputError, MissingExtra
from tessera_engine.scene import Grid

METHODS = ("linear", "knn", "forest")

FOLDS = 5

BLOCKS_ACROSS = 5
"""Spatial blocks across the labelled part, unless the user gives their size."""

NEIGHBOURS = 5
TREES = 200
RIDGE_ALPHAS = tuple(10.0**power for power in range(-2, 5))
SEED = 0


@dataclass(frozen=True)
class Blocks:
    """Square blocks of the grid, each of which is only learned from or only validated on.

    Attributes:
        groups: (N,) the block of each label.
        metres: side of a block, in the units of the grid's CRS.
    """

    groups: NDArray[np.int64]
    metres: float


def need_learning(purpose: str) -> None:
    """Make sure that what learns is installed; `purpose` is the command that needs it.

    Raises:
        MissingExtra: scikit-learn isn't.
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
        fewest: labels that it will learn from at least.
        threads: CPU threads.

    Raises:
        InputError: unknown method.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler

    if method not in METHODS:
        raise InputError(f"unknown method '{method}'; choose one of {', '.join(METHODS)}")
    if method == "linear":
        last = RidgeCV(RIDGE_ALPHAS) if regression else LogisticRegression(max_iter=1000)
        return make_pipeline(StandardScaler(), last)
    if method == "knn":
        kind = KNeighborsRegressor if regression else KNeighborsClassifier
        # Unit vectors: the nearest is the one of the largest cosine
        return make_pipeline(Normalizer(), kind(min(NEIGHBOURS, fewest), weights="distance", n_jobs=threads))
    forest = RandomForestRegressor if regression else RandomForestClassifier
    return forest(TREES, random_state=SEED, n_jobs=threads)


def block_groups(cols: NDArray[np.int64], rows: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """(N,) which square block of `side` pixels each pixel lies in; blocks start at the smallest column and row."""
    cols, rows = cols - cols.min(), rows - rows.min()
    groups: NDArray[np.int64] = rows // side * (cols.max() // side + 1) + cols // side
    return groups


def make_blocks(labels: Labels, grid: Grid, metres: float | None) -> Blocks:
    """Cut the labelled part of the grid into spatial blocks.

    Args:
        labels: the labelled pixels.
        grid: theirs.
        metres: side of a block; None: a fifth of the labelled part's longer side.

    Raises:
        InputError: all labels lie in one block.
    """
    pixel = float(abs(grid.transform.determinant) ** 0.5)
    if metres is None:
        longest = max(np.ptp(labels.cols), np.ptp(labels.rows)) + 1
        metres = max(1, int(np.ceil(longest / BLOCKS_ACROSS))) * pixel
    side = max(1, round(metres / pixel))
    groups = block_groups(labels.cols, labels.rows, side)
    if len(np.unique(groups)) < 2:
        raise InputError(
            f"all labels lie within one block of {metres:g} m, so nothing is left to validate on; "
            "give a smaller --block, or labels that lie further apart"
        )
    return Blocks(groups, side * pixel)


def split(
    y: NDArray[Any], groups: NDArray[np.int64], regression: bool
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Folds of spatial cross-validation, at most `FOLDS`: indices of the labels to learn from and to validate on.

    A group (a block, a parcel) lies in one fold; classes are spread over the folds as evenly as groups allow.

    Args:
        y: (N,) class names or numbers.
        groups: (N,) the group of each label.
        regression: the values are numbers.
    """
    import warnings

    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    folds = min(FOLDS, len(np.unique(groups)))
    if regression:
        splitter = GroupKFold(folds)
    else:
        most = np.unique(y.astype(str), return_counts=True)[1].max()
        splitter = StratifiedGroupKFold(max(2, min(folds, most)), shuffle=True, random_state=SEED)
    with warnings.catch_warnings():
        # Of classes with fewer labels than folds: the report shows how many labels each has
        warnings.simplefilter("ignore", UserWarning)
        return [(train, test) for train, test in splitter.split(y, y, groups) if len(train) and len(test)]


def predict_held_out(
    model: Any,
    x: NDArray[np.float32],
    y: NDArray[Any],
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> NDArray[Any]:
    """Cross-validation: each fold is predicted by a model that has seen nothing of it.

    Args:
        model: an estimator; it is copied for each fold.
        x: (N, K) embeddings.
        y: (N,) class names or numbers.
        folds: see `split`.

    Returns:
        (N,) as y.
    """
    from sklearn.base import clone
    from threadpoolctl import threadpool_limits

    predicted = np.empty_like(y)
    # The matrices are so small that threads would mostly wait for each other: on a busy machine a hundred times as long
    with threadpool_limits(1, "blas"):
        for train, test in folds:
            if (y[train] == y[train][0]).all():
                predicted[test] = y[train][0]  # nothing to tell apart
            else:
                predicted[test] = clone(model).fit(x[train], y[train]).predict(x[test])
    return predicted


def assess(y: NDArray[Any], predicted: NDArray[Any], regression: bool) -> dict[str, Any]:
    """What a report says about predictions, as plain values.

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
    names = sorted(set(y))
    (confusion,) = confusions(y, predicted, np.zeros(len(y), np.int64), names)
    right, true, told = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    recall = right / true
    precision = np.divide(right, told, out=np.zeros(len(names)), where=told > 0)
    f1 = 2 * right / (true + told)
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
