"""What a NetCDF, HDF5 or Zarr file holds, in one form: arrays with names, dimensions and attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.offline.chunks import LARGEST_CHUNK
from tessera_engine.scenes.products import Unusable

LONGEST_AXIS = 200_000
"""Values of a coordinate variable at most: twenty times the side of a Sentinel-2 tile."""


@dataclass(frozen=True, eq=False)
class Array:
    """One array of a container.

    Attributes:
        name: its path in the container, `group/name`.
        dims: names of its dimensions.
        shape: its length along each dimension.
        dtype: of the values as stored; strings have the dtype `object`.
        attributes: plain Python values: strings, numbers, lists.
        chunks: the shape in which values are stored together.
        load: reads a part, given one slice for each dimension.
        fill: the value of what was never written, None where it isn't known.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any]
    chunks: tuple[int, ...]
    load: Callable[[tuple[slice, ...]], NDArray[Any]]
    fill: Any = None

    @property
    def group(self) -> str:
        """The path of the group that it is in; empty for the root."""
        return self.name.rpartition("/")[0]

    @property
    def leaf(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("/")[2]

    def values(self) -> NDArray[Any]:
        """All values, for coordinates.

        Raises:
            Unusable: it is too long for a coordinate, or can't be read.
        """
        if int(np.prod(self.shape, dtype=np.float64)) > LONGEST_AXIS:
            raise Unusable(
                f"has {self.shape} values in {self.name}, expected a coordinate of at most {LONGEST_AXIS:,} values"
            )
        self.check_chunks()
        return self.load(tuple(slice(0, length) for length in self.shape))

    def check_chunks(self) -> None:
        """Raise `Unusable` where a chunk holds nothing, or would fill the memory."""
        if 0 in self.chunks:
            raise Unusable(
                f"stores {self.name} in chunks of {self.chunks} values, expected at least 1 in each dimension: "
                "copy it again"
            )
        decoded = float(np.prod(self.chunks, dtype=np.float64)) * self.dtype.itemsize
        if decoded > LARGEST_CHUNK:
            raise Unusable(
                f"stores {self.name} in chunks of {decoded / 1e6:,.0f} MB, expected at most "
                f"{LARGEST_CHUNK / 1e6:,.0f} MB: save it with smaller chunks"
            )


@dataclass(frozen=True, eq=False)
class Container:
    """An opened file or store.

    Attributes:
        path: what the user sees.
        arrays: name -> array, in the order of the file.
        groups: path of each group, '' for the root -> its attributes.
    """

    path: Path
    arrays: Mapping[str, Array]
    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def nearest(self, group: str, leaf: str) -> Array | None:
        """The array of a name in a group, or in the nearest group above it."""
        while True:
            found = self.arrays.get(f"{group}/{leaf}" if group else leaf)
            if found is not None or not group:
                return found
            group = group.rpartition("/")[0]

    def attributes_above(self, array: Array) -> list[Mapping[str, Any]]:
        """The attributes of an array, then those of its groups up to the root."""
        found, group = [array.attributes], array.group
        while True:
            found.append(self.groups.get(group, {}))
            if not group:
                return found
            group = group.rpartition("/")[0]


def plain(value: Any) -> Any:
    """An attribute's value as strings, numbers and lists of them."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").rstrip("\0")
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "S" and value.dtype.itemsize == 1 and value.ndim == 1:
            return plain(value.tobytes())
        values = [plain(each) for each in value.ravel().tolist()]
        return values[0] if len(values) == 1 else values
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def as_strings(values: NDArray[Any], joined: bool) -> NDArray[Any]:
    """An array of strings, as Python objects.

    Args:
        values: bytes or strings.
        joined: the last dimension holds the characters of one string each.
    """
    if joined:
        values = np.ascontiguousarray(values)
        length = values.shape[-1]
        values = values.view(f"S{length}")[..., 0] if length else np.zeros(values.shape[:-1], "S1")
    texts = np.empty(values.shape, object)
    for place in np.ndindex(*values.shape):
        text = values[place]
        texts[place] = text.decode("utf-8", "replace").rstrip("\0 ") if isinstance(text, bytes) else str(text)
    return texts
