"""The forms in which embeddings are stored: bytes per pixel, and the values that a reader gets."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import TesseraError
from tessera_engine.files.staging import Staging
from tessera_engine.formats.embeddings.base import PREFIXES, Embeddings
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.vq.tiles import TILE, Tile, decode, encode_read
from tessera_engine.formats.vq.tiles import bytes_per_pixel as vq_bytes
from tessera_engine.scene import Window
from tessera_kernels.quantize import quantize

SCALE_BYTES = 4

VQ = "vq"
"""Stored as four numbers a pixel and four codebooks a tile."""

PIXEL_KM2 = 1e-4
"""Area of a 10 m pixel of Sentinel-2."""


@dataclass(frozen=True)
class Form:
    """How embeddings are stored.

    Attributes:
        stored_as: `float32`, `int8` or `vq`.
        dim: length of the prefix.
    """

    stored_as: str
    dim: int

    def __str__(self) -> str:
        return f"{self.stored_as}, {self.dim} dims"

    @property
    def bytes_per_pixel(self) -> float:
        """Bytes of the codes and the scale, or of the numbers and codebooks, before compression of the file."""
        if self.stored_as == VQ:
            return vq_bytes(self.dim)
        return self.dim * 4 if self.stored_as == "float32" else self.dim + SCALE_BYTES

    @property
    def km2_per_gb(self) -> float:
        """Area in km2 whose embeddings fit into 10^9 bytes."""
        return 1e9 / self.bytes_per_pixel * PIXEL_KM2


def stored_form(embeddings: Embeddings) -> str:
    """How an output stores its embeddings: `float32`, `int8` or `vq`."""
    return VQ if embeddings.provenance.get("store") == VQ else embeddings.stored_as


def forms(stored: str, dim: int) -> list[Form]:
    """The forms that can be made from an output without embedding again.

    Its own, its prefixes, and their int8 codes; and four numbers a pixel instead of the whole embedding.

    Args:
        stored: `float32`, `int8` or `vq`.
        dim: length of the stored embedding.
    """
    prefixes = sorted({dim, *(prefix for prefix in PREFIXES if prefix < dim)}, reverse=True)
    kinds = ("float32", "int8") if stored == "float32" else (stored,)
    found = [Form(stored_as, prefix) for stored_as in kinds for prefix in prefixes]
    return found if stored == VQ else [*found, Form(VQ, dim)]


def quantised(
    embeddings: Embeddings, cols: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """What `--format vq` would give at some pixels: (N, K) float32. Reads and codes the tiles in which they lie.

    Args:
        embeddings: an output.
        cols: (N,) columns of pixels with data.
        rows: (N,) their rows.

    Raises:
        TesseraError: a file couldn't be read.
    """
    found = np.empty((len(cols), embeddings.dim), np.float32)
    grid = embeddings.grid
    for window in grid.window.blocks(TILE, TILE):
        here = np.flatnonzero((cols // TILE == window.col // TILE) & (rows // TILE == window.row // TILE))
        if not len(here):
            continue
        tile = _coded(embeddings, window)
        if tile is not None:
            numbers = tile.numbers[:, rows[here] - window.row, cols[here] - window.col]
            back = decode(tile.books, numbers[:, np.newaxis], embeddings.dim)
            found[here] = back.vectors[back.which[0]]
    return found


def _coded(embeddings: Embeddings, window: Window) -> Tile | None:
    """A tile as `--format vq` would store it.

    Raises:
        TesseraError: it couldn't be read, or the folder for temporary files has no room for it.
    """
    # Its rows are read several times, a few at a time: from a plain file, because blocks of most formats would be
    # decoded each time, and a whole tile takes 134 MB of memory
    try:
        with tempfile.TemporaryDirectory() as folder:
            grid = embeddings.grid.crop(window)
            staging = Staging.create(Path(folder), grid, embeddings.dim, embeddings.stored_as)
            for part in embeddings.tiles(part=window):
                stored, place = embeddings.read_stored(part), part.relative_to(window)
                staging.embeddings.write(place, stored.values)
                if staging.scales is not None and stored.scales is not None:
                    staging.scales.write(place, stored.scales)
            return encode_read(partial(StoredBlock.staged, staging), grid.window)
    except OSError as error:
        size = window.pixels * embeddings.dim * np.dtype(embeddings.stored_as).itemsize
        raise TesseraError(
            f"can't write temporary files in {tempfile.gettempdir()} ({error.strerror}), expected room for "
            f"{size / 1e6:.0f} MB; make room, or name another folder in TMPDIR"
        ) from None


def read_back(
    embeddings: NDArray[np.float32], stored: str, forms: list[Form]
) -> Iterator[tuple[Form, NDArray[np.float32]]]:
    """Give each form with the values that a reader gets from it.

    Args:
        embeddings: (N, K) as read from an output.
        stored: how that output stores them. Codes keep the scale of the whole vector; float32 values are first cut to
            the prefix and then quantised, as `embed --dim K --int8` does.
        forms: see `forms`; without `vq`, for which single pixels don't suffice, see `quantised`.

    Yields:
        The form, and (N, form.dim) float32.
    """
    for form in forms:
        prefix = np.ascontiguousarray(embeddings[:, : form.dim])
        if form.stored_as == stored:
            yield form, prefix
        else:
            codes, scales = quantize(prefix)
            yield form, codes * scales[:, None]
