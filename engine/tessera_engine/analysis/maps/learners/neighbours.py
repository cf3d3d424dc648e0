"""The nearest labels by cosine, the nearer the weightier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.learners.base import FLOOR, Learned, Task, Vectors, checked
from tessera_engine.files.document import Damaged
from tessera_kernels.nearest import nearest

NEIGHBOURS = 5


@dataclass(frozen=True)
class Neighbours:
    """The labels themselves.

    Attributes:
        directions: (T, K) float32, unit vectors.
        labels: (T, C) float32, of each label the weight of its class; or (T, 1) its number.
        count: (1,) int64, how many are asked.
    """

    directions: NDArray[np.float32]
    labels: NDArray[np.float32]
    count: NDArray[np.int64]

    def scores(self, vectors: Vectors) -> NDArray[np.float32]:
        """See `Fitted`."""
        number, distance = nearest(unit(vectors.embeddings), self.directions, int(self.count[0]))
        # The same vector as a label's is as near as can be, and then only such labels count
        same = distance == 0
        weight = np.where(same.any(axis=1, keepdims=True), same, 1 / np.where(same, 1, distance))
        shares = np.einsum("nk,nkc->nc", weight.astype(np.float32), self.labels[number])
        if self.labels.shape[1] == 1:
            mean: NDArray[np.float32] = (shares / weight.sum(axis=1, keepdims=True)).astype(np.float32)
            return mean
        shares /= shares.sum(axis=1, keepdims=True)
        logarithms: NDArray[np.float32] = np.log(np.maximum(shares, np.float32(FLOOR)))
        return logarithms

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `Fitted`."""
        return {"directions": self.directions, "labels": self.labels, "count": self.count}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], features: int, outputs: int) -> Neighbours:
        """See `Fitted`."""
        shapes = {
            "directions": ("float32", (None, features)),
            "labels": ("float32", (None, outputs)),
            "count": ("int64", (1,)),
        }
        directions, labels, count = checked(arrays, shapes)
        if len(directions) != len(labels) or not 1 <= count[0] <= len(labels):
            raise Damaged(
                f"{count[0]} of {len(directions)} neighbours with {len(labels)} labels can't be asked"
            )
        if outputs > 1 and ((labels < 0).any() or not (labels.sum(axis=1) > 0).all()):
            raise Damaged("'labels' has weights below 0, or a label without a class")
        return cls(directions, labels, count)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, K) vectors of length 1: between them, the nearest is the one with the largest cosine. Zeros stay zeros."""
    lengths = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    directions: NDArray[np.float32] = np.zeros(vectors.shape, np.float32)
    np.divide(vectors, lengths, out=directions, where=lengths > 0)
    return directions


def learn(x: NDArray[np.float32], y: NDArray[Any], task: Task) -> Learned:
    """Keep (N, K) vectors and the numbers of their classes, or numbers."""
    if task.regression:
        labels = y.astype(np.float32)[:, np.newaxis]
    else:
        counts = np.bincount(y)
        weight = len(y) / (len(counts) * counts) if task.balance else np.ones(len(counts))
        labels = (np.eye(len(counts)) * weight)[y].astype(np.float32)
    count = np.array([min(NEIGHBOURS, task.fewest, len(y))])
    return Learned(Neighbours(unit(x), labels, count), np.ones(x.shape[1]))
