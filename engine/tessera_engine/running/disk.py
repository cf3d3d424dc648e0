"""How much disk space a run needs, and whether it is free."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tessera_engine.errors import TesseraError
from tessera_engine.formats.registry import format_named
from tessera_engine.scene import Grid

SMALL_FILES = 5_000_000
"""Item, journal and the quicklook of a small scene. A pixel of a quicklook takes at most the 4 bytes of RGBA."""

QUALITY = 40
"""Bytes of a pixel's quality layer: staged, as a file with overviews, and once more while that is copied."""

QUICKLOOK_PIXELS = 2048 * 2048

STAGED_COLOURS, TRUE_COLOUR = 6, 8
"""Bytes of a pixel's true colours: staged; and as GeoTIFF with its overviews, and once more while they are copied."""


def needed_bytes(
    grid: Grid,
    dim: int,
    stored_as: str,
    format: str,
    colours: bool,
    truecolour: bool = False,
    periods: int = 1,
    whole: bool = True,
) -> int:
    """Bytes that a run takes on the disk at its peak.

    Args:
        grid: the output's grid.
        dim: length of the stored embedding.
        stored_as: `int8` or `float32`.
        format: one of `tessera_engine.formats.registry.FORMATS`.
        colours: whether the scene's true colours are staged.
        truecolour: whether they are written as `truecolour.tif`.
        periods: that are written; pictures show the last one only.
        whole: whether all embeddings are staged before they are written.
    """
    pixels = grid.width * grid.height
    embeddings = pixels * dim * np.dtype(stored_as).itemsize
    staged = embeddings + pixels * (8 if stored_as == "int8" else 4)
    written = int(format_named(format).disk_factor * (staged + embeddings))
    pictures = 4 * min(pixels, QUICKLOOK_PIXELS) + pixels * (
        STAGED_COLOURS * colours + TRUE_COLOUR * truecolour
    )
    return periods * (staged * whole + pixels * QUALITY + written) + pictures + SMALL_FILES


def check_room(folder: Path, needed: int) -> None:
    """Make sure that a run's bytes fit on the disk; those in its folder already are counted.

    Raises:
        TesseraError: they don't fit.
    """
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    missing = needed - there - shutil.disk_usage(folder).free
    if missing > 0:
        raise TesseraError(
            f"the run needs {needed / 1e6:,.0f} MB in {folder}, and {missing / 1e6:,.0f} MB of that are not free; "
            "free some space and give the same command again, or choose another out="
        )
