"""How sure a map may be: probabilities that agree with how often held-out labels are predicted rightly.

Scores are divided by one temperature (Guo et al. 2017, "On calibration of modern neural networks", ICML). It is the
one that makes the held-out labels most likely, with a normal distribution of its logarithm around 0 as prior, so that
few labels move it little. It never changes the class. It is 1 where it doesn't help held-out labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.intervals import draw_blocks
from tessera_kernels.scores import most_likely

WIDEST = 5.0
"""The temperature is between exp(-WIDEST) and exp(WIDEST)."""

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """How often predictions of some confidence are right.

    Attributes:
        temperature: by which the scores of the map are divided.
        error: expected calibration error of held-out labels, each with a temperature that was found on other folds; of
            a temperature of 1 the error without it.
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
    scores: NDArray[np.float32],
    true: NDArray[np.int64],
    folds: Sequence[NDArray[np.int64]],
    groups: NDArray[np.int64],
) -> Reliability:
    """Find the temperature, and how reliable confidences are with it.

    It stays 1 unless the error of held-out labels falls by more than its standard error over the blocks. A temperature
    from few labels can make confidences worse.

    Args:
        scores: (N, C) of held-out labels; -inf for a class that their fold hadn't learned.
        true: (N,) numbers of their classes.
        folds: the labels of each fold.
        groups: (N,) 0..G-1, the block of each label.
    """
    number, found = most_likely(scores)
    before = found.astype(np.float64)
    after = before.copy()
    for fold in folds:
        others = np.setdiff1d(np.concatenate(folds), fold)
        after[fold] = most_likely(scores[fold], find_temperature(scores[others], true[others]))[1]
    right, draws = number == true, draw_blocks(int(groups.max()) + 1)
    unchanged, bins = expected_error(before, right)
    calibrated, bins_after = expected_error(after, right)
    drawn = [_drawn_errors(each, right, groups, draws) for each in (after, before)]
    if unchanged - calibrated <= float(np.std(drawn[0] - drawn[1])):
        return Reliability(1.0, unchanged, unchanged, bins)
    return Reliability(find_temperature(scores, true), calibrated, unchanged, bins_after)


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


def expected_error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[float, tuple[tuple[float, float, int], ...]]:
    """How far confidences are from the shares that are right.

    Args:
        confidence: (N,).
        right: (N,) whether each label is predicted rightly.

    Returns:
        Mean of |confidence - share that is right| over tenths of the confidence, weighted by labels (the expected
        calibration error of Guo et al. 2017); and of each tenth that has labels: mean confidence, share that is right,
        labels.
    """
    tenth = _tenth(confidence)
    bins = tuple(
        (float(confidence[here].mean()), float(right[here].mean()), int(here.sum()))
        for here in (tenth == number for number in np.unique(tenth))
    )
    error = sum(labels * abs(mean - share) for mean, share, labels in bins) / len(right)
    return float(error), bins


def _drawn_errors(
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_],
    groups: NDArray[np.int64],
    draws: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(DRAWS,) the expected calibration error of each weighting of the blocks."""
    blocks = draws.shape[1]
    place = groups * BINS + _tenth(confidence)
    excess = np.bincount(place, confidence - right, blocks * BINS).reshape(blocks, BINS)
    labels = np.bincount(groups, minlength=blocks)
    errors: NDArray[np.float64] = np.abs(draws @ excess).sum(axis=1) / (draws @ labels)
    return errors


def _tenth(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
