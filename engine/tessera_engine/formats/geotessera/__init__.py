"""The tree of 0.1 degree cells that the client geotessera reads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera_engine.formats.format import Content, Format

if TYPE_CHECKING:
    from tessera_engine.formats.embeddings.stored import Source
    from tessera_engine.scene import Grid
    from tessera_engine.stac.items import Asset


def _open(path: Path, item: Mapping[str, Any], time: int | date | None) -> Source:
    from tessera_engine.formats.geotessera.reading import open_source

    return open_source(path, time)


def _write(content: Content, folder: Path) -> list[Asset]:
    from tessera_engine.formats.geotessera.writing import write

    return write(content, folder, FORMAT.media_type)


def _check(grid: Grid, dim: int) -> None:
    from tessera_engine.formats.geotessera.writing import check

    check(grid, dim)


def _foreign_years(path: Path) -> list[int] | None:
    from tessera_engine.formats.geotessera.reading import is_tree, years

    return years(path) if is_tree(path) else None


FORMAT = Format(
    name="geotessera",
    media_type="application/vnd.tessera.geotessera",  # of the folder; none is registered for it
    open=_open,
    write=_write,
    check=_check,
    appendable=True,
    int8_only=True,
    needs_year=True,
    foreign_years=_foreign_years,
    library_bytes=60_000_000,  # pyarrow, which loads pandas where that is installed
    fixed_bytes=40_000_000,
    pixels_held=3 * 32_768,
)
