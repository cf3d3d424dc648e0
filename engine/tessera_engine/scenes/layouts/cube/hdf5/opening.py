"""HDF5, as NetCDF-4 or by itself.

h5py holds one lock around the HDF5 library, so any thread may read. Nothing outside of the file is opened: links and
arrays that lead elsewhere are refused before they are followed, and so is every filter that HDF5 would have to load.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.scenes.layouts.cube.container import Array, Container, as_strings, plain
from tessera_engine.scenes.layouts.cube.hdf5.walk import ERRORS, Refused, datasets, groups
from tessera_engine.scenes.products import Unusable

_HIDDEN = {
    "CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties",
    "_nc3_strict", "DIMENSION_LABELS",
}  # fmt: skip
"""Attributes with which NetCDF-4 stores its dimensions."""

_NO_VARIABLE = b"This is a netCDF dimension but not a netCDF variable"


class _File:
    """A file that is opened at the first read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None
        self._lock = Lock()

    def get(self) -> Any:
        with self._lock:
            if self._file is None:
                self._file = h5py.File(self.path, "r", locking=False)
            return self._file

    def __reduce__(self) -> tuple[type[_File], tuple[Path]]:
        return type(self), (self.path,)

    def load(self, name: str, kind: str, part: tuple[slice, ...]) -> NDArray[Any]:
        try:
            dataset = self.get()[name]
            if kind == "text":
                return as_strings(np.asarray(dataset[part]), joined=False)
            if kind == "characters":
                return as_strings(np.asarray(dataset[(*part, slice(None))]), joined=True)
            return np.asarray(dataset[part])
        except ERRORS as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self.path}: {name} can't be read ({reason}); copy the file again, or move it out of the scene folder"
            ) from None


def open_hdf5(path: Path) -> Container:
    """Read the groups, dimensions and attributes of an HDF5 file.

    Raises:
        Unusable: it is damaged, or needs another file.
    """
    file = _File(path)
    try:
        opened = file.get()
        found_groups = {name: _attributes(group) for name, group in groups(opened)}
        arrays = dict(_arrays(file, opened))
    except Refused as error:
        raise Unusable(str(error)) from None
    except ERRORS as error:
        reason = " ".join(str(error).split())
        raise Unusable(f"can't be read as HDF5 ({reason}); copy it again") from None
    return Container(path, arrays, found_groups)


def _arrays(file: _File, opened: Any) -> Iterator[tuple[str, Array]]:
    for name, dataset in datasets(opened):
        if dataset.shape is None or bytes(dataset.attrs.get("NAME", b"")).startswith(_NO_VARIABLE):
            continue
        kind, dtype = _kind(dataset)
        if kind is None:
            continue  # compound types and references hold no pixels
        dims = _dimensions(name, dataset)
        shape, chunks = dataset.shape, dataset.chunks or _runs(dataset.shape)
        if kind == "characters":
            shape, dims, chunks = shape[:-1], dims[:-1], chunks[:-1]
        yield name, Array(name, dims, shape, dtype, _attributes(dataset), chunks, _loader(file, name, kind))


def _loader(file: _File, name: str, kind: str) -> Any:
    def load(part: tuple[slice, ...]) -> NDArray[Any]:
        return file.load(name, kind, part)

    return load


def _runs(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*(1 for _ in shape[:-1]), *shape[-1:])


def _kind(dataset: Any) -> tuple[str | None, np.dtype[Any]]:
    """How values are read, and the dtype that they then have."""
    dtype = dataset.dtype
    if h5py.check_string_dtype(dtype) is not None or dtype.kind in "SU":
        characters = dtype.kind == "S" and dtype.itemsize == 1 and bool(dataset.shape)
        return ("characters" if characters else "text"), np.dtype(object)
    enumerated = h5py.check_enum_dtype(dtype)
    if dtype.kind == "b" or enumerated is not None:
        return "numbers", dtype
    return ("numbers" if dtype.kind in "iuf" else None), dtype


def _dimensions(name: str, dataset: Any) -> tuple[str, ...]:
    """The names of dimension scales; where there are none, the labels, and else numbers that name no axis."""
    is_scale = bytes(dataset.attrs.get("CLASS", b"")) == b"DIMENSION_SCALE" and len(dataset.shape) == 1
    if is_scale:
        return (name.rpartition("/")[2],)
    names = []
    for i, dimension in enumerate(dataset.dims):
        scale = dimension[0].name if len(dimension) else None
        names.append(scale.rpartition("/")[2] if scale else dimension.label or f"#{i}")
    return tuple(names)


def _attributes(node: Any) -> dict[str, Any]:
    found = {}
    for key in node.attrs:
        if key not in _HIDDEN:
            value = node.attrs[key]
            if not isinstance(value, (h5py.Empty, h5py.Reference)):
                found[str(key)] = plain(value)
    return found
