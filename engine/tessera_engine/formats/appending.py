"""Adding to a store that stands there already."""

from __future__ import annotations

import json
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.files.output import ITEM, is_output
from tessera_engine.formats.embeddings.same_grid import named, union
from tessera_engine.formats.geotessera import reading as geotessera
from tessera_engine.formats.grown import Store
from tessera_engine.formats.opening import open_embeddings, stored_years
from tessera_engine.formats.origin import Origin
from tessera_engine.formats.zarr import reading as zarr
from tessera_engine.scene import Grid
from tessera_engine.stac.members import members

APPENDABLE = {"zarr": zarr.MEDIA_TYPE, "geotessera": geotessera.MEDIA_TYPE}
"""Formats to which can be added, with the media type of their embeddings."""


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
