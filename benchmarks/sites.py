"""Labelled pixels to measure embeddings on: Flanders 2018, and simulated scenes that no model was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.warp import transform
from scipy import ndimage

from tessera_engine.analysis.maps.learn import block_groups
from tessera_engine.scene import Grid, Observations
from tessera_engine.scenes import open_scene
from tessera_engine.simulate import simulate
from tessera_export.train.pixels import select_pixels

SIMULATED_SEEDS = (101, 102)
SIMULATED_SIZE = 160
SIMULATED_PIXELS = 3000
SIMULATED_BLOCK = 32
"""Wider than most simulated fields."""

FLANDERS_BLOCK = 16
"""160 m. The scene is 64 pixels wide: larger blocks would leave so few that folds miss classes."""

FEWEST_PARCELS = 3
"""Crops with fewer are left out: what is one parcel can't be learned from another."""


@dataclass(frozen=True)
class Site:
    """Pixels of one scene.

    Attributes:
        name: for the report.
        observations: (T, N, bands) of N pixels.
        latlon: (N, 2) degrees.
        tasks: what is to be told.
    """

    name: str
    observations: Observations
    latlon: NDArray[np.float32]
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Task:
    """Labels of some of a site's pixels.

    Attributes:
        name: for the report.
        pixels: (M,) of the site.
        y: (M,) class names.
        groups: (M,) the block or parcel, which is held out as a whole.
    """

    name: str
    pixels: NDArray[np.int64]
    y: NDArray[np.object_]
    groups: NDArray[np.int64]

    @property
    def size(self) -> str:
        """How much land the labels are of."""
        classes, counts = np.unique(self.y.astype(str), return_counts=True)
        each = ", ".join(f"{name} {count}" for name, count in zip(classes, counts, strict=True))
        return f"{len(np.unique(self.groups))} groups; pixels by class: {each}"


def flanders(folder: Path) -> Site:
    """All pixels of the scene: land cover by blocks, and crops by blocks and by parcels."""
    scene = open_scene(folder)
    cover, crop = (_raster(folder / f"labels_{name}.tif") for name in ("lc", "ct"))
    rows, cols = (each.ravel() for each in np.indices(cover.shape))
    blocks = block_groups(cols, rows, FLANDERS_BLOCK)
    parcels = np.zeros(crop.shape, np.int64)
    chosen = np.zeros(crop.shape, bool)
    for code in np.unique(crop[crop > 0]):
        found, count = ndimage.label(crop == code)
        if count >= FEWEST_PARCELS:
            parcels += np.where(found > 0, found + parcels.max(), 0)
            chosen |= crop == code
    pixels = np.flatnonzero(chosen)
    crops = crop.ravel()[pixels].astype(str).astype(object)
    everywhere = np.arange(cover.size)
    tasks = (
        Task("land cover, blocks", everywhere, cover.ravel().astype(str).astype(object), blocks),
        Task("crops, blocks", pixels, crops, blocks[pixels]),
        Task("crops, parcels", pixels, crops, parcels.ravel()[pixels]),
    )
    observations = select_pixels(scene.reader.read(scene.grid.window), everywhere)
    return Site("Flanders 2018", observations, _latlon(scene.grid, cols, rows), tasks)


def simulated(folder: Path) -> Iterator[Site]:
    """Pixels drawn at random from each simulated scene, with the true land cover."""
    for seed in SIMULATED_SEEDS:
        simulate(folder / str(seed), SIMULATED_SIZE, seed)
        scene = open_scene(folder / str(seed))
        cover = _raster(folder / str(seed) / "cover.tif").ravel()
        chosen = np.sort(np.random.default_rng(seed).permutation(cover.size)[:SIMULATED_PIXELS])
        rows, cols = np.divmod(chosen, scene.grid.width)
        task = Task(
            "land cover, blocks",
            np.arange(len(chosen)),
            cover[chosen].astype(str).astype(object),
            block_groups(cols, rows, SIMULATED_BLOCK),
        )
        observations = select_pixels(scene.reader.read(scene.grid.window), chosen)
        yield Site(f"simulated {seed}", observations, _latlon(scene.grid, cols, rows), (task,))


def _raster(path: Path) -> NDArray:
    with rasterio.open(path) as file:
        return file.read(1)


def _latlon(grid: Grid, cols: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    x, y = grid.transform @ np.stack([cols + 0.5, rows + 0.5])
    lon, lat = transform(grid.crs, "EPSG:4326", x, y)
    return np.stack([lat, lon], axis=1).astype(np.float32)
