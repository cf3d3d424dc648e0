"""The scene: the observations of one place on one grid, read window by window.

Each layout on disk has a `Reader`; all other rooms use only the types of this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from html import escape
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from affine import Affine
from numpy.typing import NDArray

S2_BANDS = ("B04", "B02", "B03", "B08", "B8A", "B05", "B06", "B07", "B11", "B12")
"""Sentinel-2 bands in TESSERA's order, which is not by wavelength."""

S1_BANDS = ("VV", "VH")
"""Sentinel-1 channels in TESSERA's order."""

_FAR, _TINY = 1e12, 1e-24
"""Coordinates beyond this, and pixels smaller than this, are in no CRS on Earth, in metres or degrees."""

_WIDTH = 80
"""Characters in a line of `repr`."""


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

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns, to index an array of the grid."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    def intersection(self, other: Window) -> Window | None:
        """The pixels that are in both windows, or None."""
        col, row = max(self.col, other.col), max(self.row, other.row)
        right = min(self.col + self.width, other.col + other.width)
        bottom = min(self.row + self.height, other.row + other.height)
        return Window(col, row, right - col, bottom - row) if right > col and bottom > row else None

    def relative_to(self, other: Window) -> Window:
        """The same pixels, counted from the upper left corner of `other`."""
        return Window(self.col - other.col, self.row - other.row, self.width, self.height)

    def blocks(self, width: int, height: int) -> Iterator[Window]:
        """The window cut into blocks of at most `width` x `height` pixels, row by row."""
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
    """A raster grid: its size in pixels, and its place on Earth if that is known."""

    width: int
    height: int
    crs: str | None = None
    """As `EPSG:32631` or WKT; None when the scene has no georeference."""
    transform: Affine = field(default_factory=Affine.identity)

    @property
    def window(self) -> Window:
        """The window of the whole grid."""
        return Window(0, 0, self.width, self.height)

    @property
    def has_area(self) -> bool:
        """Whether its pixels have an area, which a transform from a damaged file may not give them."""
        t = self.transform
        edges = all(abs(value) < _FAR for value in (t.a, t.b, t.c, t.d, t.e, t.f))  # False for NaN too
        return edges and abs(t.determinant) > _TINY

    def crop(self, window: Window) -> Grid:
        """The grid of a window of this grid."""
        moved = self.transform @ Affine.translation(window.col, window.row)
        return Grid(window.width, window.height, self.crs, moved)


class Days(NamedTuple):
    """The days of a window's observations, which a day of year without its year doesn't give.

    Attributes:
        s2: (T,) int32, proleptic Gregorian ordinals, see `datetime.date.toordinal`.
        s1_ascending: (Ta,) int32.
        s1_descending: (Td,) int32.
    """

    s2: NDArray[np.int32]
    s1_ascending: NDArray[np.int32]
    s1_descending: NDArray[np.int32]


@dataclass(frozen=True)
class Observations:
    """All observations of one window; dates first, pixels in row-major order.

    Attributes:
        s2: (T, height, width, 10) uint16, bands as in `S2_BANDS`, reflectance * 10000, baseline offset removed.
        s2_valid: (T, height, width) uint8, non-zero where clear: 2 where a scene classification says water, else 1.
        s2_doy: (T,) int32, days of year 1..366.
        s1_ascending: (Ta, height, width, 2) int16, VV and VH in TESSERA's code, 0 = missing.
        s1_ascending_doy: (Ta,) int32, days of year 1..366.
        s1_descending: (Td, height, width, 2) int16, as `s1_ascending`.
        s1_descending_doy: (Td,) int32, days of year 1..366.
        days: the same days with their years; None where the scene doesn't record its year.
        covered: (height, width) bool, the pixels on which a file of the scene lies; None: all.
    """

    s2: NDArray[np.uint16]
    s2_valid: NDArray[np.uint8]
    s2_doy: NDArray[np.int32]
    s1_ascending: NDArray[np.int16]
    s1_ascending_doy: NDArray[np.int32]
    s1_descending: NDArray[np.int16]
    s1_descending_doy: NDArray[np.int32]
    days: Days | None = None
    covered: NDArray[np.bool_] | None = None

    def until(self, last: date) -> Observations:
        """The observations up to a day, as views where they are in the order of time.

        Raises:
            ValueError: the days aren't known.
        """
        if self.days is None:
            raise ValueError("the days of these observations aren't known")
        s2, ascending, descending = (_first_steps(days, last) for days in self.days)
        return Observations(
            s2=self.s2[s2],
            s2_valid=self.s2_valid[s2],
            s2_doy=self.s2_doy[s2],
            s1_ascending=self.s1_ascending[ascending],
            s1_ascending_doy=self.s1_ascending_doy[ascending],
            s1_descending=self.s1_descending[descending],
            s1_descending_doy=self.s1_descending_doy[descending],
            days=Days(
                self.days.s2[s2], self.days.s1_ascending[ascending], self.days.s1_descending[descending]
            ),
            covered=self.covered,
        )


def _first_steps(days: NDArray[np.int32], last: date) -> slice | NDArray[np.int64]:
    """Which dates are not after a day."""
    steps = np.flatnonzero(days <= last.toordinal())
    return slice(len(steps)) if len(steps) == 0 or steps[-1] == len(steps) - 1 else steps


@dataclass(frozen=True)
class Dates:
    """The days of year (1..366) with observations, for Sentinel-2 and each orbit of Sentinel-1; sorted and unique."""

    s2: tuple[int, ...]
    s1_ascending: tuple[int, ...]
    s1_descending: tuple[int, ...]


class Problem(NamedTuple):
    """A file, folder or product of the scene folder that is not used, and the reason.

    Attributes:
        source: the file or folder.
        reason: why, so that "`source` is not used: `reason`" reads well.
        lost: whether it may hold observations of the scene, which are missing without it; False for what can't hold
            any, such as a text.
    """

    source: Path
    reason: str
    lost: bool = True


class Reader(Protocol):
    """Reads a scene of one layout from disk."""

    @property
    def layout(self) -> str:
        """The layout's name, or several joined by `+`."""
        ...

    @property
    def grid(self) -> Grid:
        """The scene's grid, to which windows refer."""
        ...

    @property
    def dates(self) -> Dates:
        """Days of year in the scene."""
        ...

    @property
    def period(self) -> tuple[date, date] | None:
        """First and last day of the observations; None where the layout only has days of year."""
        ...

    @property
    def bounds(self) -> tuple[date, date] | None:
        """First and last day of the time that was asked for; None where all observations are used."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What the user should know after the scene was opened, one line each; the guard reports missing dates."""
        ...

    @property
    def unused(self) -> Sequence[Problem]:
        """Everything in the scene folder that is not used, each once. `warnings` has the first ones that are lost."""
        ...

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes that one pixel's observations need in memory; the size of windows is planned with it."""
        ...

    @property
    def windows_held(self) -> int:
        """Number of windows whose observations the reader keeps in memory; memory is planned with it."""
        ...

    @property
    def bytes_held(self) -> int:
        """Bytes that reading takes whatever the size of the windows: the largest blocks of the files, and a cache."""
        ...

    def windows(self, region: Window, max_pixels: int) -> Iterator[Window]:
        """Windows of at most `max_pixels` pixels; together they cover all data in `region`, without overlaps."""
        ...

    def read(self, window: Window) -> Observations:
        """The observations of a window that `windows` returned, or of a part of one.

        Raises:
            InputError: a file is damaged, or has changed since the scene was opened.
        """
        ...

    def sample(self, region: Window, max_pixels: int) -> Observations:
        """The observations of at most `max_pixels` pixels of a region, chosen so that reading them is fast.

        Raises:
            InputError: the scene has no data in the region.
        """
        ...

    def blocks(self, region: Window, count: int) -> Iterator[tuple[Window, Observations]]:
        """Up to `count` blocks of a region, chosen so that reading them is fast; all have the same dates.

        Pixels that are neighbours in a block are neighbours on the ground, unlike in a sample.

        Raises:
            InputError: a file is damaged, or has changed since the scene was opened.
        """
        ...

    def files(self) -> Iterator[Path]:
        """Every file that observations are read from."""
        ...

    @property
    def fingerprinted_bytes(self) -> int:
        """Bytes that `fingerprint` reads of a file; of larger files it reads samples."""
        ...

    def fingerprint(self) -> str:
        """Hexadecimal sha256 over facts about the scene, and samples of its files' content.

        Recorded in outputs, so the same scene must give the same one in every version.
        """
        ...


@runtime_checkable
class Yearless(Protocol):
    """A reader whose files only have days of year, so that the user can declare the year."""

    def in_year(self, year: int) -> Reader:
        """The same observations, of this year.

        Raises:
            InputError: the year contradicts what the files say.
        """
        ...

    def in_period(self, first: date, last: date) -> Reader:
        """The observations from the first to the last day.

        Raises:
            InputError: the year isn't known, or there is no observation in this time.
        """
        ...


@runtime_checkable
class Named(Protocol):
    """A reader that knows which satellites its observations are from, and on which orbits."""

    def satellites(self) -> Mapping[str, Mapping[int, str]]:
        """For each field of `Dates` the satellite of each day of year, such as S1A; days of several aren't in it."""
        ...

    def relative_orbits(self) -> Mapping[str, Mapping[int, int]]:
        """For each field of `Dates` the relative orbit of each day of year; days of several aren't in it."""
        ...


@dataclass(frozen=True)
class Scene:
    """A scene that can be embedded.

    Attributes:
        name: the folder's name.
        path: the folder, as it was given.
        reader: reads the observations.
    """

    name: str
    path: str
    reader: Reader

    @property
    def grid(self) -> Grid:
        """The scene's grid."""
        return self.reader.grid

    def __repr__(self) -> str:
        lines = ["<tessera_engine.Scene>", *(f"  {name}: {value}" for name, value in self._facts().items())]
        return "\n".join(_shortened(line, _WIDTH) for line in lines)

    def _repr_html_(self) -> str:
        """A table, for notebooks."""
        rows = "".join(
            f'<tr><th style="text-align: left">{name}</th>'
            f'<td style="text-align: left">{escape(value)}</td></tr>'
            for name, value in self._facts().items()
        )
        return f"<table><caption>tessera_engine.Scene</caption><tbody>{rows}</tbody></table>"

    def _facts(self) -> dict[str, str]:
        """What a user wants to see first, by name."""
        grid, dates, period = self.grid, self.reader.dates, self.reader.period
        bounds = self.reader.bounds
        return {
            "name": self.name,
            "layout": self.reader.layout,
            "size": f"{grid.width} x {grid.height} pixels",
            "CRS": _crs_in_words(grid.crs),
            "Sentinel-2": _dates_in_words(dates.s2),
            "Sentinel-1 ascending": _dates_in_words(dates.s1_ascending),
            "Sentinel-1 descending": _dates_in_words(dates.s1_descending),
            "period": f"{period[0]} to {period[1]}" if period else "one year; the files don't contain which",
            **({"asked for": f"{bounds[0]} to {bounds[1]}"} if bounds else {}),
        }


def _dates_in_words(days: Sequence[int]) -> str:
    if not days:
        return "no dates"
    return f"{len(days)} {'dates' if len(days) > 1 else 'date'}, days of year {days[0]} to {days[-1]}"


def _crs_in_words(crs: str | None) -> str:
    """A CRS without an EPSG code has a long definition as WKT, of which the name is enough."""
    if crs is None:
        return "none: no georeference"
    name = crs.split('"')[1:2]  # WKT is `PROJCS["<name>",...`
    return name[0] if name else crs


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
