"""Output formats: one module a format, each `write(staging, folder, name[, origin, store]) -> list[Asset]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tessera_engine.errors import InputError
from tessera_engine.files.staging import Staging
from tessera_engine.formats.origin import Origin
from tessera_engine.scene import Grid
from tessera_engine.stac.writing import Asset

if TYPE_CHECKING:
    from tessera_engine.formats.grown import Store


# The modules are imported when used: rasterio costs 0.3 s, and `--help` needs only the names.


def _cog(
    staging: Staging, folder: Path, name: str, origin: Origin | None, store: Store | None
) -> list[Asset]:
    from tessera_engine.formats.cog import writing as cog

    return cog.write(staging, folder, name)


def _npy(
    staging: Staging, folder: Path, name: str, origin: Origin | None, store: Store | None
) -> list[Asset]:
    from tessera_engine.formats.npy import writing as npy

    return npy.write(staging, folder, name)


def _zarr(
    staging: Staging, folder: Path, name: str, origin: Origin | None, store: Store | None
) -> list[Asset]:
    from tessera_engine.formats.zarr import writing as zarr

    return zarr.write(staging, folder, name, _known("zarr", origin), store)


def _geotessera(
    staging: Staging, folder: Path, name: str, origin: Origin | None, store: Store | None
) -> list[Asset]:
    from tessera_engine.formats.geotessera import writing as geotessera

    return geotessera.write(staging, folder, name, _known("geotessera", origin), store)


def _known(format: str, origin: Origin | None) -> Origin:
    if origin is None or origin.year is None:
        raise InputError(
            f"--format {format} files embeddings under their year, which this scene doesn't say: "
            f"write cog and then 'tessera-engine convert OUT --format {format} --year YEAR'"
        )
    return origin


Writer = Callable[[Staging, Path, str, Origin | None, "Store | None"], list[Asset]]

FORMATS: Mapping[str, Writer] = {
    "cog": _cog,
    "npy": _npy,
    "zarr": _zarr,
    "geotessera": _geotessera,
}
"""Name of a format -> its writer."""

INT8_FORMATS = ("zarr", "geotessera")
"""Formats that hold int8 codes with scales and nothing else."""


def check_format(format: str, stored_as: str, grid: Grid, dim: int, origin: Origin | None) -> None:
    """Make sure, before anything is computed, that a format can hold what is to be written.

    Args:
        format: one of `FORMATS`.
        stored_as: `int8` or `float32`.
        grid: the output's.
        dim: length of the embedding.
        origin: see `write`.

    Raises:
        InputError: unknown format, or one that can't hold this.
    """
    if format not in FORMATS:
        raise InputError(f"unknown format '{format}'; choose one of {', '.join(FORMATS)}")
    if format not in INT8_FORMATS:
        return
    _known(format, origin)
    if stored_as != "int8":
        raise InputError(f"--format {format} holds int8 codes only; give --int8 or --store int8, or use cog")
    if format == "zarr":
        from tessera_engine.formats.zarr.writing import northern_grid

        northern_grid(grid)
    else:
        from tessera_engine.formats.geotessera.writing import check

        check(grid, dim)


def write(
    format: str,
    staging: Staging,
    folder: Path,
    name: str,
    origin: Origin | None = None,
    store: Store | None = None,
) -> list[Asset]:
    """Write the staged arrays into a folder, or what a store becomes when they are added to it.

    Args:
        format: one of `FORMATS`.
        staging: the finished arrays; they stay as they are.
        folder: where the files go; it exists.
        name: the scene's name.
        origin: where the embeddings are from; zarr and geotessera need it.
        store: what they are added to, of the same format; it stays as it is.

    Returns:
        What was written, a file or folder each.

    Raises:
        InputError: unknown format, or one that can't hold this.
        TesseraError: a file couldn't be written; nothing of it is left.
    """
    check_format(format, staging.embeddings.dtype.name, staging.grid, staging.dim, origin)
    return FORMATS[format](staging, folder, name, origin, store)
