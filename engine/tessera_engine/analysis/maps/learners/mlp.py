"""A small neural network: one hidden layer, on standardised values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.learners.base import SEED, Learned, Task, Vectors, balanced_rows, checked
from tessera_kernels.scores import network_scores

HIDDEN = 64
DECAY = 0.01
"""L2 penalty of the weights: with few labels, scikit-learn's 0.0001 is nearly none."""
ROUNDS = 300


@dataclass(frozen=True)
class Network:
    """Two layers, float32; the standardisation is folded in.

    Attributes:
        first: (H, K).
        first_bias: (H,).
        last: (C, H).
        last_bias: (C,).
    """

    first: NDArray[np.float32]
    first_bias: NDArray[np.float32]
    last: NDArray[np.float32]
    last_bias: NDArray[np.float32]

    def scores(self, vectors: Vectors) -> NDArray[np.float32]:
        """See `Fitted`."""
        return network_scores(*vectors, (self.first, self.first_bias), (self.last, self.last_bias))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `Fitted`."""
        return {name: getattr(self, name) for name in ("first", "first_bias", "last", "last_bias")}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], features: int, outputs: int) -> Network:
        """See `Fitted`."""
        hidden = arrays["first_bias"].size if "first_bias" in arrays else 0
        shapes = {
            "first": ("float32", (hidden, features)),
            "first_bias": ("float32", (hidden or None,)),
            "last": ("float32", (outputs, hidden)),
            "last_bias": ("float32", (outputs,)),
        }
        return cls(*checked(arrays, shapes))


def learn(x: NDArray[np.float32], y: NDArray[Any], task: Task) -> Learned:
    """Fit it to (N, K) vectors and the numbers of their classes, or numbers."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.preprocessing import StandardScaler

    if task.balance and not task.regression:
        rows = balanced_rows(y)
        x, y = x[rows], y[rows]
    scaler = StandardScaler()
    scaled = scaler.fit_transform(x)
    middle, spread = (float(y.mean()), float(y.std()) or 1.0) if task.regression else (0.0, 1.0)
    kind = MLPRegressor if task.regression else MLPClassifier
    model = kind(hidden_layer_sizes=(HIDDEN,), alpha=DECAY, max_iter=ROUNDS, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is scored as it is
        model.fit(scaled, (y - middle) / spread if task.regression else y)
    (first, last), (first_bias, last_bias) = (
        [each.T.astype(np.float64) for each in model.coefs_],
        [each.astype(np.float64) for each in model.intercepts_],
    )
    importance = np.abs(last).sum(axis=0) @ np.abs(first)
    first = first / scaler.scale_
    first_bias = first_bias - first @ scaler.mean_
    last, last_bias = last * spread, last_bias * spread + middle
    if not task.regression and len(last) == 1:  # of two classes, scikit-learn scores the second alone
        last, last_bias = np.concatenate([0 * last, last]), np.concatenate([0 * last_bias, last_bias])
    layers = (first, first_bias, last, last_bias)
    return Learned(Network(*(each.astype(np.float32) for each in layers)), importance)
