"""What learners see of a pixel: its embedding, or also the mean and the spread of those around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.learners.base import Vectors
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.scene import Grid, Window
from tessera_kernels.context import surroundings

CONTEXTS = (0, 3, 5)
"""Pixels across the square around a pixel; 0: the pixel alone."""

_TILE = 256
"""Labels in a square of so many pixels are read together, at least."""


def values_of(dim: int, context: int) -> int:
    """The number of features of embeddings with `dim` dimensions."""
    return dim * (3 if context else 1)


def grown(window: Window, margin: int, grid: Grid) -> Window:
    """A window and what lies around it, as far as the grid goes."""
    col, row = max(0, window.col - margin), max(0, window.row - margin)
    right = min(grid.width, window.col + window.width + margin)
    bottom = min(grid.height, window.row + window.height + margin)
    return Window(col, row, right - col, bottom - row)


def features(block: StoredBlock, chosen: NDArray[np.bool_], context: int) -> Vectors:
    """The features of some pixels of a block, row by row.

    Args:
        block: as it is stored, with what lies around the pixels.
        chosen: (height, width), pixels with data.
        context: one of `CONTEXTS`.
    """
    if context:
        rows, cols = np.nonzero(chosen)
        scales = np.where(block.valid, 1 if block.scales is None else block.scales, np.nan)
        return Vectors(surroundings(block.values, scales.astype(np.float32), rows, cols, context))
    if chosen.all():
        values = block.values.reshape(-1, block.values.shape[-1])
        return Vectors(values, None if block.scales is None else block.scales.reshape(-1))
    return Vectors(block.values[chosen], None if block.scales is None else block.scales[chosen])


def features_at(
    source: Embeddings, cols: NDArray[np.int64], rows: NDArray[np.int64], context: int
) -> NDArray[np.float32]:
    """The features of single pixels with data: (N, K) float32.

    Args:
        source: embeddings.
        cols: (N,) within the grid.
        rows: (N,).
        context: one of `CONTEXTS`.

    Raises:
        TesseraError: a file can't be read.
    """
    if not context and source.distinct_values:
        return source.pixels(cols, rows)
    found = np.empty((len(cols), values_of(source.dim, context)), np.float32)
    side = max(_TILE, source.source.block)
    tiles = rows // side * (source.grid.width // side + 1) + cols // side
    for tile in np.unique(tiles):
        here = np.flatnonzero(tiles == tile)
        col, row = int(cols[here].min()), int(rows[here].min())
        width, height = int(cols[here].max()) - col + 1, int(rows[here].max()) - row + 1
        around = grown(Window(col, row, width, height), context // 2, source.grid)
        block = source.read_stored(around)
        chosen = np.zeros(block.valid.shape, bool)
        place = rows[here] - around.row, cols[here] - around.col
        chosen[place] = True
        order = np.lexsort((place[1], place[0]))  # as the chosen pixels come, row by row
        found[here[order]] = features(block, chosen, context).embeddings
    return found
