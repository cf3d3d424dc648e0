"""Reading embeddings back: one `Embeddings`, whatever format they lie in.

One module a format, each `open_source(path, item, year) -> Source`; `item` is the output's item.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tessera_engine.errors import InputError
from tessera_engine.files.output import ITEM, is_output
from tessera_engine.formats.cog import reading as cog
from tessera_engine.formats.embeddings.base import PREFIXES, Embeddings, Source, StoredBlock
from tessera_engine.formats.geotessera import reading as geotessera
from tessera_engine.formats.npy import reading as npy
from tessera_engine.formats.zarr import reading as zarr
from tessera_engine.stac import members

__all__ = ["Embeddings", "PREFIXES", "Source", "StoredBlock", "open_embeddings", "stored_years"]

OPENERS: Mapping[str, Callable[[Path, Mapping[str, Any], int | None], Source]] = {
    cog.MEDIA_TYPE: cog.open_source,
    npy.MEDIA_TYPE: npy.open_source,
    zarr.MEDIA_TYPE: zarr.open_source,
    geotessera.MEDIA_TYPE: geotessera.open_source,
}
"""Media type of the item's asset `embeddings` -> what reads it."""


def stored_years(path: str | Path) -> list[int]:
    """The years of an output, or of a tree that geotessera downloaded; empty where they aren't known.

    Raises:
        InputError: no embeddings are there.
    """
    return sorted(_item_and_years(Path(path))[1])


def _item_and_years(path: Path) -> tuple[dict[str, Any], list[int]]:
    if is_output(path):
        item = json.loads((path / ITEM).read_text(encoding="utf-8"))
        made = item.get("properties", {}).get("tessera:result")
        if made is not None:
            raise InputError(f"{path} is a {made}, not embeddings; give the folder that it was made from")
        return item, list(members.years(item))
    if geotessera.is_tree(path):
        return {"properties": {}}, geotessera.years(path)
    raise InputError(
        f"{path} holds no embeddings: expected an output folder of 'tessera-engine embed' or 'convert' (with "
        f"{ITEM}), or a folder of geotessera tiles"
    )


def open_embeddings(path: str | Path, dim: int | None = None, year: int | None = None) -> Embeddings:
    """Open an output of this engine, or a tree that geotessera downloaded. Nothing but metadata is read yet.

    Args:
        path: the output folder (with item.json), or a folder with geotessera's `global_0.1_degree_representation`.
        dim: read only the first `dim` dimensions; None: all that are stored.
        year: which, of an output that holds several.

    Raises:
        InputError: no embeddings are there, they haven't that prefix or year, or they have several years and none is
            given.
    """
    path = Path(path)
    item, years = _item_and_years(path)
    year = _choose(path, sorted(years), year)
    media_type = (
        item["assets"].get("embeddings", {}).get("type") if "assets" in item else geotessera.MEDIA_TYPE
    )
    if media_type not in OPENERS:
        raise InputError(f"{path} holds no embeddings that this version can read (type {media_type})")
    if year is not None:
        item = members.of_year(item, year)
    source = OPENERS[media_type](path, item, year)
    if dim is not None and (dim not in PREFIXES or dim > source.dim):
        fitting = ", ".join(str(prefix) for prefix in PREFIXES if prefix <= source.dim)
        raise InputError(f"{path} can't be read with {dim} dimensions; choose one of {fitting or source.dim}")
    return Embeddings(path, source, dim or source.dim, item)


def _choose(path: Path, years: list[int], year: int | None) -> int | None:
    """The year to read."""
    said = ", ".join(map(str, years)) or "no year that it says"
    if year is not None and year not in years:
        raise InputError(f"{path} holds {said}, not {year}; choose another one or leave it out")
    if year is None and len(years) > 1:
        raise InputError(f"{path} holds the years {said}; say which one (--year, or year= in Python)")
    return year if year is not None or not years else years[0]
