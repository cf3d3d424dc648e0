"""Logistic regression, and ridge regression for numbers, on standardised values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.learners.base import Learned, Task, Vectors, checked
from tessera_kernels.scores import linear_scores

RIDGE_ALPHAS = tuple(10.0**power for power in range(-2, 5))


@dataclass(frozen=True)
class Linear:
    """Weights (C, K) and bias (C,), float32, of the values as they are: the standardisation is folded in."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def scores(self, vectors: Vectors) -> NDArray[np.float32]:
        """See `Fitted`."""
        return linear_scores(vectors.values, vectors.scales, self.weights, self.bias)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `Fitted`."""
        return {"weights": self.weights, "bias": self.bias}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], features: int, outputs: int) -> Linear:
        """See `Fitted`."""
        shapes = {"weights": ("float32", (outputs, features)), "bias": ("float32", (outputs,))}
        return cls(*checked(arrays, shapes))


def learn(x: NDArray[np.float32], y: NDArray[Any], task: Task) -> Learned:
    """Fit it to (N, K) vectors and the numbers of their classes, or numbers."""
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    scaled = scaler.fit_transform(x)
    if task.regression:
        model = RidgeCV(RIDGE_ALPHAS).fit(scaled, y)
    else:
        balanced = "balanced" if task.balance else None
        model = LogisticRegression(max_iter=1000, class_weight=balanced).fit(scaled, y)
    weights = np.atleast_2d(model.coef_).astype(np.float64)
    importance = np.abs(weights).mean(axis=0)
    weights = weights / scaler.scale_
    bias = np.atleast_1d(model.intercept_) - weights @ scaler.mean_
    if not task.regression and len(weights) == 1:  # of two classes, scikit-learn scores the second alone
        weights, bias = np.concatenate([0 * weights, weights]), np.concatenate([0 * bias, bias])
    return Learned(Linear(weights.astype(np.float32), bias.astype(np.float32)), importance)
