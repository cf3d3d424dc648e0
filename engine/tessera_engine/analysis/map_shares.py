"""What a map of classes alone says of its pixels: the share of each class, and how sure the map is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.class_map import ClassMap
from tessera_engine.errors import InputError
from tessera_engine.gdal import GDAL_ERRORS, gdal_environment, gdal_reason, raster_reader
from tessera_engine.scene import Grid, Window

CONFIDENCE, PROBABILITIES = "confidence.tif", "probabilities.tif"
"""Beside a map: the probability of each pixel's class, and of each class, in percent."""

STRIP_PIXELS = 1_000_000
"""That are read at a time."""

NO_CONFIDENCE = 255
"""Stands for no data in both files."""


@dataclass(frozen=True)
class MapShares:
    """A map that takes the place of embeddings: pixels are alike that have the same classes in the same shares.

    Attributes:
        map: the classes.
        dim: values of a pixel, a share for each class.
    """

    map: ClassMap
    dim: int

    @classmethod
    def of(cls, map: ClassMap) -> MapShares:
        """The shares of a map.

        Raises:
            InputError: a file of the map can't be read.
        """
        with _readers(map) as (probabilities, _):
            bands = None if probabilities is None else probabilities(Window(0, 0, 1, 1)).shape[0]
        return cls(map, bands or len(map.names))

    @property
    def grid(self) -> Grid:
        """Its pixels."""
        return self.map.grid

    @property
    def path(self) -> Path:
        """Its folder, or its file."""
        return self.map.path

    def pixels(self, cols: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(N, classes) the shares of pixels, 0 to 1; NaN without data.

        From `probabilities.tif` if the map has it; without it the map's class has its confidence, and all other classes
        have the same part of the rest.

        Raises:
            InputError: a file of the map can't be read.
        """
        found = np.full((len(cols), self.dim), np.nan, np.float32)
        with _readers(self.map) as (probabilities, confidence):
            for window in self._strips():
                here = np.flatnonzero((rows >= window.row) & (rows < window.row + window.height))
                if not len(here):
                    continue
                at = rows[here] - window.row, cols[here]
                values, there = self.map.read(window)
                shares: NDArray[np.float32]
                if probabilities is not None:
                    shares = (probabilities(window)[(slice(None), *at)].T / 100).astype(np.float32)
                else:
                    shares = self._spread(values[at], confidence(window)[0][at])
                found[here] = np.where(there[at][:, np.newaxis], shares, np.float32(np.nan))
        return found

    def margins(self, window: Window) -> NDArray[np.uint8]:
        """How sure the map is of each pixel of a window, (height, width) from 0 (a tie of all classes) to 255.

        Raises:
            InputError: `confidence.tif` can't be read.
        """
        with _readers(self.map) as (_, confidence):
            percent = confidence(window)[0].astype(np.float32)
        tie = 100 / max(2, len(self.map.names))
        margins: NDArray[np.uint8] = (
            np.rint(255 * (percent - tie) / (100 - tie)).clip(0, 255).astype(np.uint8)
        )
        return margins

    def _spread(self, values: NDArray[np.int64], percent: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, classes) shares from the class of each pixel and its confidence."""
        share = np.where(percent == NO_CONFIDENCE, 1, percent / np.float32(100)).astype(np.float32)
        rest = (1 - share) / max(1, self.dim - 1)
        of = np.array(list(self.map.names)) == values[:, np.newaxis]
        return np.where(of, share[:, np.newaxis], rest[:, np.newaxis]).astype(np.float32)

    def _strips(self) -> Iterator[Window]:
        width = self.grid.width
        return self.grid.window.blocks(width, max(1, STRIP_PIXELS // (width * self.dim)))


@contextmanager
def _readers(map: ClassMap) -> Iterator[tuple[Read | None, Read]]:
    """Functions that read a window of `probabilities.tif` (None: there is none) and of `confidence.tif`."""
    sure, shares = map.path.with_name(CONFIDENCE), map.path.with_name(PROBABILITIES)
    try:
        with gdal_environment(), raster_reader(sure) as second:
            if not shares.is_file():
                yield None, _reading(second)
                return
            with raster_reader(shares) as first:
                yield _reading(first), _reading(second)
    except GDAL_ERRORS as error:
        raise InputError(
            f"can't read how sure the map {map.path} is, {sure}: {gdal_reason(error)}; give a folder of map"
        ) from None


Read = Callable[[Window], NDArray[Any]]
"""Reads all bands of a window, (bands, height, width)."""


def _reading(file: Any) -> Read:
    from rasterio.windows import Window as Where

    def read(window: Window) -> NDArray[Any]:
        found: NDArray[Any] = file.read(window=Where(*window))
        return found

    return read
