"""A random forest, and gradient boosting over histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.learners.base import (
    FLOOR,
    SEED,
    Learned,
    Task,
    Vectors,
    checked,
    floor32,
)
from tessera_engine.files.document import Damaged
from tessera_kernels.trees import MOST_LEAVES, SmallTrees, Trees, small_trees, sum_trees

FOREST_TREES = 200

ROUNDS = 100
"""Trees of each class that boosting adds."""

SMALLEST_LEAF = 20
"""Labels of a leaf of boosting, where there are many; at most a tenth of a class of mean size."""


@dataclass(frozen=True)
class Forest:
    """The mean of trees whose leaves are probabilities or numbers."""

    trees: Trees

    def scores(self, vectors: Vectors) -> NDArray[np.float32]:
        """See `Fitted`."""
        mean = sum_trees(*vectors, self.trees, self.trees.values.shape[1]) / np.float32(
            len(self.trees.roots) - 1
        )
        return mean if mean.shape[1] == 1 else np.log(np.maximum(mean, np.float32(FLOOR)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `Fitted`."""
        return self.trees._asdict()

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], features: int, outputs: int) -> Forest:
        """See `Fitted`."""
        return cls(_checked_trees(arrays, features, outputs))


@dataclass(frozen=True)
class Boosted:
    """The sum of trees, each of one class, and of what is there without them.

    Attributes:
        trees: tree t belongs to class t % C.
        baseline: (C,) float32.
    """

    trees: Trees
    baseline: NDArray[np.float32]

    @cached_property
    def _fast(self) -> Trees | SmallTrees:
        return small_trees(self.trees) or self.trees

    def scores(self, vectors: Vectors) -> NDArray[np.float32]:
        """See `Fitted`."""
        return sum_trees(*vectors, self._fast, len(self.baseline)) + self.baseline

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `Fitted`."""
        return {**self.trees._asdict(), "baseline": self.baseline}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], features: int, outputs: int) -> Boosted:
        """See `Fitted`."""
        of_trees = {name: each for name, each in arrays.items() if name != "baseline"}
        trees = _checked_trees(of_trees, features, 1)
        (baseline,) = checked(
            {"baseline": arrays.get("baseline", np.zeros(0))}, {"baseline": ("float32", (outputs,))}
        )
        return cls(trees, baseline)


def learn_forest(x: NDArray[np.float32], y: NDArray[Any], task: Task) -> Learned:
    """Fit a forest to (N, K) vectors and the numbers of their classes, or numbers."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    options = {"random_state": SEED, "n_jobs": task.threads}
    if task.regression:
        model = RandomForestRegressor(FOREST_TREES, **options)
    else:
        balanced = "balanced" if task.balance else None
        model = RandomForestClassifier(FOREST_TREES, class_weight=balanced, **options)
    model.fit(x, y)
    grown = []
    for each in model.estimators_:
        tree = each.tree_
        values = tree.value[:, 0, :]
        if not task.regression:
            values = values / values.sum(axis=1, keepdims=True)
        leaf = tree.children_left < 0
        grown.append(
            _Grown(
                np.where(leaf, -1, tree.feature),
                tree.threshold,
                tree.children_left,
                tree.children_right,
                values,
            )
        )
    return Learned(Forest(_joined(grown)), model.feature_importances_)


def learn_boosting(x: NDArray[np.float32], y: NDArray[Any], task: Task) -> Learned:
    """Fit gradient boosting to (N, K) vectors and the numbers of their classes, or numbers."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    classes = 1 if task.regression else len(np.unique(y))
    options = {
        "max_iter": ROUNDS,
        "max_leaf_nodes": MOST_LEAVES,
        "min_samples_leaf": max(1, min(SMALLEST_LEAF, len(y) // (10 * classes))),
        "early_stopping": False,  # it would hold labels out at random, next to others
        "random_state": SEED,
    }
    if task.regression:
        model = HistGradientBoostingRegressor(**options)
    else:
        model = HistGradientBoostingClassifier(class_weight="balanced" if task.balance else None, **options)
    model.fit(x, y)
    grown, importance = [], np.zeros(x.shape[1])
    outputs = 2 if classes == 2 else classes
    for stage in model._predictors:
        for each in stage:
            nodes = each.nodes
            leaf = nodes["is_leaf"].astype(bool)
            np.add.at(importance, nodes["feature_idx"][~leaf], nodes["gain"][~leaf])
            value = np.where(leaf, nodes["value"], 0.0)[:, np.newaxis]
            if outputs == 2:  # of two classes, scikit-learn scores the second alone
                grown.append(_constant())
            grown.append(
                _Grown(
                    np.where(leaf, -1, nodes["feature_idx"].astype(np.int64)),
                    np.where(leaf, 0.0, nodes["num_threshold"]),
                    nodes["left"].astype(np.int64),
                    nodes["right"].astype(np.int64),
                    value,
                )
            )
    baseline = np.ravel(model._baseline_prediction).astype(np.float32)
    if outputs == 2:
        baseline = np.array([0, baseline[0]], np.float32)
    return Learned(Boosted(_joined(grown), baseline), importance)


@dataclass(frozen=True)
class _Grown:
    """One tree: features (-1 for leaves), thresholds, children, and values (M, V) of all nodes."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    values: NDArray[np.float64]


def _constant() -> _Grown:
    """A tree that adds nothing."""
    none = np.full(1, -1)
    return _Grown(none, np.zeros(1), none, none, np.zeros((1, 1)))


def _joined(grown: Sequence[_Grown]) -> Trees:
    sizes = [len(each.feature) for each in grown]
    roots = np.cumsum([0, *sizes])
    feature = np.concatenate([each.feature for each in grown]).astype(np.int32)
    leaf = feature < 0
    children = [
        np.concatenate([getattr(each, side) + root for each, root in zip(grown, roots, strict=False)])
        for side in ("left", "right")
    ]
    left, right = (np.where(leaf, 0, each).astype(np.int32) for each in children)
    thresholds = np.concatenate([each.threshold for each in grown])
    values = np.concatenate([each.values for each in grown])[leaf].astype(np.float32)
    number = np.where(leaf, np.cumsum(leaf) - 1, -1).astype(np.int32)
    threshold = np.where(leaf, np.float32(0), floor32(np.where(leaf, 0.0, thresholds)))
    return Trees(roots.astype(np.int32), feature, threshold.astype(np.float32), left, right, number, values)


def _checked_trees(arrays: Mapping[str, NDArray[Any]], features: int, width: int) -> Trees:
    """Trees that a vector can walk to an end.

    Raises:
        Damaged: a child comes before its parent or lies in another tree, or a leaf or feature isn't there.
    """
    nodes = arrays["feature"].size if "feature" in arrays else 0
    trees = Trees(
        *checked(
            arrays,
            {
                "roots": ("int32", (None,)),
                "feature": ("int32", (nodes or None,)),
                "threshold": ("float32", (nodes,)),
                "left": ("int32", (nodes,)),
                "right": ("int32", (nodes,)),
                "leaf": ("int32", (nodes,)),
                "values": ("float32", (None, width)),
            },
        )
    )
    roots = trees.roots.astype(np.int64)
    if roots[0] != 0 or roots[-1] != nodes or (np.diff(roots) < 1).any() or len(roots) < 2:
        raise Damaged("'roots' doesn't divide the nodes into trees")
    number = np.arange(nodes)
    end = roots[1:][np.searchsorted(roots[1:], number, "right")]
    inner = trees.feature >= 0
    for child in (trees.left, trees.right):
        if ((child <= number) | (child >= end))[inner].any():
            raise Damaged("a node's child isn't behind it in its tree")
    if (trees.feature >= features).any() or (trees.feature < -1).any():
        raise Damaged(f"a node has a feature that isn't one of {features}")
    if ((trees.leaf < 0) | (trees.leaf >= len(trees.values)))[~inner].any():
        raise Damaged("a leaf has no value")
    return trees
