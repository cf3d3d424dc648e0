"""Maps by segment: each field gets one class, or one number, from what its pixels say.

A field's class is the one with the largest mean probability of its pixels; its number is their mean. The class of the
field's mean embedding was less often right on simulated scenes: a mean is the embedding of no place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.places.crs import Near
from tessera_engine.places.pixels import POLYGON, Spans, explode, spans_of
from tessera_engine.places.read import read_shapes
from tessera_engine.places.selecting import check_shapes
from tessera_engine.places.shapes import ShapeFile
from tessera_engine.scene import Grid

PIXEL_BYTES = 4
"""Of memory for each pixel: the number of its field."""

AT_ONCE = 1_000_000
"""Pixels that are numbered or counted at a time."""

UNITS = 10_000
"""Probabilities are counted in parts of this."""


@dataclass(frozen=True)
class Layers:
    """The layers of a map of classes.

    Attributes:
        codes: (height, width) uint8, the class of each pixel.
        confidence: (height, width) uint8, its probability in percent.
        bands: (C, height, width) uint8, the probability of each class in percent; None: not asked for.
    """

    codes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    bands: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Fields:
    """Fields on a grid.

    Attributes:
        numbers: (height, width) int32, number of each pixel's field; -1 outside of all.
        count: numbers are below it.
    """

    numbers: NDArray[np.int32]
    count: int

    @classmethod
    def read(cls, path: Path, grid: Grid) -> Fields:
        """Lay polygons onto a grid. A pixel belongs to the first polygon of the file that holds its centre.

        Args:
            path: a file of polygons, see `tessera_engine.places.read.read_shapes`.
            grid: with a CRS.

        Raises:
            InputError: the file can't be used, or has other shapes only.
            MissingExtra: a library that reads the file isn't installed.
        """
        check_shapes(path)
        shapes = read_shapes(ShapeFile(path, crs_parameter=""), None, Near.grid(grid)).geometries
        polygons = explode(shapes).dimension == POLYGON
        if len(polygons) and not polygons.any():
            raise InputError(f"{path} has no polygons, expected the outlines of fields in by_segment=")
        numbers = np.full((grid.height, grid.width), -1, np.int32)
        _number(numbers.reshape(-1), spans_of(shapes, grid, grid.window), grid.width)
        return cls(numbers, len(shapes))

    @property
    def filled(self) -> int:
        """How many fields have a pixel."""
        return int(np.count_nonzero(np.bincount(self.numbers[self.numbers >= 0], minlength=self.count)))

    def settle_numbers(self, values: NDArray[np.float32]) -> None:
        """Give all pixels of a field that have data their mean.

        Args:
            values: (height, width), NaN = nodata; changed.
        """
        total, pixels = np.zeros(self.count), np.zeros(self.count)
        for rows, inside, numbers in self.parts(np.isfinite(values)):
            total += np.bincount(numbers, values[rows][inside].astype(np.float64), self.count)
            pixels += np.bincount(numbers, minlength=self.count)
        means = (total / np.maximum(pixels, 1)).astype(np.float32)
        for rows, inside, numbers in self.parts(np.isfinite(values)):
            values[rows][inside] = means[numbers]

    def parts(self, given: NDArray[np.bool_]) -> Iterator[tuple[slice, NDArray[np.bool_], NDArray[np.int32]]]:
        """Strips: their rows, which of their pixels lie in fields and are given, and the numbers of these fields."""
        height, width = self.numbers.shape
        for top in range(0, height, max(1, AT_ONCE // width)):
            rows = slice(top, top + max(1, AT_ONCE // width))
            inside = given[rows] & (self.numbers[rows] >= 0)
            yield rows, inside, self.numbers[rows][inside]


class Votes:
    """What the pixels of fields say of their classes. Sums are whole numbers: their order doesn't matter.

    Attributes:
        fields: where they lie.
        sums: (F, C) int64, of each field the sum of its pixels' probabilities, in units of 1 / `UNITS`.

    Args:
        fields: where they lie.
        classes: C.
    """

    def __init__(self, fields: Fields, classes: int) -> None:
        self.fields = fields
        self.sums = np.zeros((fields.count, classes), np.int64)

    def add(self, place: tuple[slice, slice], valid: NDArray[np.bool_], shares: NDArray[np.float32]) -> None:
        """Count the pixels of a window.

        Args:
            place: its rows and columns.
            valid: (height, width) its pixels with data.
            shares: (N, C) probabilities of these pixels.
        """
        numbers = self.fields.numbers[place][valid]
        inside = numbers >= 0
        np.add.at(self.sums, numbers[inside], np.rint(shares[inside] * UNITS).astype(np.int64))

    def settle(self, values: NDArray[np.uint8], layers: Layers, nodata: int) -> None:
        """Give all pixels of a field that have data its class, and the mean probabilities of its pixels.

        Args:
            values: (C,) the codes of the classes.
            layers: of the map; changed.
            nodata: the code of pixels without data, which stay.
        """
        shares = 100 * self.sums / np.maximum(self.sums.sum(axis=1, keepdims=True), 1)
        best = self.sums.argmax(axis=1)
        percent = np.rint(shares).astype(np.uint8)
        for rows, inside, numbers in self.fields.parts(layers.codes != nodata):
            layers.codes[rows][inside] = values[best[numbers]]
            layers.confidence[rows][inside] = percent[numbers, best[numbers]]
            if layers.bands is not None:
                layers.bands[:, rows][:, inside] = percent[numbers].T


def _number(numbers: NDArray[np.int32], spans: Spans, width: int) -> None:
    """Write the number of each span's shape into its pixels, those of the first shape last."""
    length = spans.stop - spans.start
    first = spans.row * width + spans.start
    order = np.arange(len(spans))[::-1]
    for part in np.split(order, np.flatnonzero(np.diff(np.cumsum(length[order]) // AT_ONCE)) + 1):
        of = np.repeat(part, length[part])
        within = np.arange(len(of)) - np.repeat(np.cumsum(length[part]) - length[part], length[part])
        numbers[first[of] + within] = spans.owner[of]
