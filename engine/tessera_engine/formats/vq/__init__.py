"""Three bytes a pixel, with losses: residual vector quantisation in a Zarr store, tile by tile."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera_engine.errors import MissingExtra
from tessera_engine.formats.format import Content, Format

if TYPE_CHECKING:
    from tessera_engine.formats.embeddings.stored import Source
    from tessera_engine.scene import Grid
    from tessera_engine.stac.items import Asset


def _open(path: Path, item: Mapping[str, Any], time: int | date | None) -> Source:
    from tessera_engine.formats.vq.reading import open_source

    return open_source(path, item)


def _write(content: Content, folder: Path) -> list[Asset]:
    from tessera_engine.formats.vq.writing import write

    return write(content, folder, FORMAT.media_type)


def _check(grid: Grid, dim: int) -> None:
    if find_spec("zarr") is None:
        raise MissingExtra("zarr", "zarr", "format=vq")


FORMAT = Format(
    name="vq",
    summary="three bytes a pixel, with losses",
    media_type="application/vnd.zarr; version=3; profile=vector-quantised",
    open=_open,
    write=_write,
    check=_check,
    stored_as="vq",
    lossy="each embedding is the sum of four of 1,023 vectors of its tile of 512 x 512 pixels",
    disk_factor=0.1,
    library_bytes=30_000_000,
    fixed_bytes=130_000_000,  # what is learned from, all patches of a tile, strips of it in float32, a shard
)
