"""Seams in finished embeddings: where neighbours differ more than the pixels beside them do.

The edge of a field has such a difference too, so a seam is reported and fails no check.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.scene import Window

SEGMENT = 64
"""Pixels of a line that are judged together. A straight border of a field along the grid is seldom longer than two."""

LEAST = 96
"""Pixels of a line that is reported."""

HIGHER = 1.25
"""Times the mean difference of the pixels beside it from which on a pair of neighbours is a step."""

STEPS = 0.75
"""Share of the pairs of a segment that are steps at a seam; elsewhere about a third are."""

BESIDE = (2, 3, 4)
"""Pixels on both sides with which a pair of neighbours is compared: the nearest ones may be mixed."""

COUNTS, PAIRS, RATIO = 0.25, 200, 1.3
"""An edge of an orbit is where one of the counts of observations changes by this share between neighbours. It is
reported with so many pairs of neighbours, and a mean difference so many times that beside it."""

DIMENSIONS = 32
"""Dimensions that are compared; all dimensions take four times as long and show the same."""


@dataclass(frozen=True)
class Seam:
    """A straight line between two rows or columns.

    Attributes:
        axis: `row` or `column`.
        at: the first row or column after the line.
        start: first column or row of the line.
        end: column or row after its last one.
        ratio: mean difference across it over that beside it.
    """

    axis: str
    at: int
    start: int
    end: int
    ratio: float

    @property
    def line(self) -> str:
        """In words."""
        other = "columns" if self.axis == "row" else "rows"
        return f"{self.axis} {self.at}, {other} {self.start} to {self.end - 1}: {self.ratio:.1f} times"


@dataclass(frozen=True)
class Seams:
    """What was found in an output.

    Attributes:
        lines: straight lines.
        edge_pairs: pairs of neighbours across edges of orbits.
        edge_ratio: their mean difference over that of the pairs beside them; NaN where there are none.
    """

    lines: tuple[Seam, ...]
    edge_pairs: int
    edge_ratio: float

    def phrases(self, most: int = 10) -> list[str]:
        """A line for each seam, the longest ones first; empty where there is none."""
        ordered = sorted(self.lines, key=lambda seam: (seam.start - seam.end, seam.axis, seam.at))
        found = [seam.line for seam in ordered[:most]]
        if len(ordered) > most:
            found.append(f"and {len(ordered) - most} more lines")
        if self.edge_pairs >= PAIRS and self.edge_ratio >= RATIO:
            found.append(
                f"edges of orbits, {self.edge_pairs:,} pairs of neighbours: {self.edge_ratio:.1f} times"
            )
        return found


def find_seams(embeddings: Embeddings) -> Seams:
    """Look for seams in all of an output. A band of rows is in memory at a time.

    Raises:
        TesseraError: a file can't be read.
    """
    embeddings = replace(embeddings, dim=min(DIMENSIONS, embeddings.dim))
    grid = embeddings.grid
    parts: dict[tuple[str, int], list[tuple[int, int, float]]] = defaultdict(list)
    edges = np.zeros(4)
    margin = max(BESIDE) + 1
    for top in range(0, grid.height, SEGMENT):
        first, last = max(top - margin, 0), min(top + SEGMENT + margin, grid.height)
        for left in range(0, grid.width, WIDE):
            begin, end = max(left - margin, 0), min(left + WIDE + margin, grid.width)
            window = Window(begin, first, end - begin, last - first)
            values = embeddings.read(window)
            counts = embeddings.read_observations(window).astype(np.int32)
            own = Window(left, top, min(WIDE, grid.width - left), min(SEGMENT, grid.height - top))
            for axis, place, start, stop, ratio in _lines(values, window, own):
                parts[axis, place].append((start, stop, ratio))
            edges += _edges(values, counts, window, own)
    lines = [
        Seam(axis, at, *joined) for (axis, at), each in sorted(parts.items()) for joined in _joined(each)
    ]
    across, pairs, beside, beside_pairs = edges.tolist()
    ratio = (across / pairs) / (beside / beside_pairs) if pairs and beside else np.nan
    return Seams(tuple(lines), int(pairs), float(ratio))


WIDE = 1024
"""Columns that are read at once."""


def _lines(
    values: NDArray[np.float32], window: Window, own: Window
) -> Iterator[tuple[str, int, int, int, float]]:
    """(axis, row or column, start, end, ratio) of the segments in `own` that are steps."""
    for axis in ("column", "row"):
        turned = axis == "row"
        block = values.transpose(1, 0, 2) if turned else values
        # Along a line, and across it
        starts, first, length, shift = (
            (own.col, window.col, own.width, own.row - window.row)
            if turned
            else (own.row, window.row, own.height, own.col - window.col)
        )
        across = own.height if turned else own.width
        step, beside = _steps(block)
        for begin in range(starts, starts + length, SEGMENT):
            stop = min(begin + SEGMENT, starts + length)
            rows = slice(begin - first, stop - first)
            known = np.isfinite(step[rows]) & np.isfinite(beside[rows])
            count = known.sum(axis=0)
            higher = (known & (step[rows] > HIGHER * beside[rows])).sum(axis=0)
            for at in np.flatnonzero((2 * count >= max(stop - begin, 1)) & (higher >= STEPS * count)):
                # `step[:, at]` is the difference of columns `at` and `at + 1`
                if shift <= at + 1 < shift + across:
                    seen = known[:, at]
                    ratio = step[rows][seen, at].mean() / max(beside[rows][seen, at].mean(), 1e-9)
                    place = (window.row if turned else window.col) + int(at) + 1
                    yield axis, place, begin, stop, float(ratio)


def _steps(block: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(h, w - 1) the difference of each column and the next one, and the mean of those beside it; NaN: not known."""
    step = np.sqrt(((block[:, 1:] - block[:, :-1]) ** 2).sum(axis=2))
    padded = np.pad(step, ((0, 0), (max(BESIDE), max(BESIDE))), constant_values=np.nan)
    width = step.shape[1]
    total, count = np.zeros_like(step), np.zeros_like(step)
    for by in BESIDE:
        for start in (max(BESIDE) - by, max(BESIDE) + by):
            part = padded[:, start : start + width]
            total += np.where(np.isfinite(part), part, 0)
            count += np.isfinite(part)
    return step, np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _edges(
    values: NDArray[np.float32], counts: NDArray[np.int32], window: Window, own: Window
) -> NDArray[np.float64]:
    """Sum of differences across edges of orbits and their number, and the same beside them."""
    found = np.zeros(4)
    for turned in (False, True):
        block, number = (values.transpose(1, 0, 2), counts.transpose(1, 0, 2)) if turned else (values, counts)
        step, beside = _steps(block)
        change = np.abs(np.diff(number, axis=1)) > COUNTS * np.maximum(number[:, 1:], number[:, :-1])
        edge = change.any(axis=2) & np.isfinite(step) & np.isfinite(beside)
        rows, cols = (own.row - window.row, own.col - window.col)
        height, width = own.height, own.width
        if turned:
            rows, cols, height, width = cols, rows, width, height
        inside = np.zeros_like(edge)
        inside[rows : rows + height, max(cols - 1, 0) : cols + width - 1] = True
        edge &= inside
        found += (step[edge].sum(), edge.sum(), beside[edge].sum(), edge.sum())
    return found


def _joined(parts: list[tuple[int, int, float]]) -> Iterator[tuple[int, int, float]]:
    """Runs of segments that touch; one alone may be the border of a field."""
    parts = sorted(parts)
    run: list[tuple[int, int, float]] = []
    for part in [*parts, (-1, -1, 0.0)]:
        if run and part[0] == run[-1][1]:
            run.append(part)
            continue
        if run and run[-1][1] - run[0][0] >= LEAST:
            yield run[0][0], run[-1][1], float(np.mean([each[2] for each in run]))
        run = [part]
