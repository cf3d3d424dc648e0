"""The d-pixel tile, the output of TESSERA's own preprocessing: a folder of .npy files and roi.tiff."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError, reason
from tessera_engine.gdal import GDAL_ERRORS, gdal_environment
from tessera_engine.scene import S1_BANDS, S2_BANDS, Dates, Grid, Observations, Window
from tessera_engine.scenes.products import ORBITS
from tessera_engine.scenes.reading.npy import NpyRaster, read_doys

BANDS, MASKS, DOYS, ROI = "bands.npy", "masks.npy", "doys.npy", "roi.tiff"


_SAMPLES = 64
_SAMPLE_BYTES = 4096


def open_folder(folder: Path) -> DPixelTile | None:
    """Open a folder as a d-pixel tile; None where it isn't one.

    Raises:
        InputError: see `DPixelTile`.
    """
    return DPixelTile(folder) if is_tile(folder) else None


def is_tile(folder: Path) -> bool:
    """Whether the folder has a file of a d-pixel tile, even if others are missing."""
    return any((folder / name).exists() for name in (BANDS, MASKS, DOYS))


class DPixelTile:
    """Reads one d-pixel tile; implements `tessera_engine.scene.Reader`."""

    layout = "dpixel"
    period = None
    windows_held = 0

    def __init__(self, folder: Path) -> None:
        """Open the headers of the tile's files and check that they are consistent.

        Raises:
            InputError: a file is missing or damaged, has a wrong dtype or shape, or doesn't match the others.
        """
        self.folder = folder
        self._bands = NpyRaster(folder / BANDS, ("uint16",), (len(S2_BANDS),))
        if not (folder / MASKS).exists():
            raise InputError(
                f"{folder / MASKS} is missing: it marks which observations are clear and which are cloud; "
                "make it from the scene classification (1 = clear)"
            )
        self._masks = NpyRaster(folder / MASKS, ("uint8", "bool"), ())
        if self._masks.shape != self._bands.shape[:3]:
            raise InputError(
                f"{folder / MASKS} has shape {self._masks.shape}, expected {self._bands.shape[:3]} "
                f"as in {BANDS}"
            )
        steps, height, width = self._bands.shape[:3]
        if height == 0 or width == 0:
            raise InputError(f"{folder / BANDS} has shape {self._bands.shape}: no pixels")
        self._s2_doy = read_doys(folder / DOYS, steps, folder / BANDS)
        self._orbits: dict[str, tuple[NpyRaster | None, NDArray[np.int32]]] = {}
        for orbit in ORBITS:
            self._orbits[orbit] = self._open_orbit(orbit, (height, width))
        self.grid = self._read_grid(width, height)
        located = self.grid.crs is not None
        self.warnings = () if located else (f"{ROI} is missing or has no CRS: outputs have no georeference",)

    def _open_orbit(self, orbit: str, size: tuple[int, int]) -> tuple[NpyRaster | None, NDArray[np.int32]]:
        """An orbit's raster and days of year; (None, no days) where both files are missing."""
        path = self.folder / f"sar_{orbit}.npy"
        doy_path = self.folder / f"sar_{orbit}_doy.npy"
        if not path.exists() and not doy_path.exists():
            return None, np.empty(0, np.int32)
        raster = NpyRaster(path, ("int16",), (len(S1_BANDS),))
        if raster.shape[0] and raster.shape[1:3] != size:
            raise InputError(
                f"{path} is {raster.shape[1]} x {raster.shape[2]} pixels (height x width), "
                f"expected {size[0]} x {size[1]} as in {BANDS}"
            )
        return raster, read_doys(doy_path, raster.shape[0], path)

    def _read_grid(self, width: int, height: int) -> Grid:
        path = self.folder / ROI
        if not path.exists():
            return Grid(width, height)
        import rasterio

        try:
            with gdal_environment(), rasterio.open(path) as roi:
                size, crs, transform = (roi.width, roi.height), roi.crs, roi.transform
                # From a truncated file GDAL returns what it finds, perhaps without a CRS, and reports no error.
                # Reading the last pixel does.
                roi.read(1, window=((roi.height - 1, roi.height), (roi.width - 1, roi.width)))
        except GDAL_ERRORS as error:
            why = reason(error)
            raise InputError(f"{path} can't be read as a raster: {why}; copy it again") from None
        if size != (width, height):
            raise InputError(
                f"{path} is {size[1]} x {size[0]} pixels (height x width), expected {height} x {width} "
                f"as in {BANDS}"
            )
        if crs is None:
            return Grid(width, height)
        if not (np.isfinite(transform).all() and transform.determinant):
            raise InputError(
                f"{path} has a transform under which pixels have no area ({tuple(transform)[:6]}); copy it again"
            )
        return Grid(width, height, crs.to_string(), transform)

    @property
    def dates(self) -> Dates:
        """Days of year in the tile."""
        return Dates(
            _unique(self._s2_doy),
            _unique(self._orbits["ascending"][1]),
            _unique(self._orbits["descending"][1]),
        )

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of one pixel's observations."""
        s1_steps = sum(len(doys) for _, doys in self._orbits.values())
        return len(self._s2_doy) * (2 * len(S2_BANDS) + 1) + s1_steps * 2 * len(S1_BANDS)

    def windows(self, region: Window, max_pixels: int) -> Iterator[Window]:
        """Strips of whole rows where they fit into `max_pixels`: a row is one run of bytes in the file."""
        rows = max(1, max_pixels // region.width)
        yield from region.blocks(min(region.width, max_pixels), rows)

    def read(self, window: Window) -> Observations:
        """The observations of a window.

        Raises:
            InputError: a file has become shorter since it was opened.
        """
        s1 = {}
        for orbit, (raster, _) in self._orbits.items():
            if raster is None or raster.shape[0] == 0:
                s1[orbit] = np.empty((0, window.height, window.width, len(S1_BANDS)), np.int16)
            else:
                s1[orbit] = raster.read(window)
        return Observations(
            s2=self._bands.read(window),
            s2_valid=self._masks.read(window).view(np.uint8),
            s2_doy=self._s2_doy,
            s1_ascending=s1["ascending"],
            s1_ascending_doy=self._orbits["ascending"][1],
            s1_descending=s1["descending"],
            s1_descending_doy=self._orbits["descending"][1],
        )

    def sample(self, region: Window, max_pixels: int) -> Observations:
        """Evenly spaced rows of the region; only their middle part where whole rows are too long."""
        width = min(region.width, max_pixels)
        count = max(1, min(region.height, max_pixels // width))
        col = region.col + (region.width - width) // 2
        rows = region.row + (np.arange(count) * region.height + region.height // 2) // count
        parts = [self.read(Window(col, int(row), width, 1)) for row in rows]
        return replace(
            parts[0],
            **{
                name: np.concatenate([getattr(part, name) for part in parts], axis=1)
                for name in ("s2", "s2_valid", "s1_ascending", "s1_descending")
            },
        )

    def fingerprint(self) -> str:
        """Sha256 over the files' names, sizes and a sample of their bytes.

        A sample, because a scene has gigabytes: `_SAMPLES` evenly spaced blocks of `_SAMPLE_BYTES` from each file.
        """
        digest = hashlib.sha256()
        names = [BANDS, MASKS, DOYS, ROI]
        names += [f"sar_{orbit}{part}.npy" for orbit in ORBITS for part in ("", "_doy")]
        for name in names:
            path = self.folder / name
            if not path.exists():
                continue
            size = path.stat().st_size
            digest.update(f"{name} {size}\n".encode())
            with path.open("rb") as file:
                for start in np.linspace(0, max(0, size - _SAMPLE_BYTES), _SAMPLES).astype(int):
                    file.seek(int(start))
                    digest.update(file.read(_SAMPLE_BYTES))
        return digest.hexdigest()


def _unique(doys: NDArray[np.int32]) -> tuple[int, ...]:
    return tuple(int(doy) for doy in np.unique(doys))
