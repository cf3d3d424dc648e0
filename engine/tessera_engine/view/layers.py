"""The tiles of what an output looks like: colours as RGBA, and how often each pixel was observed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.same_model import check_same_model
from tessera_engine.pictures.palette import FITS, Palette
from tessera_engine.pictures.quicklook import SAMPLE
from tessera_engine.view import true_colours
from tessera_engine.view.levels import TILE
from tessera_engine.view.viewed import Kept, Viewed

TRUE_COLOUR = "truecolour"

TILE_BYTES = 40_000_000
"""Of painted tiles that are kept in memory."""

PIXELS_AT_ONCE = 16_384
"""Painted at a time: float32 copies of a whole tile would take 70 MB."""


class Layers:
    """Paints the tiles of all outputs.

    The colours of principal components and clusters are fitted as a quicklook's are, once, to the first output. Another
    output by the same model gets the same colours, so that the two can be compared.
    """

    def __init__(self, outputs: Sequence[Viewed]) -> None:
        self._outputs = outputs
        self._palettes: dict[tuple[str, int], Palette | None] = {}
        self._lock = threading.Lock()
        self._tiles: Kept[bytes] = Kept(TILE_BYTES)
        self._paint: dict[str, Callable[[Viewed, int, int, int], NDArray[Any]]] = {
            TRUE_COLOUR: _true_colours,
            "pca": lambda *tile: self._coloured("pca", *tile),
            "clusters": lambda *tile: self._coloured("clusters", *tile),
            "observations": _observations,
        }

    def names(self, viewed: Viewed) -> list[str]:
        """The layers that an output has."""
        return [name for name in self._paint if name != TRUE_COLOUR or true_colours.has(viewed.embeddings)]

    def tile(self, name: str, viewed: Viewed, z: int, x: int, y: int) -> bytes:
        """A tile of `TILE` x `TILE` pixels, row by row: RGBA, or two little-endian uint16 for observations.

        Raises:
            LookupError: there is no such layer or tile.
            TesseraError: a file can't be read.
        """
        paint = self._paint[name]
        viewed.tile_window(z, x, y)
        if name not in self.names(viewed):
            raise LookupError
        key = (name, viewed.number, z, x, y)
        return self._tiles.get(key, lambda: padded(paint(viewed, z, x, y)), len)

    def _coloured(self, kind: str, viewed: Viewed, z: int, x: int, y: int) -> NDArray[np.uint8]:
        block, window = viewed.read_picture(z, x, y)
        painted = np.zeros((window.pixels, 4), np.uint8)
        palette = self._palette(kind, viewed)
        if palette is not None:
            values = block.values.reshape(window.pixels, -1)
            valid = block.valid.reshape(-1)
            scales = None if block.scales is None else block.scales.reshape(-1, 1)
            for start in range(0, window.pixels, PIXELS_AT_ONCE):
                some = slice(start, start + PIXELS_AT_ONCE)
                embeddings = values[some].astype(np.float32)
                if scales is not None:
                    embeddings *= np.where(np.isfinite(scales[some]), scales[some], np.float32(0))
                painted[some, :3] = palette.paint(np.where(valid[some, None], embeddings, np.float32(0)))
            painted[:, 3] = 255
            painted[~valid] = 0
        return painted.reshape(window.height, window.width, 4)

    def _palette(self, kind: str, viewed: Viewed) -> Palette | None:
        source = self._outputs[0] if _alike(self._outputs[0], viewed) else viewed
        key = (kind, source.number)
        with self._lock:
            if key not in self._palettes:
                sample = _sample(source)
                self._palettes[key] = FITS[kind](sample) if len(sample) else None
            return self._palettes[key]


def padded(block: NDArray[Any]) -> bytes:
    """A block (height, width, ...) of a tile at the level's edge as a whole tile's bytes, with zeros."""
    height, width = block.shape[:2]
    if (height, width) == (TILE, TILE):
        return block.tobytes()
    tile = np.zeros((TILE, TILE, *block.shape[2:]), block.dtype)
    tile[:height, :width] = block
    return tile.tobytes()


def _true_colours(viewed: Viewed, z: int, x: int, y: int) -> NDArray[np.uint8]:
    window = viewed.tile_window(z, x, y)
    colours = true_colours.read(viewed.embeddings, z, window)
    return np.dstack([colours, np.where((colours == true_colours.NO_DATA).all(axis=2), 0, 255)]).astype(
        np.uint8
    )


def _observations(viewed: Viewed, z: int, x: int, y: int) -> NDArray[Any]:
    return viewed.read_observations(z, viewed.tile_window(z, x, y)).astype("<u2")


def _alike(one: Viewed, other: Viewed) -> bool:
    """Whether the same colours mean the same in both."""
    if one is other:
        return True
    if one.picture_dim != other.picture_dim:
        return False
    try:
        check_same_model(one.embeddings, other.embeddings)
    except InputError:
        return False
    return True


def _sample(viewed: Viewed) -> NDArray[np.float32]:
    """(N, K) embeddings that colours are fitted to: as `tessera_engine.pictures.quicklook` samples a picture.

    Of the level in memory. Where that is full resolution, the colours are those of the quicklook.
    """
    whole = viewed.pictured()
    stored = whole.read_stored()
    valid = np.flatnonzero(stored.valid)
    every = 1
    while -(-len(valid) // every) > SAMPLE:
        every *= 3
    chosen = valid[::every]
    values = stored.values.reshape(-1, whole.dim)[chosen].astype(np.float32)
    if stored.scales is not None:
        values *= stored.scales.reshape(-1, 1)[chosen]
    return values
