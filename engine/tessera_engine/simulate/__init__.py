"""A made-up scene: a year of Sentinel-2 and Sentinel-1 over an invented landscape, with its true land cover.

For trying out the engine, for tests, and for training where no data are available. It looks like farmland, in western
Europe unless another climate is given, and behaves like farmland in the ways that matter to a pixel's time series. It
does not replace real data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from affine import Affine
from numpy.lib import format as npy
from numpy.typing import NDArray

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.durable import FAILED_DISK
from tessera_engine.files.nearby import unknown
from tessera_engine.files.result import already_made, result_folder
from tessera_engine.gdal import GDAL_ERRORS
from tessera_engine.progress import Progress
from tessera_engine.simulate import weather
from tessera_engine.simulate.climate import CLIMATES, Climate
from tessera_engine.simulate.covers import COVERS
from tessera_engine.simulate.ground import draw_ground
from tessera_engine.simulate.noise import Stream, generator
from tessera_engine.simulate.optical import s2_date
from tessera_engine.simulate.radar import s1_date
from tessera_engine.simulate.years import in_year, seed_of_year

MAX_SIZE = 10980
"""Pixels along one side of a Sentinel-2 tile."""
PIXEL = 10.0
"""Metres."""


def simulate(
    folder: Path,
    size: int | tuple[int, int],
    seed: int = 0,
    progress: Progress | None = None,
    climate: str = "atlantic",
    year: int = 0,
) -> None:
    """Write a made-up scene as a d-pixel tile.

    The folder gets bands.npy (70, H, W, 10) uint16, masks.npy (70, H, W) uint8, doys.npy (70,) uint16,
    sar_ascending.npy and sar_descending.npy (T, H, W, 2) int16 with their `_doy.npy` (T,) uint16, roi.tiff, and
    cover.tif, the land cover that the scene was made from (uint8 codes, names in the band's tags and colours in its
    colour table). About 2 kB a pixel on disk. Every band is made at 10 m.

    The same seed, size, climate and year give the same bytes. The folder appears complete or not at all. One date is in
    memory at a time, about 120 bytes a pixel.

    Args:
        folder: the folder to make; it must not exist.
        size: pixels of 10 m along both sides, or (width, height).
        seed: of everything random, 0 or more.
        progress: called with dates done and in all, after each date.
        climate: one of `CLIMATES`: where the scene lies, what is grown there and when, and how cloudy it is.
        year: 0 is the first; others have the same land with other weather, and other crops on some fields.

    Raises:
        InputError: the folder exists or can't be written, or size, seed, climate or year are out of range.
    """
    width, height = (size, size) if isinstance(size, int) else size
    if not (1 <= width <= MAX_SIZE and 1 <= height <= MAX_SIZE):
        raise InputError(
            f"can't simulate a scene of {width} x {height} pixels: each side must be 1 to {MAX_SIZE}; "
            "give another size="
        )
    if seed < 0:
        raise InputError(f"seed={seed} can't be used: it must be 0 or more")
    if year < 0:
        raise InputError(f"year={year} can't be used: it must be 0 or more")
    if climate not in CLIMATES:
        raise unknown("climate", climate, CLIMATES)
    scene = {"size": (width, height), "seed": seed, "climate": climate, "year": year}
    identity = {name: repr(value) for name, value in scene.items()} | {"command": "simulate"}
    if already_made(folder, identity):
        return
    if folder.exists():
        raise InputError(
            f"can't simulate into {folder}: it is there already; remove it, or choose another folder="
        )
    try:
        with result_folder(folder, overwrite=False, identity=identity) as made:
            _write(
                made, (height, width), seed, CLIMATES[climate], year, progress or (lambda done, total: None)
            )
    except GDAL_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        failed = TesseraError if getattr(error, "errno", None) in (None, *FAILED_DISK) else InputError
        raise failed(f"can't write {folder}: {reason}; choose another folder=") from None


def _write(
    folder: Path, shape: tuple[int, int], seed: int, climate: Climate, year: int, progress: Progress
) -> None:
    height, width = shape
    ground = draw_ground(seed, height, width, climate)
    if year:
        ground = in_year(ground, seed, year)
    place = {"crs": climate.crs, "transform": _place(seed, climate)}
    seed = seed_of_year(seed, year)
    moisture = weather.soil_moisture(seed, climate)
    s2_days = weather.s2_days(seed, climate)
    orbits = {name: weather.s1_days(seed, i) for i, name in enumerate(("ascending", "descending"))}
    total = len(s2_days) + sum(map(len, orbits.values()))
    done = 0

    np.save(folder / "doys.npy", s2_days)
    with (folder / "bands.npy").open("wb") as bands, (folder / "masks.npy").open("wb") as masks:
        _header(bands, np.uint16, (len(s2_days), height, width, 10))
        _header(masks, np.uint8, (len(s2_days), height, width))
        for date, day in enumerate(s2_days.tolist()):
            for part in s2_date(seed, date, day, float(moisture[day]), ground):
                bands.write(part.bands.tobytes())
                masks.write(part.clear.tobytes())
            done += 1
            progress(done, total)
    for orbit, (name, days) in enumerate(orbits.items()):
        np.save(folder / f"sar_{name}_doy.npy", days)
        with (folder / f"sar_{name}.npy").open("wb") as codes:
            _header(codes, np.int16, (len(days), height, width, 2))
            for date, day in enumerate(days.tolist()):
                for strip in s1_date(seed, orbit, date, day, float(moisture[day]), ground):
                    codes.write(strip.tobytes())
                done += 1
                progress(done, total)
    _write_raster(folder / "roi.tiff", np.ones((height, width), np.uint8), place)
    _write_raster(folder / "cover.tif", ground.landscape.cover[ground.landscape.parcel], place, describe=True)


def _header(file: BinaryIO, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    """Start an .npy file whose values are then written in order."""
    header = {"descr": npy.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)


def _place(seed: int, climate: Climate) -> Affine:
    """Somewhere within 20 km of the climate's place, on the 10 m grid."""
    east, north = generator(seed, Stream.LAYOUT, 1).integers(-2000, 2001, 2) * PIXEL
    return Affine(PIXEL, 0, climate.place[0] + east, 0, -PIXEL, climate.place[1] + north)


def _write_raster(
    path: Path, values: NDArray[np.uint8], place: dict[str, Any], describe: bool = False
) -> None:
    import rasterio

    height, width = values.shape
    profile: dict[str, Any] = {"driver": "GTiff", "dtype": "uint8", "count": 1, "compress": "deflate"}
    with rasterio.open(path, "w", **profile, width=width, height=height, **place) as file:
        file.write(values, 1)
        if describe:
            file.set_band_description(1, "land cover")
            file.update_tags(1, **{f"class_{cover.code}": cover.name for cover in COVERS})
            file.write_colormap(1, {cover.code: (*cover.colour, 255) for cover in COVERS})
