"""Maps by segment: each field gets one class, or one number, from what its pixels say.

A field's class is the one with most votes, each pixel's vote weighing its probability; its number is the mean. The
class of the field's mean embedding was less often right on simulated scenes: a mean is the embedding of no place.
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

NOTE = "the scores are those of single pixels; a map by segment is not cross-validated"


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

    def settle_classes(self, codes: NDArray[np.uint8], confidence: NDArray[np.uint8], nodata: int) -> None:
        """Give all pixels of a field that have data its class, and as confidence the mean of their votes for it.

        Args:
            codes: (height, width) the class of each pixel; changed.
            confidence: (height, width) its probability in percent; changed.
            nodata: the code of pixels without data, which stay.
        """
        known = np.unique(codes)
        place = np.zeros(256, np.int64)
        place[known] = np.arange(len(known))
        votes, pixels = np.zeros((self.count, len(known))), np.zeros(self.count)
        for rows, inside, numbers in self._parts(codes != nodata):
            flat = numbers.astype(np.int64) * len(known) + place[codes[rows][inside]]
            # Pixels without any probability vote too, where nothing else decides
            weight = confidence[rows][inside] + 1e-6
            votes += np.bincount(flat, weight, votes.size).reshape(votes.shape)
            pixels += np.bincount(numbers, minlength=self.count)
        best = known[votes.argmax(axis=1)]
        mean = np.rint(votes.max(axis=1) / np.maximum(pixels, 1)).astype(np.uint8)
        for rows, inside, numbers in self._parts(codes != nodata):
            codes[rows][inside], confidence[rows][inside] = best[numbers], mean[numbers]

    def settle_numbers(self, values: NDArray[np.float32]) -> None:
        """Give all pixels of a field that have data their mean.

        Args:
            values: (height, width), NaN = nodata; changed.
        """
        total, pixels = np.zeros(self.count), np.zeros(self.count)
        for rows, inside, numbers in self._parts(np.isfinite(values)):
            total += np.bincount(numbers, values[rows][inside].astype(np.float64), self.count)
            pixels += np.bincount(numbers, minlength=self.count)
        means = (total / np.maximum(pixels, 1)).astype(np.float32)
        for rows, inside, numbers in self._parts(np.isfinite(values)):
            values[rows][inside] = means[numbers]

    def _parts(
        self, given: NDArray[np.bool_]
    ) -> Iterator[tuple[slice, NDArray[np.bool_], NDArray[np.int32]]]:
        """Strips: their rows, which of their pixels lie in fields and are given, and the numbers of these fields."""
        height, width = self.numbers.shape
        for top in range(0, height, max(1, AT_ONCE // width)):
            rows = slice(top, top + max(1, AT_ONCE // width))
            inside = given[rows] & (self.numbers[rows] >= 0)
            yield rows, inside, self.numbers[rows][inside]


def _number(numbers: NDArray[np.int32], spans: Spans, width: int) -> None:
    """Write the number of each span's shape into its pixels, those of the first shape last."""
    length = spans.stop - spans.start
    first = spans.row * width + spans.start
    order = np.arange(len(spans))[::-1]
    for part in np.split(order, np.flatnonzero(np.diff(np.cumsum(length[order]) // AT_ONCE)) + 1):
        of = np.repeat(part, length[part])
        within = np.arange(len(of)) - np.repeat(np.cumsum(length[part]) - length[part], length[part])
        numbers[first[of] + within] = spans.owner[of]
