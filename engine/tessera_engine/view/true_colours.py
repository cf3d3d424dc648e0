"""The true colours of an output, thinned: from the overviews of its `truecolour.tif`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.pictures.true_colour import NO_DATA, true_colour_file
from tessera_engine.scene import Window

__all__ = ["NO_DATA", "has", "read"]


def has(embeddings: Embeddings) -> bool:
    """Whether an output has true colours."""
    try:
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

    from tessera_engine.gdal import GDAL_ERRORS, gdal_environment, raster_reader

    grid, step = embeddings.grid, 2**z
    left, top = window.col * step, window.row * step
    width, height = min(window.width * step, grid.width - left), min(window.height * step, grid.height - top)
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
                size = (3, window.height, window.width)
                values = file.read(window=RasterioWindow(left, top, width, height), out_shape=size)
        except GDAL_ERRORS as error:
            raise TesseraError(f"can't read {path}: {error}; make or copy the output again") from None
    colours: NDArray[np.uint8] = np.moveaxis(values, 0, 2)
    return colours


def _file(embeddings: Embeddings, here: Path) -> Path | None:
    if "assets" not in embeddings.item:  # a downloaded tree
        return None
    return true_colour_file(here, embeddings.item, embeddings.provenance.get("year"))
