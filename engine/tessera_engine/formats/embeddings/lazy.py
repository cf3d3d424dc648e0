"""Embeddings as an xarray DataArray that reads what is asked for. Only imported where xarray is wanted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import MissingExtra
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.scene import Window

try:
    import xarray
    from xarray.backends import BackendArray
    from xarray.core import indexing
except ModuleNotFoundError as error:
    if error.name != "xarray":
        raise
    raise MissingExtra("xarray", "maps", "to_xarray()") from None


class _LazyEmbeddings(BackendArray):
    """(band, y, x) float32."""

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings
        self.shape = (embeddings.dim, embeddings.grid.height, embeddings.grid.width)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[np.float32]:
        found: NDArray[np.float32] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )
        return found

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[np.float32]:
        # A slice may step or run backwards: the window is what it spans, and the rest is numpy's
        picked = [
            np.arange(length)[index if isinstance(index, slice) else slice(index, index + 1)]
            for index, length in zip(key, self.shape, strict=True)
        ]
        block = np.empty([len(places) for places in picked], np.float32)
        if block.size:
            first = [int(places.min()) for places in picked]
            _, height, width = (int(places.max() - places.min()) + 1 for places in picked)
            window = Window(first[2], first[1], width, height)
            read = np.moveaxis(self.embeddings.read(window), 2, 0)
            block = read[np.ix_(picked[0], picked[1] - first[1], picked[2] - first[2])]
        single = tuple(axis for axis, index in enumerate(key) if not isinstance(index, slice))
        return block.squeeze(single)


def to_xarray(embeddings: Embeddings) -> xarray.DataArray:
    """See `Embeddings.to_xarray`."""
    grid, (height, width) = embeddings.grid, (embeddings.grid.height, embeddings.grid.width)
    coordinates: dict[str, Any] = {"band": np.arange(1, embeddings.dim + 1)}
    if grid.transform.b == grid.transform.d == 0:
        coordinates["x"] = grid.transform.c + grid.transform.a * (np.arange(width) + 0.5)
        coordinates["y"] = grid.transform.f + grid.transform.e * (np.arange(height) + 0.5)
    if grid.crs is not None:
        coordinates["spatial_ref"] = xarray.Variable((), np.int64(0), spatial_reference(embeddings))
    array = xarray.Variable(
        ("band", "y", "x"),
        indexing.LazilyIndexedArray(_LazyEmbeddings(embeddings)),
        {f"tessera_{name}": value for name, value in embeddings.provenance.items() if value is not None},
        {"grid_mapping": "spatial_ref"} if grid.crs is not None else {},
    )
    return xarray.DataArray(array, coordinates, name="embeddings")


def spatial_reference(embeddings: Embeddings) -> dict[str, str]:
    """What rioxarray and GDAL want in the attributes of `spatial_ref`."""
    from rasterio.crs import CRS

    wkt = CRS.from_user_input(embeddings.grid.crs).to_wkt()
    numbers = " ".join(repr(float(value)) for value in embeddings.grid.transform.to_gdal())
    return {"crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": numbers}
