"""Reading embeddings back: one `Embeddings`, whatever format they lie in.

One module a format, each `open_source(path, item) -> Source`; `item` is the output's item.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tessera_engine.embeddings import cog, geotessera, npy, zarr
from tessera_engine.embeddings.base import PREFIXES, Embeddings, Source, StoredBlock
from tessera_engine.errors import InputError
from tessera_engine.output import ITEM, is_output

__all__ = ["Embeddings", "PREFIXES", "Source", "StoredBlock", "open_embeddings"]

OPENERS: Mapping[str, Callable[[Path, Mapping[str, Any]], Source]] = {
    cog.MEDIA_TYPE: cog.open_source,
    npy.MEDIA_TYPE: npy.open_source,
    zarr.MEDIA_TYPE: zarr.open_source,
    geotessera.MEDIA_TYPE: geotessera.open_source,
}
"""Media type of the item's asset `embeddings` -> what reads it."""


def open_embeddings(path: str | Path, dim: int | None = None) -> Embeddings:
    """Open an output of this engine, or a tree that geotessera downloaded. Nothing but metadata is read yet.

    Args:
        path: the output folder (with item.json), or a folder with geotessera's `global_0.1_degree_representation`.
        dim: read only the first `dim` dimensions; None: all that are stored.

    Raises:
        InputError: no embeddings are there, or they haven't that prefix.
    """
    path = Path(path)
    if is_output(path):
        item = json.loads((path / ITEM).read_text(encoding="utf-8"))
        media_type = item["assets"].get("embeddings", {}).get("type")
        if media_type not in OPENERS:
            raise InputError(f"{path} holds no embeddings that this version can read (type {media_type})")
        source = OPENERS[media_type](path, item)
    elif geotessera.is_tree(path):
        item = {"properties": {}}
        source = geotessera.open_source(path, item)
    else:
        raise InputError(
            f"{path} holds no embeddings: expected an output folder of 'tessera-engine embed' or 'convert' (with "
            f"{ITEM}), or a folder of geotessera tiles"
        )
    if dim is not None and (dim not in PREFIXES or dim > source.dim):
        fitting = ", ".join(str(prefix) for prefix in PREFIXES if prefix <= source.dim)
        raise InputError(f"{path} can't be read with {dim} dimensions; choose one of {fitting or source.dim}")
    return Embeddings(path, source, dim or source.dim, item)
