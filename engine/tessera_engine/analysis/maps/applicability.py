"""Where a map may be trusted: the area of applicability of Meyer and Pebesma 2021.

"Predicting into unknown space? Estimating the area of applicability of spatial prediction models", Methods in Ecology
and Evolution 12, 1620-1633; as the R package CAST computes it. Features are standardised and weighted by their
importance to the learner. A pixel's dissimilarity is its distance to the nearest label, divided by the mean distance
between labels. Each label has one too, from the labels of other folds; the threshold is the upper whisker of these
(the largest that is at most 1.5 times the distance of the hinges above the upper hinge). Pixels above it lie beyond
the area of applicability: what cross-validation found does not hold there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.learners.base import SEED, checked
from tessera_engine.files.document import Damaged
from tessera_kernels.nearest import nearest

MOST_REFERENCES = 2_000
"""Labels that pixels are compared with; of more, as many are drawn at random, for the threshold too."""


@dataclass(frozen=True)
class Applicability:
    """What dissimilarities are measured with.

    Attributes:
        middle: (K,) float32, mean of each feature.
        factor: (K,) float32, importance divided by the standard deviation.
        references: (T, K) float32, the labels, standardised and weighted.
        limits: (2,) float64: mean distance between labels, and threshold of the dissimilarity.
    """

    middle: NDArray[np.float32]
    factor: NDArray[np.float32]
    references: NDArray[np.float32]
    limits: NDArray[np.float64]

    @property
    def threshold(self) -> float:
        """The dissimilarity above which a pixel lies beyond the area of applicability."""
        return float(self.limits[1])

    def dissimilarity(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N,) float32 for (N, K) features."""
        _, distance = nearest((features - self.middle) * self.factor, self.references)
        found: NDArray[np.float32] = (distance[:, 0] / self.limits[0]).astype(np.float32)
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that `of_arrays` needs."""
        return {name: getattr(self, name) for name in ("middle", "factor", "references", "limits")}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], features: int) -> Applicability:
        """The same again.

        Raises:
            Damaged: these arrays can't be its own.
        """
        shapes = {
            "middle": ("float32", (features,)),
            "factor": ("float32", (features,)),
            "references": ("float32", (None, features)),
            "limits": ("float64", (2,)),
        }
        found = cls(*checked(arrays, shapes))
        if not (found.limits[0] > 0 and found.limits[1] >= 0):
            raise Damaged("'limits' has a mean distance or a threshold that is none")
        return found


def measure_applicability(
    x: NDArray[np.float32], importance: NDArray[np.float64], folds: NDArray[np.int64]
) -> Applicability | None:
    """Learn from the labels what dissimilarities are measured with.

    Args:
        x: (N, K) features of the labels.
        importance: (K,) 0 or more.
        folds: (N,) in which fold each label is held out.

    Returns:
        None where all labels are the same, so that there is no distance between them.
    """
    if len(x) > MOST_REFERENCES:
        kept = np.sort(np.random.default_rng(SEED).permutation(len(x))[:MOST_REFERENCES])
        x, folds = x[kept], folds[kept]
    values = x.astype(np.float64)
    spread = values.std(axis=0, ddof=1) if len(x) > 1 else np.zeros(x.shape[1])
    weight = importance if (importance > 0).any() else np.ones_like(importance)
    factor = np.divide(weight / weight.max(), spread, out=np.zeros_like(spread), where=spread > 0)
    middle = values.mean(axis=0)
    references = (values - middle) * factor
    squares = np.square(references).sum(axis=1)
    mean, own = 0.0, np.full(len(x), np.inf)
    for start in range(0, len(x), 256):  # so that few distances are in memory
        part = slice(start, start + 256)
        products = references[part] @ references.T
        distance = np.sqrt(np.maximum(squares[part, np.newaxis] + squares - 2 * products, 0))
        mean += float(distance.sum())
        distance[folds[part, np.newaxis] == folds] = np.inf
        own[part] = distance.min(axis=1)
    mean /= max(1, len(x) * (len(x) - 1))
    own = own[np.isfinite(own)]
    if mean == 0 or not len(own):
        return None
    limits = np.array([mean, upper_whisker(own / mean)])
    return Applicability(
        middle.astype(np.float32), factor.astype(np.float32), references.astype(np.float32), limits
    )


def upper_whisker(values: NDArray[np.float64]) -> float:
    """The upper whisker of a box plot as Tukey draws it: with hinges, which are medians of the halves.

    Args:
        values: (N,), at least one.
    """
    ordered = np.sort(values)
    depth = (len(ordered) + 3) // 2 / 2  # from 1, maybe between two values
    low, high = (
        0.5 * (ordered[int(np.floor(place)) - 1] + ordered[int(np.ceil(place)) - 1])
        for place in (depth, len(ordered) + 1 - depth)
    )
    return float(ordered[ordered <= high + 1.5 * (high - low)].max())
