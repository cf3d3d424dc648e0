"""Segments in groups, so that what is made of them fits the memory, however many there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tessera_engine.scene import Window


@dataclass(frozen=True)
class Group:
    """Segments with successive numbers.

    Attributes:
        first: the number of the first one.
        count: how many there are.
        window: the rows that hold all of their pixels, over the full width.
    """

    first: int
    count: int
    window: Window

    def own(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Labels counted from the group's first segment; -1 in pixels of others and without data.

        Args:
            labels: int32 of any shape, see `tessera_engine.analysis.segments.find.find_segments`.
        """
        own = labels - np.int32(self.first)
        own[(labels < self.first) | (own >= self.count)] = -1
        return own


def groups_of(labels: NDArray[np.int32], most: int) -> list[Group]:
    """All segments, in groups.

    Numbers follow the segments' first pixels, so a group takes few rows, unless one of its segments is tall.

    Args:
        labels: (height, width) int32, see `tessera_engine.analysis.segments.find.find_segments`.
        most: segments of a group.
    """
    width, count = labels.shape[1], int(labels.max(initial=-1)) + 1
    top, bottom = np.full(count, len(labels), np.int64), np.zeros(count, np.int64)
    for row, numbers in enumerate(labels):
        present = numbers[numbers >= 0]
        top[present] = np.minimum(top[present], row)
        bottom[present] = row + 1
    groups = []
    for first in range(0, count, most):
        above, below = int(top[first : first + most].min()), int(bottom[first : first + most].max())
        window = Window(0, above, width, below - above)
        groups.append(Group(first, min(most, count - first), window))
    return groups
