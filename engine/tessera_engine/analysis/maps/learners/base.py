"""What every learner takes and gives: vectors, a task, and what was learned as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tessera_engine.files.document import Damaged

SEED = 0

FLOOR = 1e-6
"""Probability that stands for 0 where a logarithm is taken."""


class Vectors(NamedTuple):
    """Embeddings of pixels as they are stored, or features made from them.

    Attributes:
        values: (N, K) int8 codes or float32.
        scales: (N,) float32 of the codes; None for float32.
    """

    values: NDArray[Any]
    scales: NDArray[np.float32] | None = None

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """(N, K) float32."""
        if self.scales is None:
            return self.values.astype(np.float32, copy=False)
        dequantised: NDArray[np.float32] = self.values * self.scales[:, np.newaxis]
        return dequantised


@dataclass(frozen=True)
class Task:
    """What is to be learned, besides the labels.

    Attributes:
        regression: the labels are numbers.
        balance: all classes weigh the same, whatever their number of labels.
        fewest: labels of the smallest fold; no learner asks for more neighbours.
        threads: CPU threads.
    """

    regression: bool = False
    balance: bool = False
    fewest: int = 1
    threads: int = 1


class Fitted(Protocol):
    """What was learned. It needs no library but the kernels, and gives the same bits wherever it is read again."""

    def scores(self, vectors: Vectors) -> NDArray[np.float32]:
        """(N, C) scores of classes, whose softmax are the probabilities; or (N, 1) numbers."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that `of_arrays` needs."""
        ...

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], features: int, outputs: int) -> Fitted:
        """The same again.

        Args:
            arrays: of `arrays`, finite, of any names, types and shapes.
            features: K, the values of a vector.
            outputs: C, or 1 for numbers.

        Raises:
            Damaged: these arrays can't be its own.
        """
        ...


class Learned(NamedTuple):
    """What a learner gives.

    Attributes:
        fitted: the result.
        importance: (K,) 0 or more, how much each feature matters to it.
    """

    fitted: Fitted
    importance: NDArray[np.float64]


def checked(
    arrays: Mapping[str, NDArray[Any]], expected: Mapping[str, tuple[str, tuple[int | None, ...]]]
) -> list[NDArray[Any]]:
    """Arrays in the order of `expected`, with these types and shapes and no others.

    Args:
        arrays: of a file.
        expected: name -> dtype and shape; None: any size of at least 1.

    Raises:
        Damaged: one is missing, unknown, or of another type or shape.
    """
    if set(arrays) != set(expected):
        raise Damaged(f"has the arrays {', '.join(sorted(arrays))}, expected {', '.join(sorted(expected))}")
    for name, (dtype, shape) in expected.items():
        found = arrays[name]
        fits = len(found.shape) == len(shape) and all(
            size == wanted if wanted is not None else size >= 1
            for size, wanted in zip(found.shape, shape, strict=True)
        )
        if found.dtype.name != dtype or not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise Damaged(f"'{name}' is {found.dtype.name} {found.shape}, expected {dtype} ({wanted})")
    return [arrays[name] for name in expected]


def balanced_rows(y: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that hold each class as often as the most frequent one, for learners that know no weights.

    Args:
        y: (N,) numbers of classes.
    """
    most = np.bincount(y).max()
    return np.concatenate([np.resize(np.flatnonzero(y == number), most) for number in np.unique(y)])


def floor32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above each value: a float32 is up to the one exactly if up to the other."""
    rounded = values.astype(np.float32)
    return np.where(rounded > values, np.nextafter(rounded, np.float32(-np.inf)), rounded)
