"""Scenes of six small pieces that lie far apart, so that each is a cell of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from affine import Affine
from made_up import ORIGIN, made_up_arrays, write_roi, write_tile
from mosaic_files import write_mosaics, write_raster
from rasterio.warp import transform

from tessera_engine.simulate import simulate

WEST, EAST = "EPSG:32631", "EPSG:32632"


def write_two_zones(folder: Path, size: int = 24, steps: int = 12, apart: int = 600) -> tuple[Path, Path]:
    """Date mosaics: two in UTM zone 31, and four east of them in zone 32; `apart` in pixels.

    Gives their folder, and a raster whose grid, in zone 31, covers all of them.
    """
    for number in range(6):
        x, y = 705_000 + 10 * apart * (number % 3), 5_600_000 - 10 * apart * (number // 3)
        crs = WEST
        if number % 3:
            crs = EAST
            (x,), (y,) = transform(WEST, EAST, [x], [y])
            x, y = round(x, -1), round(y, -1)
        arrays = made_up_arrays(size, size + 8, steps, seed=number)
        place = Affine(10, 0, x, 0, -10, y)
        write_mosaics(folder / f"piece{number}", arrays, transform=place, crs=crs)
    like = Affine(10, 0, 704_900, 0, -10, 5_600_100)
    grid = np.zeros((apart + size + 40, 2 * apart + size + 60), np.uint8)
    return folder, write_raster(folder.with_name("like.tif"), grid, like, WEST)


def write_six_tiles(folder: Path, size: int = 24, steps: int = 12, apart: int = 600) -> Path:
    """A folder of six d-pixel tiles in one zone."""
    for number in range(6):
        place = ORIGIN @ Affine.translation(7 + apart * (number % 3), apart * (number // 3))
        write_tile(folder / f"tile{number}", made_up_arrays(size, size + 8, steps, seed=number), place)
    return folder


def write_six_simulated_tiles(folder: Path, size: int = 64) -> tuple[Path, Path]:
    """Two folders of three simulated d-pixel tiles: in UTM zone 31, and in zone 32.

    In each one tile lies on a corner of four cells, one on an edge of two, and one within a cell.
    """
    places = ((0, 0), (512 - size // 2, 512 - size // 4), (1024 - size // 2, 100))
    zones = []
    for zone, crs in enumerate((WEST, EAST)):
        zones.append(folder / f"zone{31 + zone}")
        for number, (col, row) in enumerate(places):
            tile = zones[-1] / f"tile{number}"
            tile.parent.mkdir(parents=True, exist_ok=True)
            simulate(tile, size, seed=3 * zone + number)
            write_roi(tile / "roi.tiff", size, size, ORIGIN @ Affine.translation(col, row), crs)
    return zones[0], zones[1]
