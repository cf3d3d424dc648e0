"""Questions to all pixels: where is it like here, and what has changed? Answers are stored in 16 bits a pixel."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.progress import Progress
from tessera_engine.view.viewed import Viewed

STEPS = 65_534
"""Steps between the lowest and the highest value: stored are 1 to 65535, and 0 for no data."""

BINS = 2000
"""Of a histogram."""

MOST_POINTS = 100
"""Of a question."""

STRIP_PIXELS = 1 << 17
"""Pixels that are stored at a time, which fit into the CPU's cache."""

COSINE = (-1.0, 1.0)
CHANGE = (0.0, 4.0)
"""Lowest and highest value that is stored; higher ones are stored as the highest. Two random pixels have 1."""

TOP_SHARE = 0.01
"""Share of the pixels above the suggested threshold, as `tessera-engine similar` has it."""


@dataclass(frozen=True)
class Question:
    """Pixels (column, row) that wanted ones are like, and such that they are not like."""

    positives: Sequence[tuple[int, int]]
    negatives: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True)
class Answer:
    """The answer to a question.

    Attributes:
        version: a number that no other answer of this session has.
        z: the level that it is of.
        stored: (height, width) uint16: 0 for no data, else 1 + round((value - low) / (high - low) * `STEPS`).
        low: the lowest value that can be stored.
        high: the highest.
        counts: (65536,) pixels with each stored value.
        question: what was asked; None where nothing was chosen.
    """

    version: int
    z: int
    stored: NDArray[np.uint16]
    low: float
    high: float
    counts: NDArray[np.int64]
    question: Question | None = None

    @property
    def pixels(self) -> int:
        """Pixels with data."""
        return int(self.counts[1:].sum())

    def histogram(self) -> dict[str, Any]:
        """Counts of `BINS` equal bins from the lowest to the highest value; the last one includes the highest."""
        bins = np.arange(STEPS + 1) * BINS // STEPS
        counts = np.bincount(np.minimum(bins, BINS - 1), self.counts[1:], BINS).astype(np.int64)
        return {"from": self.low, "to": self.high, "counts": counts.tolist()}

    def threshold(self, top: float) -> float:
        """The lowest value of the highest share of the pixels."""
        rank = max(1, int(top * self.pixels))
        from_above = self.counts[:0:-1].cumsum()
        value = len(from_above) - int(np.searchsorted(from_above, rank))
        return self.low + (value - 1) / STEPS * (self.high - self.low)


class Versioned(Protocol):
    """What `Answers` keeps."""

    @property
    def version(self) -> int:
        """A number that no other answer of this session has."""
        ...

    @property
    def stored(self) -> NDArray[Any]:
        """(height, width, ...) what tiles are cut from."""
        ...


class Answers:
    """The latest answer of each kind for each output. For several threads."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._latest: dict[tuple[str, int], Versioned] = {}

    def number(self) -> int:
        """The version of an answer to a question that has just been asked."""
        return next(self._numbers)

    def keep(self, kind: str, output: int, answer: Versioned) -> None:
        """Keep an answer, unless there is one to a later question."""
        with self._lock:
            latest = self._latest.get((kind, output))
            if latest is None or latest.version < answer.version:
                self._latest[kind, output] = answer

    def get(self, kind: str, output: int, version: int | None) -> Versioned | None:
        """The answer of a version, or the latest one; None where it isn't kept any more."""
        with self._lock:
            latest = self._latest.get((kind, output))
        return latest if latest is not None and version in (None, latest.version) else None

    def find(self, version: int) -> tuple[int, Versioned] | None:
        """The number of the output, and the answer, of a version; None where it isn't kept any more."""
        with self._lock:
            kept = list(self._latest.items())
        return next(((output, each) for (_, output), each in kept if each.version == version), None)


def similar(viewed: Viewed, question: Question, version: int, report: Progress | None = None) -> Answer:
    """Cosine similarity of all pixels: to the most similar positive, or -1 where a negative is more similar.

    Args:
        viewed: the output.
        question: pixels of it.
        version: of the answer.
        report: called with pixels done and in all.

    Raises:
        InputError: a pixel lies outside or has no data, or there is no positive, or there are too many.
        TesseraError: a file can't be read.
    """
    embeddings = viewed.whole()
    values = cosines(viewed, embeddings, question, report)
    return stored(values, COSINE, viewed.level_of(embeddings), version, question)


def cosines(
    viewed: Viewed, embeddings: Embeddings, question: Question, report: Progress | None = None
) -> NDArray[np.float32]:
    """What `similar` stores: (height, width) float32, NaN where there is no data.

    Args:
        viewed: the output that the question is about.
        embeddings: the same at full resolution, or a level of it.
        question: pixels of the full resolution.
        report: called with pixels done and in all.

    Raises:
        InputError: see `similar`.
        TesseraError: a file can't be read.
    """
    # Only here, because compiled kernels take half a second to load
    from tessera_engine.analysis.similar import compare

    if not question.positives or len(question.positives) + len(question.negatives) > MOST_POINTS:
        raise InputError(f"give 1 to {MOST_POINTS} pixels, at least one of them positive")
    wanted, unwanted = (_vectors(viewed, pixels) for pixels in (question.positives, question.negatives))
    values = compare(embeddings, wanted, report)
    if len(unwanted):
        values[compare(embeddings, unwanted, report) > values] = COSINE[0]
    return values


def change(before: Viewed, after: Viewed, version: int, report: Progress | None = None) -> Answer:
    """Change between two outputs on one grid, as `tessera_engine.analysis.change` defines it.

    Args:
        before: the first output.
        after: the second.
        version: of the answer.
        report: called with pixels done and in all.

    Raises:
        InputError: they can't be compared.
        TesseraError: a file can't be read.
    """
    from tessera_engine.analysis.change import draw_change

    one, other = before.whole(), after.whole()
    z = max(before.level_of(one), after.level_of(other))
    drawn = draw_change(before.at_level(z), after.at_level(z), report)
    return stored(drawn.values, CHANGE, z, version)


def stored(
    values: NDArray[np.float32],
    span: tuple[float, float],
    z: int,
    version: int,
    question: Question | None = None,
) -> Answer:
    """An answer from values (height, width); NaN: no data."""
    found = np.empty(values.shape, np.uint16)
    flat, out = values.reshape(-1), found.reshape(-1)
    counts = np.zeros(1 << 16, np.int64)
    low, high = span
    for start in range(0, len(flat), STRIP_PIXELS):
        strip = flat[start : start + STRIP_PIXELS]
        steps = (strip.astype(np.float64) - low) / (high - low) * STEPS
        np.clip(np.rint(steps, out=steps), 0, STEPS, out=steps)
        steps += 1
        steps[np.isnan(strip)] = 0
        out[start : start + STRIP_PIXELS] = steps
        counts += np.bincount(out[start : start + STRIP_PIXELS], minlength=len(counts))
    return Answer(version, z, found, low, high, counts, question)


def _vectors(viewed: Viewed, pixels: Sequence[tuple[int, int]]) -> NDArray[Any]:
    """(N, K) stored vectors of pixels."""
    grid, found = viewed.embeddings.grid, []
    for col, row in pixels:
        if not (0 <= col < grid.width and 0 <= row < grid.height):
            raise InputError(f"pixel {col} {row} lies outside of the {grid.width} x {grid.height} pixels")
        one = viewed.pixel(col, row)
        if not one.valid[0, 0] or not one.values.any():
            raise InputError(f"pixel {col} {row} has no data; choose one beside it")
        found.append(one.values[0, 0])
    return np.stack(found) if found else np.empty((0, viewed.embeddings.dim))
