"""Variables of cubes as rasters, one for each date, whatever the order of their dimensions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.scene import Window
from tessera_engine.scenes.layouts.cube.container import Array
from tessera_engine.scenes.layouts.cube.packing import Convert

_DECODED_AT_ONCE = 16 * 2**20
"""Bytes of chunks that a library may decode in one call; of more, one chunk after the other."""

_GROUPS_KEPT = 2
"""Groups of dates kept at the same time: threads read dates in order, and some may be in the next group already."""


class Place(NamedTuple):
    """Where a raster is in an array: the place of each axis.

    Attributes:
        x: dimension along x.
        y: dimension along y.
        time: dimension along time; None where there is none.
        fixed: other dimensions -> the only place along them that is read.
    """

    x: int
    y: int
    time: int | None
    fixed: dict[int, int]


class Layer:
    """One band of a cube at all dates, as rasters with north up.

    Attributes:
        crs: the CRS.
        transform: of the raster, after rows and columns were put in the usual order.
        width: columns.
        height: rows.
        dtype: name of the dtype of what is read.
        block: width and height of stored chunks.
        held_bytes: bytes kept for each pixel of the window that is being read.
        chunk_bytes: of a stored chunk when it is decoded.
    """

    def __init__(self, array: Array, place: Place, crs: str, transform: Affine, convert: Convert) -> None:
        """Make a layer; nothing is read.

        Args:
            array: the variable.
            place: its axes.
            crs: its CRS.
            transform: in the order of rows and columns as stored.
            convert: from stored values to those that are read.
        """
        self._array, self._place, self._convert = array, place, convert
        self.crs = crs
        self.width, self.height = array.shape[place.x], array.shape[place.y]
        self._flip_x, self._flip_y = transform.a < 0, transform.e > 0
        if self._flip_x:
            transform = transform @ Affine.translation(self.width, 0) @ Affine.scale(-1, 1)
        if self._flip_y:
            transform = transform @ Affine.translation(0, self.height) @ Affine.scale(1, -1)
        self.transform = transform
        self.dtype = convert(np.zeros(1, array.dtype)).dtype.name
        self.chunk_bytes = math.prod(array.chunks) * array.dtype.itemsize
        self.block = (array.chunks[place.x], array.chunks[place.y])
        dates = 1 if place.time is None else array.shape[place.time]
        # Dates that are stored together are read together, or each chunk would be decoded once a date
        self._depth = 1 if place.time is None else min(array.chunks[place.time], dates)
        held = 0 if self._depth == 1 else min(dates, self._depth * _GROUPS_KEPT)
        self.held_bytes = held * np.dtype(self.dtype).itemsize
        self._kept: dict[tuple[int, Window], NDArray[Any]] = {}
        self._lock = Lock()

    def read(self, date: int, window: Window) -> NDArray[Any]:
        """The values of one date in a window inside the raster: (height, width).

        Raises:
            InputError: the file is damaged, or has changed since it was opened.
        """
        if self._depth == 1:
            only: NDArray[Any] = self._read(slice(date, date + 1), window)[0]
            return only
        number, within = divmod(date, self._depth)
        with self._lock:
            for key in [key for key in self._kept if key[1] != window]:
                del self._kept[key]
            values = self._kept.get((number, window))
            if values is None:
                while len(self._kept) >= _GROUPS_KEPT:
                    del self._kept[min(self._kept)]
                first = number * self._depth
                assert self._place.time is not None
                last = min(first + self._depth, self._array.shape[self._place.time])
                values = self._kept[number, window] = self._read(slice(first, last), window)
        one: NDArray[Any] = values[within]
        return one

    def sample(self, dates: list[int], side: int) -> Iterator[NDArray[Any]]:
        """Stored values in the middle of some dates."""
        width, height = min(side, self.width), min(side, self.height)
        window = Window((self.width - width) // 2, (self.height - height) // 2, width, height)
        for date in dates:
            for part in self._parts(slice(date, date + 1), window):
                yield self._array.load(tuple(part))

    def _read(self, dates: slice, window: Window) -> NDArray[Any]:
        """Dates of a window, as converted: (dates, height, width)."""
        out = np.empty((dates.stop - dates.start, window.height, window.width), self.dtype)
        x, y, time = self._place.x, self._place.y, self._place.time
        starts = self._starts(dates, window)
        for part in self._parts(dates, window):
            values = self._convert(self._array.load(tuple(part)))
            order = [y, x] if time is None else [time, y, x]
            rest = [axis for axis in range(values.ndim) if axis not in order]
            values = values.transpose([*rest, *order]).reshape([values.shape[axis] for axis in order])
            if time is None:
                values = values[None]
            target = tuple(
                slice(part[axis].start - starts[axis], part[axis].stop - starts[axis]) for axis in (y, x)
            )
            steps = (
                slice(None)
                if time is None
                else slice(part[time].start - dates.start, part[time].stop - dates.start)
            )
            # A place counted from the other end, where rows or columns are stored the other way round
            out[(steps, *self._mirrored(target, window))] = values[
                :, :: -1 if self._flip_y else 1, :: -1 if self._flip_x else 1
            ]
        return out

    def _mirrored(self, target: tuple[slice, ...], window: Window) -> tuple[slice, slice]:
        rows, cols = target
        if self._flip_y:
            rows = slice(window.height - rows.stop, window.height - rows.start)
        if self._flip_x:
            cols = slice(window.width - cols.stop, window.width - cols.start)
        return rows, cols

    def _starts(self, dates: slice, window: Window) -> dict[int, int]:
        """The first place along x and y, as stored."""
        col = self.width - window.col - window.width if self._flip_x else window.col
        row = self.height - window.row - window.height if self._flip_y else window.row
        return {self._place.x: col, self._place.y: row}

    def _parts(self, dates: slice, window: Window) -> Iterator[list[slice]]:
        """The slices of an array that hold a window."""
        starts = self._starts(dates, window)
        ranges: list[slice] = []
        for axis, length in enumerate(self._array.shape):
            if axis == self._place.time:
                wanted = dates
            elif axis == self._place.x:
                wanted = slice(starts[axis], starts[axis] + window.width)
            elif axis == self._place.y:
                wanted = slice(starts[axis], starts[axis] + window.height)
            else:
                only = self._place.fixed.get(axis, 0)
                wanted = slice(only, min(only + 1, length))
            ranges.append(wanted)
        chunks = self._array.chunks
        decoded = math.prod(
            (-(-wanted.stop // chunk) - wanted.start // chunk) * chunk
            for wanted, chunk in zip(ranges, chunks, strict=True)
        )
        runs_only = all(chunk == 1 for chunk in chunks[:-1])  # not stored in chunks at all
        if runs_only or decoded * self._array.dtype.itemsize <= _DECODED_AT_ONCE:
            yield ranges
        else:
            cut = (_cut(wanted, chunk) for wanted, chunk in zip(ranges, chunks, strict=True))
            for part in itertools.product(*cut):
                yield list(part)


def _cut(wanted: slice, chunk: int) -> Iterator[slice]:
    start = wanted.start
    while start < wanted.stop:
        stop = min(wanted.stop, (start // chunk + 1) * chunk)
        yield slice(start, stop)
        start = stop


class Plane(NamedTuple):
    """A layer at one date: implements `tessera_engine.scenes.products.Pixels`."""

    layer: Layer
    date: int

    def read(self, window: Window) -> NDArray[Any]:
        """See `tessera_engine.scenes.products.Pixels`."""
        return self.layer.read(self.date, window)
