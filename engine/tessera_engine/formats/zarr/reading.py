"""Reading the Zarr store that `tessera_engine.formats.zarr.writing` writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import MissingExtra, TesseraError, quoted, reason, without_url
from tessera_engine.formats.embeddings.bands import by_pixel
from tessera_engine.formats.embeddings.base import PREFIXES, asset_path, item_grid
from tessera_engine.formats.embeddings.sentinels import from_sentinels
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.layers import QUALITY_BANDS
from tessera_engine.formats.zarr.times import read_times
from tessera_engine.offline.chunks import decoded_chunks_of, guard_chunks
from tessera_engine.scene import Grid, Window

if TYPE_CHECKING:
    from zarr import Group

SHARD = 256
"""Pixels across a shard: 8 MB with 128 dimensions. zarr holds a shard four times while it writes it."""

BLOCK = 128
"""Pixels across what is read together, which are whole chunks of every array. To read a chunk of 32 pixels by itself
takes longer than to decode it; and in a whole shard hundreds of chunks would be decoded for a few points."""

DTYPES = {"scales": "float32", "observations": "uint16", "quality": "uint16"}
"""Of arrays; all others hold codes, which are int8."""

PREFIX = "embeddings_d"
"""How the names of arrays with a prefix begin; its length follows."""


@dataclass(frozen=True)
class ZarrSource:
    """The group of one UTM zone, at one time."""

    grid: Grid
    dim: int
    zone: Group
    time: int = 0
    stored_as: str = "int8"
    block: int = BLOCK

    @property
    def prefixes(self) -> tuple[int, ...]:
        """See `tessera_engine.formats.embeddings.stored.HasPrefixes`."""
        return tuple(dim for dim in PREFIXES if dim < self.dim and _prefix_name(dim) in self.zone)

    def read(self, window: Window, dim: int) -> StoredBlock:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        # A prefix has an array of its own, so less is read
        name = _prefix_name(dim) if dim in PREFIXES and dim < self.dim else "embeddings"
        codes = by_pixel(self._read(name, window)[:dim])
        return from_sentinels(codes, self._read("scales", window))

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        return np.moveaxis(self._read("observations", window), 0, 2)

    def read_quality(self, window: Window) -> NDArray[np.uint16] | None:
        """See `tessera_engine.formats.embeddings.stored.QualitySource`."""
        return np.moveaxis(self._read("quality", window), 0, 2) if "quality" in self.zone else None

    def _read(self, name: str, window: Window) -> NDArray[Any]:
        rows, cols = (
            slice(window.row, window.row + window.height),
            slice(window.col, window.col + window.width),
        )
        expected = (*self._bands(name), self.grid.height, self.grid.width)
        try:
            array: Any = self.zone[name]
            if array.shape[1:] != expected:
                found, wanted = (" x ".join(map(str, shape)) for shape in (array.shape[1:], expected))
                raise ValueError(f"it has {found} values at each time, expected {wanted} as item.json says")
            with decoded_chunks_of(math.prod(array.chunks) * array.dtype.itemsize):
                values = np.asarray(array[self.time, ..., rows, cols])
        except Exception as error:  # zarr and its codecs raise errors of every kind for a damaged store
            raise self._damaged(name, reason(error)) from None
        dtype = DTYPES.get(name, "int8")
        if values.dtype != dtype:
            raise self._damaged(name, f"it has values of {values.dtype}, expected {dtype}")
        return values

    def _bands(self, name: str) -> tuple[int, ...]:
        """How many bands an array must have; empty where it has no such axis."""
        known = {
            "scales": (),
            "observations": (2,),
            "quality": (len(QUALITY_BANDS),),
            "embeddings": (self.dim,),
        }
        return known[name] if name in known else (int(name.removeprefix(PREFIX)),)

    def _damaged(self, name: str, why: str) -> TesseraError:
        store = without_url(str(self.zone.store_path))
        return TesseraError(f"can't read {name} of {store}: {why}; convert again")


def _prefix_name(dim: int) -> str:
    return f"{PREFIX}{dim}"


def open_source(path: Path, item: Mapping[str, Any], time: int | date | None) -> ZarrSource:
    """Open one year of an output's store, or one period by its last day."""
    try:
        import zarr
    except ModuleNotFoundError:
        raise MissingExtra("zarr", "zarr", "reading a Zarr store") from None

    guard_chunks()
    store, group = asset_path(path, item, "embeddings"), item["assets"]["embeddings"].get("tessera:group")
    try:
        root = zarr.open_group(store, mode="r", zarr_format=3)
        zone: Any = root[group]
        ends = [last for _, last in read_times(zone)]
    except Exception as error:  # see ZarrSource._read
        raise TesseraError(
            f"can't read the group {quoted(group)} of {store}: {reason(error)}; convert again"
        ) from None
    wanted = date(time, 12, 31) if isinstance(time, int) else time
    if wanted not in ends:
        raise TesseraError(
            f"{path} has no {time} in its Zarr store, though item.json lists it; convert again"
        )
    return ZarrSource(item_grid(item), int(item["properties"]["tessera:dim"]), zone, ends.index(wanted))
