"""The scene: one place's observations on one grid, read window by window.

A layout is a `Reader`; everything downstream sees only the types of this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray

S2_BANDS = ("B04", "B02", "B03", "B08", "B8A", "B05", "B06", "B07", "B11", "B12")
"""Sentinel-2 bands in TESSERA's order (not by wavelength)."""

S1_BANDS = ("VV", "VH")
"""Sentinel-1 channels in TESSERA's order."""


class Window(NamedTuple):
    """A block of pixels of a grid, in pixel units from its upper left corner."""

    col: int
    row: int
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    def intersection(self, other: Window) -> Window | None:
        """The pixels that both windows have, or None."""
        col, row = max(self.col, other.col), max(self.row, other.row)
        right = min(self.col + self.width, other.col + other.width)
        bottom = min(self.row + self.height, other.row + other.height)
        return Window(col, row, right - col, bottom - row) if right > col and bottom > row else None

    def relative_to(self, other: Window) -> Window:
        """The same pixels, counted from `other`'s upper left corner."""
        return Window(self.col - other.col, self.row - other.row, self.width, self.height)

    def blocks(self, width: int, height: int) -> Iterator[Window]:
        """The window cut into blocks of at most `width` x `height`, row by row."""
        for row in range(self.row, self.row + self.height, height):
            for col in range(self.col, self.col + self.width, width):
                yield Window(
                    col,
                    row,
                    min(width, self.col + self.width - col),
                    min(height, self.row + self.height - row),
                )


@dataclass(frozen=True)
class Grid:
    """A raster grid: size in pixels, and where it lies on Earth if that is known."""

    width: int
    height: int
    crs: str | None = None
    """As `EPSG:32631` or WKT; None when the scene has no georeference."""
    transform: Affine = field(default_factory=Affine.identity)

    @property
    def window(self) -> Window:
        """All of the grid."""
        return Window(0, 0, self.width, self.height)

    def crop(self, window: Window) -> Grid:
        """The grid of a window of this grid."""
        moved = self.transform @ Affine.translation(window.col, window.row)
        return Grid(window.width, window.height, self.crs, moved)


@dataclass(frozen=True)
class Observations:
    """All observations of one window; pixels in row-major order, dates first.

    Attributes:
        s2: (T, height, width, 10) uint16, bands as `S2_BANDS`, reflectance * 10000, offset removed.
        s2_valid: (T, height, width) uint8, non-zero where clear.
        s2_doy: (T,) int32, day of year 1..366.
        s1_ascending: (Ta, height, width, 2) int16, VV and VH in TESSERA's code, 0 = missing.
        s1_ascending_doy: (Ta,) int32.
        s1_descending: (Td, height, width, 2) int16.
        s1_descending_doy: (Td,) int32.
    """

    s2: NDArray[np.uint16]
    s2_valid: NDArray[np.uint8]
    s2_doy: NDArray[np.int32]
    s1_ascending: NDArray[np.int16]
    s1_ascending_doy: NDArray[np.int32]
    s1_descending: NDArray[np.int16]
    s1_descending_doy: NDArray[np.int32]


@dataclass(frozen=True)
class Dates:
    """The days of year (1..366) that a scene has, per modality and orbit, sorted, without doubles."""

    s2: tuple[int, ...]
    s1_ascending: tuple[int, ...]
    s1_descending: tuple[int, ...]


class Reader(Protocol):
    """One layout of a scene on disk."""

    @property
    def layout(self) -> str:
        """The layout's name, as the user would type it."""
        ...

    @property
    def grid(self) -> Grid:
        """The grid on which `read` answers."""
        ...

    @property
    def dates(self) -> Dates:
        """Days of year in the scene."""
        ...

    @property
    def period(self) -> tuple[date, date] | None:
        """First and last day that observations are taken from; None where the layout only has days of year."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What opening the scene found worth saying, a line each; what it has no dates of is left to the guard."""
        ...

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes that one pixel's observations take once read; plans the size of windows."""
        ...

    @property
    def windows_held(self) -> int:
        """How many windows' observations the reader keeps, besides those that it has given; plans memory."""
        ...

    def windows(self, region: Window, max_pixels: int) -> Iterator[Window]:
        """Windows of at most `max_pixels` that cover all of `region` that has data, none twice."""
        ...

    def read(self, window: Window) -> Observations:
        """The observations of a window that `windows` gave, or of a part of one."""
        ...

    def sample(self, region: Window, max_pixels: int) -> Observations:
        """At most `max_pixels` pixels spread over a region, cheaply read: a thinned grid, for a look at the data.

        Raises:
            InputError: there is nothing in the region.
        """
        ...

    def fingerprint(self) -> str:
        """Hex sha256 that changes when the scene's content does."""
        ...


@dataclass(frozen=True)
class Scene:
    """A scene that can be embedded."""

    name: str
    path: str
    reader: Reader

    @property
    def grid(self) -> Grid:
        """The scene's grid."""
        return self.reader.grid
