"""How sure a map may be: probabilities that agree with how often held-out labels are predicted rightly.

Scores are divided by one temperature (Guo et al. 2017, "On calibration of modern neural networks", ICML). It is the
one that makes the held-out labels most likely, with a normal distribution of its logarithm around 0 as prior, so that
few labels move it little. It never changes the class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.scores import most_likely

WIDEST = 5.0
"""The temperature is between exp(-WIDEST) and exp(WIDEST)."""

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """How often predictions of some confidence are right.

    Attributes:
        temperature: by which the scores of the map are divided.
        error: expected calibration error of held-out labels, each with a temperature that was found on other folds.
        error_before: the same without a temperature.
        bins: for each tenth of the confidence that has labels: its mean confidence, the share that is right, labels.
    """

    temperature: float
    error: float
    error_before: float
    bins: tuple[tuple[float, float, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "temperature": self.temperature,
            "calibration_error": self.error,
            "calibration_error_before": self.error_before,
            "bins": [
                {"confidence": confidence, "right": right, "labels": labels}
                for confidence, right, labels in self.bins
            ],
        }


def calibrate(
    scores: NDArray[np.float32], true: NDArray[np.int64], folds: list[NDArray[np.int64]]
) -> Reliability:
    """Find the temperature, and how reliable confidences are with it.

    Args:
        scores: (N, C) of held-out labels; -inf for a class that their fold hadn't learned.
        true: (N,) numbers of their classes.
        folds: the labels of each fold.
    """
    confidence, number = np.empty(len(true)), np.empty(len(true), np.int64)
    for fold in folds:
        others = np.setdiff1d(np.concatenate(folds), fold)
        temperature = find_temperature(scores[others], true[others])
        number[fold], confidence[fold] = most_likely(scores[fold], temperature)
    before = most_likely(scores)[1].astype(np.float64)
    right = number == true
    error, bins = _expected_error(confidence, right)
    return Reliability(find_temperature(scores, true), error, _expected_error(before, right)[0], bins)


def find_temperature(scores: NDArray[np.float32], true: NDArray[np.int64]) -> float:
    """The temperature of scores; labels whose class had no score are left out.

    Args:
        scores: (N, C).
        true: (N,) numbers of classes.
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(true))
    learned = np.isfinite(scores[rows, true])
    scores, true = scores[learned].astype(np.float64), true[learned]
    if not len(true):
        return 1.0
    rows = np.arange(len(true))
    best = scores.max(axis=1)

    def cost(logarithm: float) -> float:
        cooled = (scores - best[:, np.newaxis]) / np.exp(logarithm)
        likelihood = cooled[rows, true] - np.log(np.exp(cooled).sum(axis=1))
        return float(logarithm**2 / 2 - likelihood.sum())

    found = minimize_scalar(cost, bounds=(-WIDEST, WIDEST), method="bounded")
    return float(np.exp(found.x))


def _expected_error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[float, tuple[tuple[float, float, int], ...]]:
    """Mean of |confidence - share that is right| over tenths of the confidence, weighted by labels; and the tenths."""
    tenth = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    bins = tuple(
        (float(confidence[here].mean()), float(right[here].mean()), int(here.sum()))
        for here in (tenth == number for number in np.unique(tenth))
    )
    error = sum(labels * abs(mean - share) for mean, share, labels in bins) / len(right)
    return float(error), bins
