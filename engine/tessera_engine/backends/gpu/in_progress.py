"""Batches that a device works on, the oldest first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def next_batch(ends: NDArray[np.int64], first: int, most: int) -> int:
    """The end of the batch that begins with pixel `first`. All batches that are left have about the same size.

    Args:
        ends: (N,) what all pixels up to each one take, itself included: tokens, or bytes.
        first: the batch's first pixel.
        most: what a batch may take; it has at least one pixel.
    """
    before = int(ends[first - 1]) if first else 0
    left = int(ends[-1]) - before
    share = -(-left // -(-left // most))
    fitting = int(np.searchsorted(ends, before + most, "right"))
    return max(first + 1, min(fitting, int(np.searchsorted(ends, before + share, "left")) + 1))


class InProgress:
    """Batches in progress. They end in the order in which they began."""

    def __init__(self, most: int) -> None:
        """Args: how many may be in progress."""
        self._most, self._ended = most, 0
        self._waiting: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def make_room(self) -> None:
        """Finish batches until another one may begin."""
        while len(self._waiting) >= self._most:
            self._finish_oldest()

    def add(self, finish: Callable[[], None]) -> int:
        """Add a batch that has begun.

        Args:
            finish: waits for it and keeps its results.

        Returns:
            Its number, for `finish`.
        """
        self._waiting.append(finish)
        return self._ended + len(self._waiting)

    def finish(self, number: int) -> None:
        """Finish all batches up to this one; those that have ended stay as they are."""
        while self._ended < number and self._waiting:
            self._finish_oldest()

    def finish_all(self) -> None:
        """Finish all batches."""
        while self._waiting:
            self._finish_oldest()

    def _finish_oldest(self) -> None:
        finish = self._waiting.popleft()
        self._ended += 1
        finish()
