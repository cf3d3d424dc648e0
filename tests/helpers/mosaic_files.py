"""Writes arrays as the date mosaics of TESSERA's downloader."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from made_up import CRS, ORIGIN
from numpy.typing import NDArray

FOLDERS = ("red", "blue", "green", "nir", "nir08", "rededge1", "rededge2", "rededge3", "swir16", "swir22")
CLEAR, CLOUD = 4, 9


def write_raster(
    path: Path, values: NDArray, transform: Affine = ORIGIN, crs: str | None = CRS, **profile
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype,
        "count": 1,
        "width": width,
        "height": height,
    } | profile
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform) as file:
        file.write(values, 1)
    return path


def day_of(doy: int, year: int = 2021) -> date:
    return date(year, 1, 1) + timedelta(days=int(doy) - 1)


def write_s2_mosaic(
    folder: Path,
    day: date,
    bands: NDArray,
    scl: NDArray,
    transform: Affine = ORIGIN,
    crs: str | None = CRS,
    **profile,
) -> None:
    """One date's bands (height, width, 10) uint16 and classes (height, width) uint8."""
    for b, name in enumerate(FOLDERS):
        path = folder / "data_raw" / name / f"{day}_mosaic.tiff"
        write_raster(path, np.ascontiguousarray(bands[..., b]), transform, crs, **profile)
    write_raster(folder / "data_raw" / "scl" / f"{day}_mosaic.tiff", scl, transform, crs, **profile)


def write_s1_mosaic(
    folder: Path, day: date, orbit: str, codes: NDArray, transform: Affine = ORIGIN, crs: str | None = CRS
) -> None:
    """One date's codes (height, width, 2) int16."""
    for c, name in enumerate(("vv", "vh")):
        path = folder / "data_sar_raw" / f"{day}_{name}_{orbit}.tiff"
        write_raster(path, np.ascontiguousarray(codes[..., c]), transform, crs)


def write_mosaics(
    folder: Path, arrays: dict[str, NDArray], days: dict[str, list[date]] | None = None, **place
) -> Path:
    """Write the arrays of a d-pixel tile as mosaics; `days`: array name -> dates, in 2021 unless given."""
    days = days or {}
    for t, doy in enumerate(arrays["doys"]):
        day = days["doys"][t] if days else day_of(doy)
        scl = np.where(arrays["masks"][t] != 0, CLEAR, CLOUD).astype(np.uint8)
        write_s2_mosaic(folder, day, arrays["bands"][t], scl, **place)
    for orbit in ("ascending", "descending"):
        name = f"sar_{orbit}"
        for t, doy in enumerate(arrays.get(f"{name}_doy", ())):
            day = days[f"{name}_doy"][t] if days else day_of(doy)
            write_s1_mosaic(folder, day, orbit, arrays[name][t], **place)
    return folder
