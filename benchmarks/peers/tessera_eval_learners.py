"""Learners of tessera-eval (PyPI, MIT), which evaluates TESSERA embeddings, on our folds.

`pip install tessera-eval` into this environment or beside it. Its learners that need neighbouring pixels, xgboost or
PyTorch are left out. Of tessera-eval only `make_classifier` is used: it splits labels by area, not into folds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.learn import Folds

NAMES = ("nn", "rf", "mlp")


def hold_out(name: str, x: NDArray[np.float32], y: NDArray[Any], folds: Folds) -> NDArray[Any]:
    """(N,) the classes that its learner predicts for each fold from the others, with its own defaults."""
    from tessera_eval.classify import make_classifier

    names, numbers = np.unique(y.astype(str), return_inverse=True)
    predicted = np.empty(len(y), np.int64)
    for train, test in folds:
        predicted[test] = make_classifier(name).fit(x[train], numbers[train]).predict(x[test])
    found: NDArray[Any] = names.astype(object)[predicted]
    return found
