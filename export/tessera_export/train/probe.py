"""Linear probe: how well a linear classifier of the features predicts classes, on land that it was not trained on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.compare import Comparison
from tessera_engine.analysis.maps.learn import block_groups
from tessera_engine.scene import Observations

BLOCK = 32
"""Side of a spatial block in pixels. It is wider than most fields, so that few fields are on both sides of a split."""


class Score(NamedTuple):
    """Quality of predictions: share of correct pixels, and mean F1 of the classes."""

    accuracy: float
    macro_f1: float

    def __str__(self) -> str:
        return f"accuracy {self.accuracy:.3f}, macro F1 {self.macro_f1:.3f}"


def linear_probe(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
) -> Score:
    """Cross-validated logistic regression on standardised features, with spatial blocks, as `evaluate` does it.

    Pixels are never split at random, because neighbours in one field are nearly equal.

    Args:
        features: (N, D).
        labels: (N,) classes.
        rows: (N,) row of each pixel.
        cols: (N,) column of each pixel.

    Returns:
        The score of all predictions together.
    """
    names = labels.astype(str).astype(object)
    comparison = Comparison(names, block_groups(cols, rows, BLOCK))
    values = comparison.measure(features, "linear").values
    return Score(values["accuracy"], values["macro_f1"])


def mean_spectrum(observations: Observations) -> NDArray[np.float32]:
    """(N, 14) baseline for embeddings: the mean of each band over clear dates, and of VV and VH over each orbit.

    Args:
        observations: of N pixels; (T, N, bands) arrays, or a window's.
    """
    o = observations
    orbits = [_mean(values, (values != 0).any(axis=-1)) for values in (o.s1_ascending, o.s1_descending)]
    return np.concatenate([_mean(o.s2, o.s2_valid != 0), *orbits], axis=1)


def _mean(values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, C) the mean over valid dates; 0 if there is none."""
    total = (values * valid[..., None]).sum(axis=0, dtype=np.float64)
    mean: NDArray[np.float64] = total / np.maximum(valid.sum(axis=0), 1)[..., None]
    return mean.reshape(-1, values.shape[-1]).astype(np.float32)
