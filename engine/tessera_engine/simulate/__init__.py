"""A made-up scene: a year of Sentinel-2 and Sentinel-1 over a landscape that never was, with the truth beside it.

For trying the engine out, for tests and for training where no data are at hand. It looks like farmland, in the west
of Europe unless another climate is asked for, and behaves like it in the ways that matter to a pixel's time series; it
is no substitute for data.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from affine import Affine
from numpy.lib import format as npy
from numpy.typing import NDArray

from tessera_engine.errors import InputError
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

Progress = Callable[[int, int], None]
"""Called with the dates done and the dates in all."""


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

    The same seed, size, climate and year give the same bytes. The folder appears complete or not at all. A date is in
    memory at a time: memory follows the map, some 120 bytes a pixel.

    Args:
        folder: to make; it must not be there yet.
        size: pixels of 10 m along both sides, or (width, height).
        seed: of everything random, 0 or more.
        progress: told after each date.
        climate: one of `CLIMATES`: where the scene lies, what is sown there, when it grows and how the sky is.
        year: 0 is the first; another one has the same land with other weather, and another crop on some fields.

    Raises:
        InputError: the folder is there already or can't be written, or size, seed, climate or year can't be used.
    """
    width, height = (size, size) if isinstance(size, int) else size
    if not (1 <= width <= MAX_SIZE and 1 <= height <= MAX_SIZE):
        raise InputError(
            f"can't simulate a scene of {width} x {height} pixels: each side must be 1 to {MAX_SIZE}; "
            "give another size"
        )
    if seed < 0:
        raise InputError(f"can't simulate with seed {seed}: it must be 0 or more; give another seed")
    if year < 0:
        raise InputError(f"can't simulate year {year}: it must be 0 or more; give another year")
    if climate not in CLIMATES:
        raise InputError(f"there is no climate '{climate}'; choose from {', '.join(CLIMATES)}")
    if folder.exists():
        raise InputError(
            f"can't simulate into {folder}: it is there already and a new folder was expected; "
            "remove it or give another name"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _write(
                temporary,
                (height, width),
                seed,
                CLIMATES[climate],
                year,
                progress or (lambda done, total: None),
            )
            temporary.chmod(0o755)
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary)
            raise
    except OSError as error:
        raise InputError(f"can't write {folder}: {error.strerror}; choose another place") from None


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
