"""A store that grows: an output, such as a Zarr store or a geotessera tree, that holds scenes and years of one model.

The store itself is never written to. The grown store is made beside it, from new files and from second names (hard
links) of files that stay as they are, and replaces it by rename: an interruption leaves the store as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tessera_engine.files.staging import Staging
from tessera_engine.formats.embeddings.base import PREFIXES, Embeddings
from tessera_engine.formats.joined import Joined
from tessera_engine.formats.origin import Origin
from tessera_engine.scene import Grid
from tessera_engine.stac.members import members, write_grown_item

SIDE = 256
"""Pixels across the windows whose pixels are counted: few blocks of a store are decoded more than once. A geotessera
tree, which holds all dimensions of a pixel together, takes 8 MB for one."""


@dataclass(frozen=True)
class Store:
    """An existing store, to which a scene is added.

    Attributes:
        path: the output folder.
        item: its STAC item.
        years: embeddings by year.
        grid: covers the store's embeddings and the new scene.
    """

    path: Path
    item: Mapping[str, Any]
    years: Mapping[int, Embeddings]
    grid: Grid

    def joined(self, year: int, staging: Staging) -> dict[int, Joined]:
        """What the store will hold once a scene is added to a year: by year, in rising order."""
        return {
            each: Joined(self.grid, staging.dim, self.years.get(each), staging if each == year else None)
            for each in sorted({*self.years, year})
        }

    def scenes(self, name: str) -> list[str]:
        """Names of all scenes, the new one included."""
        return list(dict.fromkeys([*(str(each["tessera:scene"]) for each in members(self.item)), name]))

    def write_item(self, path: Path, year: int, staging: Staging) -> None:
        """Turn the item of the scene that was added to a year into the item of the grown store."""
        new, there = 0, self.years.get(year)
        # Scales say which pixels have data: a short prefix brings them, and fewer codes
        dim = min(PREFIXES[0], staging.dim)
        before = Joined(staging.grid, dim, None if there is None else replace(there, dim=dim), None)
        for window in staging.grid.window.blocks(SIDE, SIDE):
            assert staging.scales is not None
            valid = np.isfinite(staging.scales.read(window))
            new += int((valid & ~before.read(window)[0].valid).sum())
        write_grown_item(path, self.item, self.grid, new)


def hold(staging: Staging, name: str, origin: Origin, store: Store | None) -> tuple[dict[int, Joined], str]:
    """What is written, by year, and the name of the scene, or of all scenes of a grown store.

    Args:
        staging: the new scene.
        name: of that scene.
        origin: of that scene; its year is known.
        store: what the scene is added to; None: it is the first one.
    """
    assert origin.year is not None
    if store is None:
        return {origin.year: Joined(staging.grid, staging.dim, None, staging)}, name
    return store.joined(origin.year, staging), ", ".join(store.scenes(name))
