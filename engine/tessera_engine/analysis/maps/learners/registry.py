"""All learners, one record each. A new one is one module, and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.learners import linear, mlp, neighbours, trees
from tessera_engine.analysis.maps.learners.base import Fitted, Learned, Task


@dataclass(frozen=True)
class Learner:
    """One learner.

    Attributes:
        name: as `--method` takes it.
        title: for reports.
        learn: fits it to (N, K) float32 vectors and (N,) numbers of classes 0..C-1, all there, or numbers.
        fitted: what that gives, as it is read from a file.
    """

    name: str
    title: str
    learn: Callable[[NDArray[np.float32], NDArray[Any], Task], Learned]
    fitted: type[Fitted]


LEARNERS = {
    each.name: each
    for each in (
        Learner("linear", "Linear probe", linear.learn, linear.Linear),
        Learner("knn", "k nearest neighbours", neighbours.learn, neighbours.Neighbours),
        Learner("forest", "Random forest", trees.learn_forest, trees.Forest),
        Learner("boosting", "Gradient boosting", trees.learn_boosting, trees.Boosted),
        Learner("mlp", "Small neural network", mlp.learn, mlp.Network),
    )
}
"""By name."""
