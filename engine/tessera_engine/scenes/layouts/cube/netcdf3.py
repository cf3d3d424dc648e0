"""NetCDF of the classic formats (CDF-1, CDF-2 and CDF-5), by the format's specification.

The header is a few lists; scipy, which reads it too, loads variables as a whole or maps them, and a map of a file that
becomes shorter ends the process. Source: "NetCDF Classic Format Specification" and "CDF-5", Unidata.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.scenes.layouts.cube.container import Array, Container, as_strings, plain
from tessera_engine.scenes.products import Unusable

MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")

_HEADER_LIMIT = 16 * 2**20
"""Largest header in bytes; real ones have a few kB."""

_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 10, 11, 12
_TYPES = {
    1: "i1",
    2: "S1",
    3: ">i2",
    4: ">i4",
    5: ">f4",
    6: ">f8",
    7: "u1",
    8: ">u2",
    9: ">u4",
    10: ">i8",
    11: ">u8",
}


class _Variable(NamedTuple):
    name: str
    axes: tuple[int, ...]
    attributes: dict[str, Any]
    dtype: np.dtype[Any]
    begin: int


class _Header:
    """Reads the lists of a header, one after the other."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 4
        version = content[3]
        self._count = ">i8" if version == 5 else ">i4"
        self._offset = ">i4" if version == 1 else ">i8"

    def number(self, dtype: str | None = None) -> int:
        return int(self._take(np.dtype(dtype or self._count), 1)[0])

    def offset(self) -> int:
        return self.number(self._offset)

    def name(self) -> str:
        return bytes(self._padded(np.dtype("u1"), self.number())).decode("utf-8", "replace")

    def entries(self, tag: int) -> range:
        """The places in a list with a tag; an absent list has two zeros."""
        found, length = self.number(">i4"), self.number()
        if found not in (0, tag) or (found == 0 and length) or not 0 <= length <= len(self._content):
            raise ValueError(f"a list of {length} entries with the tag {found}")
        return range(length)

    def attributes(self) -> dict[str, Any]:
        found = {}
        for _ in self.entries(_ATTRIBUTES):
            name, dtype = self.name(), self.dtype()
            values = self._padded(dtype, self.number())
            found[name] = plain(values.tobytes() if dtype.kind == "S" else values)
        return found

    def dtype(self) -> np.dtype[Any]:
        code = self.number(">i4")
        if code not in _TYPES:
            raise ValueError(f"the type {code}")
        return np.dtype(_TYPES[code])

    def _padded(self, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
        values = self._take(dtype, length)
        self._at += -values.nbytes % 4
        return values

    def _take(self, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
        end = self._at + length * dtype.itemsize
        if not length >= 0 or end > len(self._content):
            raise ValueError("it ends too early")
        values = np.frombuffer(self._content, dtype, length, self._at)
        self._at = end
        return values


def open_netcdf3(path: Path) -> Container:
    """Read the header of a classic NetCDF file.

    Raises:
        Unusable: it is damaged or truncated.
    """
    with path.open("rb") as file:
        content = file.read(_HEADER_LIMIT)
    size = path.stat().st_size
    try:
        header = _Header(content)
        records = header.number()
        dimensions = [(header.name(), header.number()) for _ in header.entries(_DIMENSIONS)]
        attributes = header.attributes()
        variables = [_variable(header, len(dimensions)) for _ in header.entries(_VARIABLES)]
    except (ValueError, OverflowError) as error:
        raise Unusable(f"can't be read as NetCDF ({error}); copy it again") from None
    return _container(path, size, records, dimensions, attributes, variables)


def _variable(header: _Header, dimensions: int) -> _Variable:
    name = header.name()
    axes = tuple(header.number() for _ in range(_at_most(header.number(), dimensions)))
    if any(not 0 <= axis < dimensions for axis in axes):
        raise ValueError(f"{name} has dimensions that don't exist")
    attributes, dtype = header.attributes(), header.dtype()
    header.number()  # the size, which overflows for large variables: it follows from the shape
    return _Variable(name, axes, attributes, dtype, header.offset())


def _at_most(length: int, dimensions: int) -> int:
    if not 0 <= length <= max(dimensions, 1) * 8:
        raise ValueError(f"a variable of {length} dimensions")
    return length


def _container(
    path: Path,
    size: int,
    records: int,
    dimensions: list[tuple[str, int]],
    attributes: dict[str, Any],
    variables: list[_Variable],
) -> Container:
    """The arrays, with the place of each in the file."""
    growing = [each for each in variables if each.axes and dimensions[each.axes[0]][1] == 0]
    bytes_of = {
        each.name: math.prod(dimensions[axis][1] for axis in each.axes[1:]) * each.dtype.itemsize
        for each in growing
    }
    # The variables that grow lie interleaved, one record of each after the other; a single one isn't padded
    padded = sum(length + -length % 4 for length in bytes_of.values())
    record = padded if len(growing) > 1 else sum(bytes_of.values())
    if records < 0 and growing:  # written as a stream: the number follows from the file's size
        records = max(0, (size - min(each.begin for each in growing)) // max(record, 1))
    arrays = {}
    for each in variables:
        grows = each in growing
        shape = tuple(
            records if grows and i == 0 else dimensions[axis][1] for i, axis in enumerate(each.axes)
        )
        strides = [each.dtype.itemsize * math.prod(shape[i + 1 :]) for i in range(len(shape))]
        if grows:
            strides[0] = record
        last = sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
        end = each.begin + last + each.dtype.itemsize
        if 0 not in shape and (end > size or each.begin < 0 or min(shape, default=1) < 0):
            raise Unusable(f"is truncated: {size:,} bytes, expected at least {end:,} for {each.name}")
        names = tuple(dimensions[axis][0] for axis in each.axes)
        arrays[each.name] = _array(path, each, names, shape, tuple(strides))
    return Container(path, arrays, {"": attributes})


def _array(
    path: Path, variable: _Variable, names: tuple[str, ...], shape: tuple[int, ...], strides: tuple[int, ...]
) -> Array:
    text = variable.dtype.kind == "S" and bool(shape)

    def load(part: tuple[slice, ...]) -> NDArray[Any]:
        if not text:
            return _read(path, variable.dtype, variable.begin, strides, shape, part)
        whole = (*part, slice(0, shape[-1]))
        return as_strings(_read(path, variable.dtype, variable.begin, strides, shape, whole), joined=True)

    kept = shape[:-1] if text else shape
    return Array(
        name=variable.name,
        dims=names[: len(kept)],
        shape=kept,
        dtype=np.dtype(object) if text else variable.dtype,
        attributes=variable.attributes,
        chunks=(*(1 for _ in kept[:-1]), *kept[-1:]),  # a row of the last dimension is one run of bytes
        load=load,
    )


def _read(
    path: Path,
    dtype: np.dtype[Any],
    begin: int,
    strides: tuple[int, ...],
    shape: tuple[int, ...],
    part: tuple[slice, ...],
) -> NDArray[Any]:
    """A part of an array by plain reads, for the reason in `tessera_engine.scenes.reading.npy`; few, if they can be."""
    starts = [each.start for each in part]
    lengths = [each.stop - each.start for each in part]
    out = np.empty(lengths, dtype)
    if out.size == 0:
        return out
    run = len(shape)  # dimensions from here on are one run of bytes
    inner = dtype.itemsize
    while run and strides[run - 1] == inner:
        run -= 1
        inner *= lengths[run]
        if lengths[run] != shape[run]:
            break
    runs = out.reshape(-1, inner // dtype.itemsize).view(np.uint8)
    base = begin + sum(start * stride for start, stride in zip(starts, strides, strict=True))
    places = itertools.product(*(range(length) for length in lengths[:run]))
    with path.open("rb", buffering=0) as file:
        for line, place in zip(runs, places, strict=True):
            file.seek(base + sum(i * stride for i, stride in zip(place, strides, strict=False)))
            if file.readinto(line.data) != len(line):
                raise InputError(f"{path} became shorter while it was being read; copy it again")
    return out
