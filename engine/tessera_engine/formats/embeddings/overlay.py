"""Several embeddings of one place on one grid, such as the tiles of another time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tessera_engine.formats.embeddings.aligned import Aligned, align
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.scene import Grid, Window


@dataclass(frozen=True)
class Overlay:
    """Several embeddings on one grid: each pixel is that of the first one that has data there.

    Implements `tessera_engine.formats.embeddings.stored.Source`.

    Attributes:
        grid: the grid.
        parts: embeddings on parts of it, at least one.
    """

    grid: Grid
    parts: Sequence[Aligned]

    @property
    def block(self) -> int:
        """Twice that of the parts, whose tiles lie across these: more of what is decoded is used."""
        largest = max(part.embeddings.source.block for part in self.parts)
        return 2 * largest if largest > 1 else 1

    @property
    def dim(self) -> int:
        """Length of the embedding."""
        return self.parts[0].embeddings.dim

    @property
    def stored_as(self) -> str:
        """`int8` where all parts are."""
        return "int8" if all(part.embeddings.stored_as == "int8" for part in self.parts) else "float32"

    def read(self, window: Window, dim: int) -> StoredBlock:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        values, scales = block = StoredBlock.without_data(window, dim, self.stored_as)
        taken = np.zeros((window.height, window.width), bool)
        for part in self.parts:
            shared = part.window.intersection(window)
            if shared is None:
                continue
            stored = part.embeddings.read_stored(shared.relative_to(part.window))
            here = shared.relative_to(window).slices
            new = stored.valid & ~taken[here]
            given = stored.embeddings if scales is None else stored.values
            np.copyto(values[here], given[..., :dim], where=new[..., np.newaxis])
            if scales is not None and stored.scales is not None:
                np.copyto(scales[here], stored.scales, where=new)
            taken[here] |= new
        return block

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """See `tessera_engine.formats.embeddings.stored.Source`: of the first part with observations there."""
        counts = np.zeros((window.height, window.width, 2), np.uint16)
        for part in self.parts:
            shared = part.window.intersection(window)
            if shared is None:
                continue
            found = part.embeddings.read_observations(shared.relative_to(part.window))
            here = shared.relative_to(window).slices
            np.copyto(counts[here], found, where=~counts[here].any(axis=2, keepdims=True))
        return counts


def overlay(one: Embeddings, others: Sequence[Embeddings]) -> Aligned | None:
    """`align` with several embeddings: each pixel gets that of the first one that has data there.

    Raises:
        InputError: see `align`.
    """
    found = [aligned for other in others if (aligned := align(one, other)) is not None]
    if len(found) < 2:
        return found[0] if found else None
    left, top = (min(part.window[axis] for part in found) for axis in (0, 1))
    right = max(part.window.col + part.window.width for part in found)
    bottom = max(part.window.row + part.window.height for part in found)
    window = Window(left, top, right - left, bottom - top)
    parts = [replace(part, window=part.window.relative_to(window)) for part in found]
    beside = [part.beside for part in found]
    return Aligned(
        window,
        replace(found[0].embeddings, source=Overlay(one.grid.crop(window), parts)),
        None if None in beside else max(each for each in beside if each is not None),
    )
