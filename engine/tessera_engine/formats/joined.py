"""One year of a grown store: the embeddings that the store has already and the scene that is added, on one grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tessera_engine.files.staging import CODE_NODATA, Staging
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.same_grid import offset
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.layers import QUALITY_BANDS
from tessera_engine.scene import Grid, Window

STRIP_VALUES = 4_000_000
"""Values of embeddings that are read at a time; reading takes about three times as many bytes."""

STRIP_ROWS = 32
"""Strips have a multiple of so many rows, where they have more: the blocks of all formats begin at such rows."""


@dataclass(frozen=True)
class Joined:
    """Int8 codes of one year, read by windows. A pixel that has data already keeps it.

    Attributes:
        grid: the store's; both parts lie on its pixels.
        dim: length of the embedding.
        before: what the store has of this year; None: nothing.
        added: the new scene; None: nothing is added to this year.
    """

    grid: Grid
    dim: int
    before: Embeddings | None
    added: Staging | None

    def strips(self, window: Window) -> Iterator[Window]:
        """A window from top to bottom in parts of about `STRIP_VALUES` values."""
        rows = max(1, STRIP_VALUES // (window.width * self.dim))
        return window.blocks(window.width, max(1, rows - rows % STRIP_ROWS) if rows > STRIP_ROWS else rows)

    def touches(self, window: Window) -> bool:
        """Whether the new scene touches a window."""
        return self.added is not None and self._place(self.added.grid).intersection(window) is not None

    def _place(self, grid: Grid) -> Window:
        corner = offset(self.grid, grid)
        assert corner is not None
        return Window(*corner, grid.width, grid.height)

    def read(self, window: Window) -> tuple[StoredBlock, NDArray[np.uint16]]:
        """Codes and scales of a window, and the observations (height, width, 2)."""
        size = (window.height, window.width)
        codes = np.full((*size, self.dim), CODE_NODATA, np.int8)
        scales = np.full(size, np.nan, np.float32)
        counts = np.zeros((*size, 2), np.uint16)
        for part in (self.before, self.added):
            if part is None:
                continue
            place = self._place(part.grid)
            shared = place.intersection(window)
            if shared is None:
                continue
            stored, observed = _read(part, shared.relative_to(place))
            here = shared.relative_to(window).slices
            new = stored.valid & ~np.isfinite(scales[here])
            assert stored.scales is not None
            np.copyto(codes[here], stored.values, where=new[..., np.newaxis])
            scales[here][new], counts[here][new] = stored.scales[new], observed[new]
        return StoredBlock(codes, scales), counts

    @property
    def has_quality(self) -> bool:
        """Whether a part has a quality layer."""
        return (self.added is not None and self.added.quality is not None) or (
            self.before is not None and self.before.has_quality
        )

    def read_quality(self, window: Window) -> NDArray[np.uint16]:
        """(height, width, bands) of the pixels as `read` gives them; 0 where the quality isn't known."""
        found = np.zeros((window.height, window.width, len(QUALITY_BANDS)), np.uint16)
        taken = np.zeros((window.height, window.width), bool)
        for part in (self.before, self.added):
            if part is None:
                continue
            place = self._place(part.grid)
            shared = place.intersection(window)
            if shared is None:
                continue
            there, at = shared.relative_to(place), shared.relative_to(window)
            here = at.slices
            if isinstance(part, Embeddings):
                quality, observed = part.read_quality(there), part.read_observations(there)
            else:
                quality = None if part.quality is None else part.quality.read(there)
                observed = part.observations.read(there)
            if quality is not None:
                np.copyto(found[here], quality, where=~taken[here][..., np.newaxis])
            taken[here] |= observed.any(axis=2)
        return found


def _read(part: Embeddings | Staging, window: Window) -> tuple[StoredBlock, NDArray[np.uint16]]:
    if isinstance(part, Embeddings):
        return part.read_stored(window), part.read_observations(window)
    return StoredBlock.staged(part, window), part.observations.read(window)
