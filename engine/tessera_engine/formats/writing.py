"""Writing an output in any format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tessera_engine.errors import InputError
from tessera_engine.formats.format import Content
from tessera_engine.formats.registry import format_named

# `check_format` is called before anything is computed; only `write` needs the arrays.
if TYPE_CHECKING:
    from tessera_engine.files.staging import Staging
    from tessera_engine.formats.grown import Store
    from tessera_engine.formats.origin import Origin
    from tessera_engine.scene import Grid
    from tessera_engine.scenes.period import Period
    from tessera_engine.stac.items import Asset


def check_format(format: str, stored_as: str, grid: Grid, dim: int, origin: Origin | None) -> None:
    """Make sure, before anything is computed, that a format can hold what will be written.

    Args:
        format: a name in `tessera_engine.formats.registry.FORMATS`.
        stored_as: `int8` or `float32`.
        grid: the output's.
        dim: length of the embedding.
        origin: see `write`.

    Raises:
        InputError: unknown format, or one that can't hold this.
    """
    chosen = format_named(format)
    season = None if origin is None else origin.season
    if chosen.needs_year and season is not None and not chosen.takes_periods:
        raise InputError(
            f"format={format} files embeddings under calendar years, and these are of {season[0]} to {season[1]}: its "
            "readers would take them for a whole year; use format=cog or format=zarr"
        )
    if chosen.needs_year and season is None and (origin is None or origin.year is None):
        raise InputError(
            f"format={format} stores embeddings under the year of their observations, which the scene's files don't "
            "say: give year=YEAR, or use format=cog"
        )
    if chosen.int8_only and stored_as != "int8":
        raise InputError(
            f"format={format} holds int8 codes only, and these embeddings are {stored_as}: give stored_as=int8, or "
            "use format=cog"
        )
    chosen.check(grid, dim)


def stored_form(format: str, staged_as: str) -> str:
    """An output's `tessera:store`.

    Args:
        format: a name in `tessera_engine.formats.registry.FORMATS`.
        staged_as: `int8` or `float32`.
    """
    return format_named(format).stored_as or staged_as


def write(
    format: str,
    staging: Staging,
    folder: Path,
    name: str,
    origin: Origin | None = None,
    store: Store | None = None,
    periods: Sequence[tuple[Period, Staging]] = (),
) -> list[Asset]:
    """Write the staged arrays into a folder, or what a store becomes when they are added to it.

    Args:
        format: a name in `tessera_engine.formats.registry.FORMATS`.
        staging: the finished arrays; they stay as they are.
        folder: where the files go; it exists.
        name: the scene's name.
        origin: where the embeddings are from; formats that store embeddings by year need it.
        store: what they are added to, of the same format; it stays as it is.
        periods: see `tessera_engine.formats.format.Content`.

    Returns:
        What was written, a file or folder each.

    Raises:
        InputError: unknown format, or one that can't hold this.
        TesseraError: a file couldn't be written; nothing of it is left.
    """
    check_format(format, staging.embeddings.dtype.name, staging.grid, staging.dim, origin)
    return format_named(format).write(Content(staging, name, origin, store, periods), folder)
