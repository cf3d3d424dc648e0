"""Embeddings as an xarray DataArray that reads only the pixels that are used. Needs xarray, so it is imported late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import MissingExtra
from tessera_engine.scene import Grid, Window

try:
    import xarray
    from xarray.backends import BackendArray
    from xarray.core import indexing
except ModuleNotFoundError as error:
    if error.name != "xarray":
        raise
    raise MissingExtra("xarray", "maps", "to_xarray()") from None

Read = Callable[[Window], NDArray[np.float32]]
"""Gives the embeddings of a window: (height, width, dim)."""


class _LazyEmbeddings(BackendArray):
    """(band, y, x) float32."""

    def __init__(self, read: Read, grid: Grid, dim: int) -> None:
        self.read = read
        self.shape = (dim, grid.height, grid.width)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[np.float32]:
        found: NDArray[np.float32] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )
        return found

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[np.float32]:
        # A slice may step or run backwards: the window that it spans is read, and numpy picks from it
        picked = [
            np.arange(length)[index if isinstance(index, slice) else slice(index, index + 1)]
            for index, length in zip(key, self.shape, strict=True)
        ]
        block = np.empty([len(places) for places in picked], np.float32)
        if block.size:
            first = [int(places.min()) for places in picked]
            _, height, width = (int(places.max() - places.min()) + 1 for places in picked)
            window = Window(first[2], first[1], width, height)
            read = np.moveaxis(self.read(window), 2, 0)
            block = read[np.ix_(picked[0], picked[1] - first[1], picked[2] - first[2])]
        single = tuple(axis for axis, index in enumerate(key) if not isinstance(index, slice))
        return block.squeeze(single)


def to_xarray(read: Read, grid: Grid, dim: int, attributes: Mapping[str, Any]) -> xarray.DataArray:
    """Wrap a function that reads windows.

    Args:
        read: gives the embeddings of a window.
        grid: all pixels.
        dim: length of an embedding.
        attributes: of the array.

    Returns:
        (band, y, x) float32, with coordinates and the CRS where rioxarray looks for it.
    """
    coordinates: dict[str, Any] = {"band": np.arange(1, dim + 1)}
    if grid.transform.b == grid.transform.d == 0:
        coordinates["x"] = grid.transform.c + grid.transform.a * (np.arange(grid.width) + 0.5)
        coordinates["y"] = grid.transform.f + grid.transform.e * (np.arange(grid.height) + 0.5)
    if grid.crs is not None:
        coordinates["spatial_ref"] = xarray.Variable((), np.int64(0), _spatial_reference(grid))
    array = xarray.Variable(
        ("band", "y", "x"),
        indexing.LazilyIndexedArray(_LazyEmbeddings(read, grid, dim)),
        dict(attributes),
        {"grid_mapping": "spatial_ref"} if grid.crs is not None else {},
    )
    return xarray.DataArray(array, coordinates, name="embeddings")


def _spatial_reference(grid: Grid) -> dict[str, str]:
    """The attributes of `spatial_ref` that rioxarray and GDAL read."""
    from rasterio.crs import CRS

    wkt = CRS.from_user_input(grid.crs).to_wkt()
    numbers = " ".join(repr(float(value)) for value in grid.transform.to_gdal())
    return {"crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": numbers}
