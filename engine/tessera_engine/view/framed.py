"""An output of other pixels on the pixels of the first one, so that both can be compared on one page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.aligned import Shifted, align
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.moved import Moved
from tessera_engine.formats.embeddings.stored import HasOverviews, Source, StoredBlock
from tessera_engine.scene import Grid, Window
from tessera_engine.view.levels import nearest, picked


@dataclass(frozen=True)
class Framed(Moved):
    """Rows and columns of a source.

    Attributes:
        source: what is read.
        grid: of `rows` and `cols`.
        cols: (width,) int64 columns of the source; -1 where it has none.
        rows: (height,) int64.
    """

    cols: NDArray[np.int64]
    rows: NDArray[np.int64]

    def read(self, window: Window, dim: int) -> StoredBlock:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        block = StoredBlock.without_data(window, dim, self.stored_as)
        place = self._place(window)
        if place is not None:
            part, here, there = place
            stored = self.source.read(part, dim)
            block.values[here] = stored.values[there]
            if block.scales is not None and stored.scales is not None:
                block.scales[here] = stored.scales[there]
        return block

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        counts = np.zeros((window.height, window.width, 2), np.uint16)
        place = self._place(window)
        if place is not None:
            part, here, there = place
            counts[here] = self.source.read_observations(part)[there]
        return counts

    def overview(self, level: int) -> Source | None:
        """The pixels of the source's overview that are nearest to those of this level; None: it has none."""
        found = self.source.overview(level) if isinstance(self.source, HasOverviews) else None
        if found is None:
            return None
        cols, rows = self.cols[picked(self.grid.width, level)], self.rows[picked(self.grid.height, level)]
        scale = Affine.scale(self.grid.width / len(cols), self.grid.height / len(rows))
        whole = self.source.grid
        return Framed(
            found,
            Grid(len(cols), len(rows), self.grid.crs, self.grid.transform @ scale),
            np.where(cols < 0, -1, nearest(cols, whole.width, found.grid.width)),
            np.where(rows < 0, -1, nearest(rows, whole.height, found.grid.height)),
        )

    def _place(self, window: Window) -> tuple[Window, tuple[Any, ...], tuple[Any, ...]] | None:
        """The part of the source that a window needs, and where its pixels lie in the window and in the part."""
        cols = self.cols[window.col : window.col + window.width]
        rows = self.rows[window.row : window.row + window.height]
        here = np.flatnonzero(rows >= 0), np.flatnonzero(cols >= 0)
        if not (len(here[0]) and len(here[1])):
            return None
        rows, cols = rows[here[0]], cols[here[1]]
        top, left = int(rows.min()), int(cols.min())
        part = Window(left, top, int(cols.max()) - left + 1, int(rows.max()) - top + 1)
        return part, np.ix_(*here), np.ix_(rows - top, cols - left)


class Placed(NamedTuple):
    """How an output of other pixels is shown.

    Attributes:
        beside: pixels by which the nearest ones lie beside those of the first output, 0 to 0.5; None: their CRS is
            another.
        shared: share of the first output's pixels that it covers.
    """

    beside: float | None
    shared: float


def frame(first: Embeddings, other: Embeddings) -> tuple[Embeddings, Placed] | None:
    """An output on the pixels of another one, each the nearest; None where they can't be brought together."""
    try:
        aligned = align(first, other)
    except InputError:
        return None
    if aligned is None:
        return None
    window, source = aligned.window, aligned.embeddings.source
    col, row = 0, 0
    if isinstance(source, Shifted):  # its overviews can be read
        col, row, source = source.col, source.row, source.source
    framed = Framed(
        source,
        first.grid,
        _along(first.grid.width, window.col, window.width, col),
        _along(first.grid.height, window.row, window.height, row),
    )
    shared = window.pixels / first.grid.window.pixels
    return replace(other, source=framed), Placed(aligned.beside, shared)


def _along(size: int, first: int, count: int, start: int) -> NDArray[np.int64]:
    places = np.full(size, -1, np.int64)
    places[first : first + count] = start + np.arange(count)
    return places
