"""Compare how well different features of the same pixels predict labels, on the same folds and the same draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import sorted_classes
from tessera_engine.analysis.maps.intervals import Interval, draw_blocks, expansion, interval
from tessera_engine.analysis.maps.learn import HeldOut, hold_out, split
from tessera_engine.analysis.maps.learners.base import Task
from tessera_engine.analysis.maps.scores import LIMITS, class_scores, confusions, moments, number_scores

MAIN_SCORES = {False: "macro_f1", True: "r2"}
"""The score by which features are compared: for classes (False) and for regression (True)."""


@dataclass(frozen=True)
class Outcome:
    """The scores of one kind of features with one method, on all draws.

    Attributes:
        values: score on all labels, by its name.
        drawn: (DRAWS,) score on each draw of blocks, by its name; the outcomes of one `Comparison` have the same draws.
        means: for each score the labels and the sums of which it is a mean, as `intervals.expansion` takes them.
        of_groups: (G, ...) what the scores of each group of labels follow from: `confusions` or `moments`.
    """

    values: Mapping[str, float]
    drawn: Mapping[str, NDArray[np.float64]]
    means: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
    of_groups: NDArray[Any]

    def scores(self) -> dict[str, Interval]:
        """Each score with its interval."""
        return {
            name: interval(value, self.drawn[name], expansion(*self.means[name]), LIMITS[name])
            for name, value in self.values.items()
        }

    def less(self, other: Outcome, score: str) -> Interval:
        """A score minus that of another outcome of the same comparison, with its interval over the same draws."""
        value, drawn = self.values[score] - other.values[score], self.drawn[score] - other.drawn[score]
        counts, sums = self.means[score]
        return interval(value, drawn, expansion(counts, sums - other.means[score][1]))


class Predictions:
    """Labels and draws with which predictions are scored.

    Attributes:
        y: (N,) class names or numbers.
        groups: (N,) 0..G-1.
        names: of the classes, sorted; none of numbers.
        draws: (DRAWS, G) weight of each group.

    Args:
        y: (N,) class names or numbers.
        groups: (N,) the block or parcel of each label, which is drawn as a whole.
        regression: the labels are numbers.
        names: of all classes, also of predicted ones without labels; None: those of the labels.
    """

    def __init__(
        self,
        y: NDArray[Any],
        groups: NDArray[np.int64],
        regression: bool = False,
        names: list[str] | None = None,
    ) -> None:
        self.y, self.regression = y, regression
        self.groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
        self.names = [] if regression else (names or sorted_classes(y))
        self.draws = draw_blocks(self.groups.max() + 1)

    def outcome(self, predicted: NDArray[Any]) -> Outcome:
        """The scores of (N,) predictions, names of classes or numbers."""
        of_groups: NDArray[Any]
        if self.regression:
            of_groups = moments(self.y, predicted, self.groups)
        else:
            of_groups = confusions(self.y, predicted, self.groups, self.names)
        score = number_scores if self.regression else class_scores
        drawn = score(np.tensordot(self.draws, of_groups, 1))
        return Outcome(self._scores(of_groups), drawn, self._means(of_groups), of_groups)

    def scores_in(self, outcome: Outcome, labels: NDArray[np.bool_]) -> dict[str, float]:
        """The scores of an outcome on some labels, which are whole groups: (N,) bool."""
        return self._scores(outcome.of_groups[np.unique(self.groups[labels])])

    def _scores(self, of_groups: NDArray[Any]) -> dict[str, float]:
        score = number_scores if self.regression else class_scores
        return {name: float(value) for name, value in score(of_groups.sum(axis=0)).items()}

    def _means(self, of_groups: NDArray[Any]) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
        if self.regression:
            return dict.fromkeys(("r2", "rmse"), (of_groups[:, :1], of_groups[:, 3:]))
        counts, right = of_groups.sum(axis=2), of_groups.diagonal(axis1=1, axis2=2)
        over_all = counts.sum(axis=1, keepdims=True), right.sum(axis=1, keepdims=True)
        return {"accuracy": over_all, "balanced_accuracy": (counts, right), "macro_f1": (counts, right)}


class Comparison(Predictions):
    """Labels, folds and draws with which all features are measured.

    Attributes:
        folds: see `tessera_engine.analysis.maps.learn.split`.
        task: what is to be learned.

    Args:
        y: (N,) class names or numbers.
        groups: (N,) the block or parcel of each label: a group is always held out and drawn as a whole.
        regression: the labels are numbers.
        threads: CPU threads.
        balance: all classes weigh the same in learning.
    """

    def __init__(
        self,
        y: NDArray[Any],
        groups: NDArray[np.int64],
        regression: bool = False,
        threads: int = 1,
        balance: bool = False,
    ) -> None:
        super().__init__(y, groups, regression)
        self.folds = split(y, self.groups, regression)
        fewest = min(len(train) for train, _ in self.folds)
        self.task = Task(regression, balance, fewest, threads)

    def measure(self, x: NDArray[np.float32], method: str) -> Outcome:
        """Predict each fold from the others, and score the predictions of all folds together.

        The intervals cover the choice of the land for validation only, not the choice of the land for learning.

        Args:
            x: (N, K) features.
            method: see `tessera_engine.analysis.maps.learn.METHODS`.
        """
        return self.outcome(self.hold_out(x, method).predicted)

    def hold_out(self, x: NDArray[np.float32], method: str) -> HeldOut:
        """Predict each fold from the others; the arguments are those of `measure`."""
        return hold_out(method, x, self.y, self.folds, self.task)
