"""How well labels are told from features of the same pixels, compared on the same folds and the same draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.intervals import Interval, draw_blocks, interval
from tessera_engine.analysis.maps.learn import make_model, predict_held_out, split
from tessera_engine.analysis.maps.scores import class_scores, confusions, moments, number_scores

MAIN_SCORES = {False: "macro_f1", True: "r2"}
"""Regression or not -> the score by which features are compared."""


@dataclass(frozen=True)
class Outcome:
    """The scores of one kind of features with one method, on all draws.

    Attributes:
        values: name of a score -> on all labels.
        drawn: name of a score -> (DRAWS,) on each draw of blocks; two outcomes of one `Comparison` have equal draws.
    """

    values: Mapping[str, float]
    drawn: Mapping[str, NDArray[np.float64]]

    def scores(self) -> dict[str, Interval]:
        """Each score with its interval."""
        return {name: interval(value, self.drawn[name]) for name, value in self.values.items()}

    def less(self, other: Outcome, score: str) -> Interval:
        """How much better than another outcome of the same comparison, block by block."""
        return interval(self.values[score] - other.values[score], self.drawn[score] - other.drawn[score])


class Comparison:
    """Labels, folds and draws that all features are measured with.

    Args:
        y: (N,) class names or numbers.
        groups: (N,) the block or parcel of each label: held out as a whole, and drawn as a whole.
        regression: the labels are numbers.
        threads: CPU threads.
    """

    def __init__(
        self, y: NDArray[Any], groups: NDArray[np.int64], regression: bool = False, threads: int = 1
    ) -> None:
        self.y, self.regression, self.threads = y, regression, threads
        self.groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
        self.folds = split(y, self.groups, regression)
        self.draws = draw_blocks(self.groups.max() + 1)

    def measure(self, x: NDArray[np.float32], method: str) -> Outcome:
        """Predict each fold from the others, and score the predictions of all folds together.

        The draws say how the scores hang on the land that is validated on; that other land would also be learned
        from is not in them.

        Args:
            x: (N, K) features.
            method: see `tessera_engine.analysis.maps.learn.METHODS`.
        """
        fewest = min(len(train) for train, _ in self.folds)
        model = make_model(method, self.regression, fewest, self.threads)
        predicted = predict_held_out(model, x, self.y, self.folds)
        of_groups: NDArray[Any]
        if self.regression:
            of_groups = moments(self.y, predicted, self.groups)
        else:
            of_groups = confusions(self.y, predicted, self.groups, sorted(set(self.y)))
        score = number_scores if self.regression else class_scores
        values = {name: float(value) for name, value in score(of_groups.sum(axis=0)).items()}
        return Outcome(values, score(np.tensordot(self.draws, of_groups, 1)))
