"""Linear probe: how well a linear classifier on features tells classes apart, on ground that it hasn't seen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tessera_engine.scene import Observations
from tessera_export.train.monitor import effective_rank as effective_rank

BLOCK = 32
"""Pixels across a spatial block: wider than most fields, so that few fields are on both sides of a split."""

PENALTY = 10.0
"""On half the squared weights, against the sum of all pixels' cross-entropies."""

ITERATIONS = 200
"""Of L-BFGS, at most."""


class Score(NamedTuple):
    """How good the predictions are: share of pixels that are right, and the classes' mean F1."""

    accuracy: float
    macro_f1: float

    def __str__(self) -> str:
        return f"accuracy {self.accuracy:.3f}, macro F1 {self.macro_f1:.3f}"


def spatial_folds(rows: NDArray[np.int64], cols: NDArray[np.int64], folds: int) -> NDArray[np.int64]:
    """(N,) the fold of each pixel; all pixels of one block are in one fold."""
    block_row, block_col = rows // BLOCK, cols // BLOCK
    names, block = np.unique(block_row * (block_col.max() + 1) + block_col, return_inverse=True)
    dealt = np.random.default_rng(0).permutation(np.arange(len(names)) % folds)
    return dealt[block]


def linear_probe(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    folds: int = 4,
) -> Score:
    """Cross-validated multinomial logistic regression on standardised features, with spatial blocks.

    Pixels are never split at random: neighbours in one field are nearly copies of each other.

    Args:
        features: (N, D).
        labels: (N,) classes.
        rows: (N,) where the pixels lie.
        cols: (N,).
        folds: parts of the ground; each is predicted by a classifier trained on the others.

    Returns:
        The score of all predictions together.
    """
    fold = spatial_folds(rows, cols, folds)
    predicted = np.empty_like(labels)
    for number in range(folds):
        held_out = fold == number
        predicted[held_out] = _fit_predict(features[~held_out], labels[~held_out], features[held_out])
    return _score(labels, predicted)


def _fit_predict(
    features: NDArray[np.float32], labels: NDArray[np.int64], unseen: NDArray[np.float32]
) -> NDArray[np.int64]:
    mean, std = features.mean(0), features.std(0)
    x, x_unseen = (torch.from_numpy((f - mean) / np.maximum(std, 1e-12)) for f in (features, unseen))
    classes, target = np.unique(labels, return_inverse=True)
    y = torch.from_numpy(target)
    weight = torch.zeros(x.shape[1], len(classes), requires_grad=True)
    bias = torch.zeros(len(classes), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        fit = torch.nn.functional.cross_entropy(x @ weight + bias, y, reduction="sum")
        loss = (fit + 0.5 * PENALTY * weight.square().sum()) / len(x)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        best: NDArray[np.int64] = (x_unseen @ weight + bias).argmax(1).numpy()
    return classes[best]


def _score(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> Score:
    f1 = []
    for label in np.unique(labels):
        right = np.sum((labels == label) & (predicted == label))
        f1.append(2 * right / (np.sum(labels == label) + np.sum(predicted == label)))
    return Score(float(np.mean(labels == predicted)), float(np.mean(f1)))


def mean_spectrum(observations: Observations) -> NDArray[np.float32]:
    """(N, 14) what an embedding has to beat: each band's mean over clear dates, VV's and VH's over each orbit's.

    Args:
        observations: of N pixels; (T, N, bands) arrays, or a window's.
    """
    o = observations
    orbits = [_mean(values, (values != 0).any(axis=-1)) for values in (o.s1_ascending, o.s1_descending)]
    return np.concatenate([_mean(o.s2, o.s2_valid != 0), *orbits], axis=1)


def _mean(values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, C) the mean over dates of what is valid; 0 where nothing is."""
    total = (values * valid[..., None]).sum(axis=0, dtype=np.float64)
    mean: NDArray[np.float64] = total / np.maximum(valid.sum(axis=0), 1)[..., None]
    return mean.reshape(-1, values.shape[-1]).astype(np.float32)
