"""The d-pixel tile, the output of TESSERA's own preprocessing: a folder of .npy files and roi.tiff."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError, reason
from tessera_engine.files.inside import inside
from tessera_engine.gdal import GDAL_ERRORS, gdal_environment, raster_crs, raster_reader
from tessera_engine.scene import S1_BANDS, S2_BANDS, Dates, Days, Grid, Observations, Problem, Window
from tessera_engine.scenes.metadata.listing import is_of_system
from tessera_engine.scenes.metadata.tile_dates import period_in_file, period_of_year
from tessera_engine.scenes.period import Period, days_on, year_period
from tessera_engine.scenes.products import ORBITS, Unusable
from tessera_engine.scenes.reading.blocks import diagonal, tile_side
from tessera_engine.scenes.reading.fingerprint import SAMPLE_BYTES, add_file
from tessera_engine.scenes.reading.npy import NpyRaster, read_doys
from tessera_engine.scenes.unused import beside_tiles, lines

BANDS, MASKS, DOYS, ROI, DATES = "bands.npy", "masks.npy", "doys.npy", "roi.tiff", "dates.json"
NAMES = (BANDS, MASKS, DOYS, ROI, *(f"sar_{orbit}{part}.npy" for orbit in ORBITS for part in ("", "_doy")))
"""The files of a tile that its fingerprint covers."""
COVER = "cover.tif"
"""True land cover of a simulated tile; not read."""
FILES = (*NAMES, DATES, COVER)
"""All files of a tile."""
_PRODUCTS = (".zip", ".safe", ".nc", ".nc4", ".tif", ".json", ".geojson")

_SAMPLES = 64


def open_folder(folder: Path) -> DPixelTile | None:
    """Open a folder as a d-pixel tile; None where it isn't one.

    Raises:
        InputError: see `DPixelTile`.
    """
    return DPixelTile(folder) if is_tile(folder) else None


def is_tile(folder: Path) -> bool:
    """Whether the folder has a file of a d-pixel tile, even if others are missing; radar alone is a tile too."""
    return has_optical(folder) or _has_radar_alone(folder)


def has_optical(folder: Path) -> bool:
    """Whether the folder has a file of a d-pixel tile's Sentinel-2."""
    return any((folder / name).exists() for name in (BANDS, MASKS, DOYS))


def _has_radar_alone(folder: Path) -> bool:
    """Whether the folder has a tile's radar, and nothing that may be products: these are read without the radar."""
    if not any((folder / f"sar_{orbit}.npy").exists() for orbit in ORBITS):
        return False
    others = [entry for entry in folder.iterdir() if entry.name not in FILES and not is_of_system(entry.name)]
    return not any(entry.is_dir() or entry.suffix.lower() in _PRODUCTS for entry in others)


class _Optical(NamedTuple):
    """The files of Sentinel-2, and which of their dates are used: all for None."""

    bands: NpyRaster
    masks: NpyRaster
    doys: NDArray[np.int32]
    steps: NDArray[np.int64] | None = None


class _Radar(NamedTuple):
    """The file of an orbit, None where it has none, and which of its dates are used: all for None."""

    raster: NpyRaster | None
    doys: NDArray[np.int32]
    steps: NDArray[np.int64] | None = None


class DPixelTile:
    """Reads one d-pixel tile; implements `tessera_engine.scene.Reader`."""

    layout = "dpixel"
    windows_held = bytes_held = 0

    def __init__(self, folder: Path) -> None:
        """Open the headers of the tile's files and check that they are consistent.

        Raises:
            InputError: a file is missing or damaged, has a wrong dtype or shape, or doesn't match the others.
        """
        self.folder = folder
        self._refuse_links()
        self._optical = self._open_optical()
        self._orbits: dict[str, _Radar] = {}
        for orbit in ORBITS:
            self._orbits[orbit] = self._open_orbit(orbit)
        height, width = self._size()
        self.grid = self._read_grid(width, height)
        self._notes = []
        if self.grid.crs is None:
            self._notes.append(f"{ROI} is missing or has no CRS: outputs have no georeference")
        self.period = self._read_period()
        self.bounds: Period | None = None

    def _open_optical(self) -> _Optical | None:
        """Bands, masks and days of Sentinel-2; None where all three files are missing."""
        folder = self.folder
        if not any((folder / name).exists() for name in (BANDS, MASKS, DOYS)):
            return None
        bands = NpyRaster(folder / BANDS, ("uint16",), (len(S2_BANDS),))
        if not (folder / MASKS).exists():
            raise InputError(
                f"{folder / MASKS} is missing: it marks which observations are clear and which are cloud; "
                "make it from the scene classification (1 = clear)"
            )
        masks = NpyRaster(folder / MASKS, ("uint8", "bool"), ())
        if masks.shape != bands.shape[:3]:
            raise InputError(
                f"{folder / MASKS} has shape {masks.shape}, expected {bands.shape[:3]} as in {BANDS}"
            )
        steps, height, width = bands.shape[:3]
        if height == 0 or width == 0:
            raise InputError(f"{folder / BANDS} has shape {bands.shape}: no pixels")
        return _Optical(bands, masks, read_doys(folder / DOYS, steps, folder / BANDS))

    def _refuse_links(self) -> None:
        for path in map(self.folder.joinpath, FILES):
            if path.is_symlink() and not inside(self.folder, path):
                raise InputError(
                    f"{path} is a link that leads out of the scene folder; replace it by a copy of the file"
                )

    def _size(self) -> tuple[int, int]:
        """Height and width of the tile."""
        if self._optical is not None:
            return self._optical.bands.shape[1], self._optical.bands.shape[2]
        rasters = [radar.raster for radar in self._orbits.values()]
        shapes = {raster.shape[1:3] for raster in rasters if raster is not None and raster.shape[0]}
        if len(shapes) != 1 or 0 in next(iter(shapes)):
            found = " and ".join(f"{height} x {width}" for height, width in sorted(shapes)) or "no dates"
            raise InputError(
                f"{self.folder} has radar alone (no {BANDS}), with {found} in its sar_*.npy, expected one size"
            )
        return next(iter(shapes))[0], next(iter(shapes))[1]

    def _open_orbit(self, orbit: str) -> _Radar:
        """An orbit's raster and days of year; none of both where both files are missing."""
        path = self.folder / f"sar_{orbit}.npy"
        doy_path = self.folder / f"sar_{orbit}_doy.npy"
        if not path.exists() and not doy_path.exists():
            return _Radar(None, np.empty(0, np.int32))
        raster = NpyRaster(path, ("int16",), (len(S1_BANDS),))
        size = None if self._optical is None else self._optical.bands.shape[1:3]
        if size is not None and raster.shape[0] and raster.shape[1:3] != size:
            raise InputError(
                f"{path} is {raster.shape[1]} x {raster.shape[2]} pixels (height x width), "
                f"expected {size[0]} x {size[1]} as in {BANDS}"
            )
        return _Radar(raster, read_doys(doy_path, raster.shape[0], path))

    def _read_grid(self, width: int, height: int) -> Grid:
        path = self.folder / ROI
        if not path.exists():
            return Grid(width, height)
        try:
            with gdal_environment(), raster_reader(path) as roi:
                size, crs, transform = (roi.width, roi.height), raster_crs(roi), roi.transform
                # From a truncated file GDAL returns what it finds, perhaps without a CRS, and reports no error.
                # Reading the last pixel does.
                roi.read(1, window=((roi.height - 1, roi.height), (roi.width - 1, roi.width)))
        except GDAL_ERRORS as error:
            why = reason(error)
            raise InputError(f"{path} can't be read as a raster: {why}; copy it again") from None
        if size != (width, height):
            raise InputError(
                f"{path} is {size[1]} x {size[0]} pixels (height x width), expected {height} x {width} "
                f"as in {BANDS if self._optical is not None else 'sar_*.npy'}"
            )
        if crs is None or transform.is_identity:  # without a geotransform it has no place either
            return Grid(width, height)
        if not (np.isfinite(transform).all() and transform.determinant):
            raise InputError(
                f"{path} has a transform under which pixels have no area ({tuple(transform)[:6]}); copy it again"
            )
        return Grid(width, height, crs.to_string(), transform)

    @cached_property
    def unused(self) -> tuple[Problem, ...]:
        """What else lies in the tile's folder."""
        return beside_tiles(self.folder, [self.folder], FILES)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line where the tile has no place on Earth, and one for each product beside it."""
        return (*self._notes, *lines(self.unused))

    @property
    def s2_doy(self) -> NDArray[np.int32]:
        """(T,) int32, days of year of Sentinel-2."""
        return np.empty(0, np.int32) if self._optical is None else self._optical.doys

    def in_year(self, year: int) -> DPixelTile:
        """The same tile, of a year that the user declares.

        Raises:
            InputError: the year contradicts the tile's days or its `dates.json`.
        """
        tile = copy(self)
        days = [day for each in dataclasses.astuple(self.dates) for day in each]
        tile.period = period_of_year(self.folder, days, year, self.period)
        tile.bounds = year_period(year)
        return tile

    def in_period(self, first: date, last: date) -> DPixelTile:
        """The tile with its observations from the first to the last day.

        Raises:
            InputError: the year of the tile isn't known, or there is no observation in this time.
        """
        if self.period is None:
            raise InputError(
                f"{self.folder} has days of year without a year, so a season of it is not known; give year= as well"
            )
        tile = copy(self)
        kept = []
        if self._optical is not None:
            days, steps = _within(self._optical.doys, self.period[0], first, last)
            tile._optical = self._optical._replace(doys=self._optical.doys[steps], steps=steps)
            kept.append(days)
        tile._orbits = {}
        for orbit, radar in self._orbits.items():
            days, steps = _within(radar.doys, self.period[0], first, last)
            tile._orbits[orbit] = radar._replace(doys=radar.doys[steps], steps=steps)
            kept.append(days)
        used = np.concatenate(kept)
        if not len(used):
            raise InputError(
                f"no observation of {self.folder} is between {first} and {last}; it has observations from "
                f"{self.period[0]} to {self.period[1]}"
            )
        tile.period = date.fromordinal(int(used.min())), date.fromordinal(int(used.max()))
        tile.bounds = first, last
        return tile

    def _read_period(self) -> Period | None:
        try:
            return period_in_file(self.folder / DATES, self.s2_doy.tolist())
        except Unusable as error:
            self._notes.append(f"{self.folder / DATES} {error}: the year of the tile is not known")
            return None

    @property
    def dates(self) -> Dates:
        """Days of year in the tile."""
        return Dates(
            _unique(self.s2_doy),
            _unique(self._orbits["ascending"].doys),
            _unique(self._orbits["descending"].doys),
        )

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of one pixel's observations."""
        s1_steps = sum(len(radar.doys) for radar in self._orbits.values())
        return len(self.s2_doy) * (2 * len(S2_BANDS) + 1) + s1_steps * 2 * len(S1_BANDS)

    def windows(self, region: Window, max_pixels: int) -> Iterator[Window]:
        """Strips of whole rows where they fit into `max_pixels`: a row is one run of bytes in the file."""
        rows = max(1, max_pixels // region.width)
        yield from region.blocks(min(region.width, max_pixels), rows)

    def read(self, window: Window) -> Observations:
        """The observations of a window.

        Raises:
            InputError: a file has become shorter since it was opened.
        """
        if self._optical is not None:
            s2 = self._optical.bands.read(window, self._optical.steps)
            valid = self._optical.masks.read(window, self._optical.steps).view(np.uint8)
            np.minimum(valid, 1, out=valid)  # whatever marks a clear observation, it doesn't mean water
        else:
            s2 = np.empty((0, window.height, window.width, len(S2_BANDS)), np.uint16)
            valid = np.empty(s2.shape[:3], np.uint8)
        s1 = {}
        for orbit, radar in self._orbits.items():
            if radar.raster is None or len(radar.doys) == 0:
                s1[orbit] = np.empty((0, window.height, window.width, len(S1_BANDS)), np.int16)
            else:
                s1[orbit] = radar.raster.read(window, radar.steps)
        ascending, descending = (self._orbits[orbit].doys for orbit in ORBITS)
        days = None
        if self.period is not None:
            days = Days(*(days_on(doys, self.period[0]) for doys in (self.s2_doy, ascending, descending)))
        return Observations(
            s2=s2,
            s2_valid=valid,
            s2_doy=self.s2_doy,
            s1_ascending=s1["ascending"],
            s1_ascending_doy=ascending,
            s1_descending=s1["descending"],
            s1_descending_doy=descending,
            days=days,
        )

    def sample(self, region: Window, max_pixels: int) -> Observations:
        """Evenly spaced rows of the region; only their middle part where whole rows are too long."""
        width = min(region.width, max_pixels)
        count = max(1, min(region.height, max_pixels // width))
        col = region.col + (region.width - width) // 2
        rows = region.row + (np.arange(count) * region.height + region.height // 2) // count
        parts = [self.read(Window(col, int(row), width, 1)) for row in rows]
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts], axis=1)
            for name in ("s2", "s2_valid", "s1_ascending", "s1_descending")
        }
        return replace(parts[0], **arrays)

    def blocks(self, region: Window, count: int) -> Iterator[tuple[Window, Observations]]:
        """Squares along the diagonal, which touch every row and column of a region that isn't too large."""
        for window in diagonal(region, tile_side(self.bytes_per_pixel), count):
            yield window, self.read(window)

    fingerprinted_bytes = _SAMPLES * SAMPLE_BYTES

    def files(self) -> Iterator[Path]:
        """The tile's files."""
        yield from (self.folder / name for name in NAMES if (self.folder / name).exists())

    def fingerprint(self) -> str:
        """Sha256 over the files' names, sizes and a sample of their bytes."""
        digest = hashlib.sha256()
        for path in self.files():
            add_file(digest, path, path.name, _SAMPLES)
        return digest.hexdigest()


def _within(
    doys: NDArray[np.int32], begins: date, first: date, last: date
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The days of year that are in a time: as ordinals, and their positions; `begins` is the tile's first day."""
    days = days_on(doys, begins)
    steps = np.flatnonzero((days >= first.toordinal()) & (days <= last.toordinal()))
    return days[steps], steps


def _unique(doys: NDArray[np.int32]) -> tuple[int, ...]:
    return tuple(int(doy) for doy in np.unique(doys))
