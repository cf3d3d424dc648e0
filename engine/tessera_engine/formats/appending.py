"""Opening a store that exists already, so that a scene can be added to it."""

from __future__ import annotations

from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.files.output import is_output
from tessera_engine.files.partial import finish_or_undo
from tessera_engine.formats.embeddings.same_grid import named, union
from tessera_engine.formats.grown import Store
from tessera_engine.formats.opening import open_embeddings, stored_periods, stored_years
from tessera_engine.formats.origin import Origin
from tessera_engine.formats.registry import appendable
from tessera_engine.scene import Grid
from tessera_engine.stac.items import load_item
from tessera_engine.stac.members import members


def check_appendable(format: str) -> None:
    """Make sure that years can be added to a format.

    Raises:
        InputError: they can't.
    """
    if format not in appendable():
        raise InputError(
            f"append=True adds to {' and '.join(appendable())} only, not to {format}; give each scene an out= of its "
            f"own, or a store with format={appendable()[0]}"
        )


def open_store(
    path: Path, format: str, grid: Grid, dim: int, precision: str, fingerprint: str, origin: Origin
) -> Store:
    """Open a store, and make sure that a scene can be added to it.

    Args:
        path: the output folder.
        format: that will be written, an appendable one.
        grid: the scene's.
        dim: length of its embeddings.
        precision: of the network.
        fingerprint: the scene's, hex.
        origin: where its embeddings are from.

    Raises:
        InputError: there is no such store, another model made it, its embeddings have another length or its grid other
            pixels, or it holds the scene already.
    """
    check_appendable(format)
    if origin.season is not None:
        raise InputError(
            f"append=True adds calendar years, and this scene is of {origin.season[0]} to {origin.season[1]}; give it "
            "a store of its own as out="
        )
    finish_or_undo(path)
    if not path.exists():
        raise InputError(f"append=True finds nothing at {path}; leave it out to begin a store there")
    try:
        opened = {year: open_embeddings(path, year=year) for year in stored_years(path)}
    except InputError as error:
        raise InputError(f"append=True finds nothing to add to: {error}") from None
    if not is_output(path):
        raise InputError(f"{path} doesn't record which model made it, so nothing can be added to it")
    if stored_periods(path):
        raise InputError(f"{path} holds a season, to which nothing can be added; choose another out=")
    first = next(iter(opened.values()), None)
    if first is None or first.format != format:
        raise InputError(
            f"{path} is no {format} output with a year; give its own format=, or choose another out="
        )
    about = first.provenance
    if about["model_sha256"] != origin.model_sha256:
        raise InputError(
            f"{path} was made by model {about['model']} {about['precision']} ({about['model_sha256'][:12]}), this by "
            f"{origin.model} {precision} ({origin.model_sha256[:12]}): a store holds embeddings of one model; choose "
            "another out="
        )
    if first.dim != dim:
        raise InputError(
            f"{path} has {first.dim} dimensions, this scene {dim}: a store holds embeddings of one length; give "
            f"dim={first.dim}, or choose another out="
        )
    grown: Grid | None = grid
    for each in opened.values():
        grown = union(each.grid, grown) if grown is not None else None
    if grown is None:
        raise InputError(
            f"{path} is on {named(first.grid)}, this scene on {named(grid)}: a store holds one grid of pixels; embed "
            "with like=, or choose another out="
        )
    item = load_item(path)
    for member in members(item):
        known = member["tessera:year"], member["tessera:scene_fingerprint"], member.get("proj:transform")
        if known == (origin.year, fingerprint, list(grid.transform)[:6]):
            raise InputError(
                f"{path} holds this scene of {origin.year} already; give another scene, or overwrite=True to replace "
                "the whole store"
            )
    return Store(path, item, opened, grown)
