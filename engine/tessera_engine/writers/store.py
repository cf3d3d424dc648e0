"""A store that grows: a Zarr store or a geotessera tree that holds scenes and years of one model already.

It is never written to. What it becomes is made beside it, of new files and of second names (hard links) of those that
stay as they are, and takes its place by rename: so it is never half grown, and an interruption leaves it as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tessera_engine.embeddings import Embeddings, geotessera, open_embeddings, stored_years, zarr
from tessera_engine.embeddings.members import members, write_grown_item
from tessera_engine.embeddings.same_grid import named, union
from tessera_engine.errors import InputError
from tessera_engine.output import ITEM, is_output
from tessera_engine.scene import Grid
from tessera_engine.staging import Staging
from tessera_engine.writers.joined import Joined
from tessera_engine.writers.origin import Origin

APPENDABLE = {"zarr": zarr.MEDIA_TYPE, "geotessera": geotessera.MEDIA_TYPE}
"""Formats to which can be added, with the media type of their embeddings."""

ROWS = 256
"""Rows that are counted at a time."""


@dataclass(frozen=True)
class Store:
    """What is there.

    Attributes:
        path: the output folder.
        item: its STAC item.
        years: embeddings by year.
        grid: of all that is there, with what is to be added.
    """

    path: Path
    item: Mapping[str, Any]
    years: Mapping[int, Embeddings]
    grid: Grid

    def joined(self, year: int, staging: Staging) -> dict[int, Joined]:
        """What the store gets to hold when a scene is added to a year, by rising year."""
        return {
            each: Joined(self.grid, staging.dim, self.years.get(each), staging if each == year else None)
            for each in sorted({*self.years, year})
        }

    def scenes(self, name: str) -> list[str]:
        """Names of all scenes, with that of the new one."""
        return list(dict.fromkeys([*(str(each["tessera:scene"]) for each in members(self.item)), name]))

    def write_item(self, path: Path, year: int, staging: Staging) -> None:
        """Turn the item of the scene that was added to a year into that of the grown store."""
        new = 0
        before = Joined(staging.grid, staging.dim, self.years.get(year), None)
        for window in staging.grid.window.blocks(staging.grid.width, ROWS):
            assert staging.scales is not None
            valid = np.isfinite(staging.scales.read(window))
            new += int((valid & ~before.read(window)[0].valid).sum())
        write_grown_item(path, self.item, self.grid, new)


def open_store(
    path: Path, format: str, grid: Grid, dim: int, precision: str, fingerprint: str, origin: Origin
) -> Store:
    """Open a store, and make sure that a scene can be added to it.

    Args:
        path: the output folder.
        format: that is to be written, one of `APPENDABLE`.
        grid: the scene's.
        dim: length of its embeddings.
        precision: of the network.
        fingerprint: the scene's, hex.
        origin: where its embeddings are from.

    Raises:
        InputError: no such store is there, another model made it, it has another length or other pixels, or holds the
            scene already.
    """
    if format not in APPENDABLE:
        raise InputError(
            f"--append adds to {' and '.join(APPENDABLE)} only, not to {format}; give another -o"
        )
    if not path.exists():
        raise InputError(f"--append finds nothing at {path}; leave it out to begin a store there")
    try:
        opened = {year: open_embeddings(path, year=year) for year in stored_years(path)}
    except InputError as error:
        raise InputError(f"--append finds nothing to add to: {error}") from None
    if not is_output(path):
        raise InputError(f"{path} doesn't say which model made it, so nothing can be added to it")
    item = json.loads((path / ITEM).read_text(encoding="utf-8"))
    if item["assets"]["embeddings"]["type"] != APPENDABLE[format]:
        raise InputError(f"{path} is no {format} output; give its --format, or another place with -o")
    first = next(iter(opened.values()))
    about = first.provenance
    if about["model_sha256"] != origin.model_sha256:
        raise InputError(
            f"{path} was made by model {about['model']} {about['precision']} ({about['model_sha256'][:12]}), this by "
            f"{origin.model} {precision} ({origin.model_sha256[:12]}): a store holds one model; choose another place "
            "with -o"
        )
    if first.dim != dim:
        raise InputError(
            f"{path} has {first.dim} dimensions, this {dim}, and a store holds one length; give --dim {first.dim}, or "
            "choose another place with -o"
        )
    grown: Grid | None = grid
    for each in opened.values():
        grown = union(each.grid, grown) if grown is not None else None
    if grown is None:
        raise InputError(
            f"{path} is on {named(first.grid)}, this on {named(grid)}: a store holds one grid of pixels; embed with "
            "--like, or choose another place with -o"
        )
    for member in members(item):
        there = member["tessera:year"], member["tessera:scene_fingerprint"], member.get("proj:transform")
        if there == (origin.year, fingerprint, list(grid.transform)[:6]):
            raise InputError(
                f"{path} holds this scene of {origin.year} already; give another one, or --overwrite to replace the "
                "whole store"
            )
    return Store(path, item, opened, grown)


def hold(staging: Staging, name: str, origin: Origin, store: Store | None) -> tuple[dict[int, Joined], str]:
    """What is written: by year, and under which name of the scene; a store's years and scenes with the new ones.

    Args:
        staging: the scene that is added.
        name: of that scene.
        origin: of it; its year is known.
        store: what it is added to; None: it begins one.
    """
    assert origin.year is not None
    if store is None:
        return {origin.year: Joined(staging.grid, staging.dim, None, staging)}, name
    return store.joined(origin.year, staging), ", ".join(store.scenes(name))
