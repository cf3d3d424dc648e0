"""The true colours of an output, thinned: from the overviews of its `truecolour.tif`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.regridded import Regridded
from tessera_engine.pictures.true_colour import NO_DATA, true_colour_file
from tessera_engine.scene import Grid, Window
from tessera_engine.view.framed import Framed

__all__ = ["NO_DATA", "has", "read"]


def has(embeddings: Embeddings) -> bool:
    """Whether an output has true colours."""
    try:
        source = embeddings.source
        if isinstance(source, Framed) and isinstance(source.source, Regridded):
            return False  # the picture is in another CRS
        with embeddings.folder.reading() as here:
            return _file(embeddings, here) is not None
    except InputError:  # its item lists a file that is missing: the rest can still be looked at
        return False


def read(embeddings: Embeddings, z: int, window: Window) -> NDArray[np.uint8]:
    """Red, green and blue (height, width, 3) of a window of a level; `NO_DATA` in all three where there are none.

    Raises:
        TesseraError: the file can't be read, or has another size than the embeddings.
    """
    from rasterio.windows import Window as RasterioWindow

    from tessera_engine.gdal import GDAL_ERRORS, gdal_environment, gdal_reason, raster_reader

    grid, cols, rows = _of_file(embeddings, z, window)
    colours = np.full((3, window.height, window.width), NO_DATA, np.uint8)
    down, right = np.flatnonzero(rows >= 0), np.flatnonzero(cols >= 0)
    if not (len(down) and len(right)):
        return np.moveaxis(colours, 0, 2)
    rows, cols, step = rows[down], cols[right], 2**z
    top, left = int(rows[0]), int(cols[0])
    height = min(int(rows[-1]) - top + step, grid.height - top)
    width = min(int(cols[-1]) - left + step, grid.width - left)
    with embeddings.folder.reading() as here:
        path = _file(embeddings, here)
        assert path is not None
        try:
            with gdal_environment(), raster_reader(path) as file:
                if (file.width, file.height, file.count, *set(file.dtypes)) != (
                    grid.width,
                    grid.height,
                    3,
                    "uint8",
                ):
                    raise TesseraError(
                        f"{path} is not a picture of 3 bands of uint8 with {grid.width} x {grid.height} pixels; make "
                        "or copy the output again"
                    )
                # From the nearest overview: pictures are thinned by averages, unlike embeddings
                size = (3, -(-height // step), -(-width // step))
                values = file.read(window=RasterioWindow(left, top, width, height), out_shape=size)
        except GDAL_ERRORS as error:
            raise TesseraError(
                f"can't read {path}: {gdal_reason(error)}; make or copy the output again"
            ) from None
    down_there, right_there = (rows - top) * size[1] // height, (cols - left) * size[2] // width
    colours[:, down[:, np.newaxis], right] = values[:, down_there[:, np.newaxis], right_there]
    return np.moveaxis(colours, 0, 2)


def _of_file(
    embeddings: Embeddings, z: int, window: Window
) -> tuple[Grid, NDArray[np.int64], NDArray[np.int64]]:
    """The grid of the file; and of its pixels the columns and rows that a window of a level shows, -1 for none."""
    source, grid = embeddings.source, embeddings.grid
    cols = np.arange(window.col, window.col + window.width) * 2**z
    rows = np.arange(window.row, window.row + window.height) * 2**z
    if not isinstance(source, Framed):
        return grid, cols, rows
    return source.source.grid, source.cols[cols], source.rows[rows]


def _file(embeddings: Embeddings, here: Path) -> Path | None:
    if "assets" not in embeddings.item:  # a downloaded tree
        return None
    return true_colour_file(here, embeddings.item, embeddings.provenance.get("year"))
