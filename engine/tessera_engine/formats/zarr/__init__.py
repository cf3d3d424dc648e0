"""A Zarr v3 store by the `geoemb:` convention."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera_engine.errors import MissingExtra
from tessera_engine.formats.format import CellWriter, Content, Format, Planned

if TYPE_CHECKING:
    from tessera_engine.formats.embeddings.stored import Source
    from tessera_engine.scene import Grid
    from tessera_engine.stac.items import Asset


def _open(path: Path, item: Mapping[str, Any], time: int | date | None) -> Source:
    from tessera_engine.formats.zarr.reading import open_source

    return open_source(path, item, time)


def _write(content: Content, folder: Path) -> list[Asset]:
    from tessera_engine.formats.zarr.writing import write

    return write(content, folder, FORMAT.media_type)


def _in_cells(planned: Planned, folder: Path) -> CellWriter:
    from tessera_engine.formats.zarr.cells import StoreInCells

    return StoreInCells(planned, folder, FORMAT.media_type)


def _check(grid: Grid, dim: int) -> None:
    from tessera_engine.formats.zarr.zones import northern_grid

    if find_spec("zarr") is None:
        raise MissingExtra("zarr", "zarr", "format=zarr")
    northern_grid(grid)


FORMAT = Format(
    name="zarr",
    media_type="application/vnd.zarr; version=3",
    open=_open,
    write=_write,
    check=_check,
    appendable=True,
    int8_only=True,
    needs_year=True,
    takes_periods=True,
    in_cells=_in_cells,
    library_bytes=30_000_000,
    fixed_bytes=20_000_000,
    pixels_held=4 * 256**2,  # a shard: its codes, its chunks, and both joined
)
