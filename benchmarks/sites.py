"""Labelled pixels to measure embeddings on: Flanders 2018, and simulated scenes that no model was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.warp import transform
from scipy import ndimage

from tessera_engine.analysis.maps.learn import block_groups
from tessera_engine.formats.vq.tiles import TILE
from tessera_engine.scene import Grid, Observations, Scene
from tessera_engine.scenes import open_scene
from tessera_engine.simulate import simulate
from tessera_export.train.pixels import select_pixels

SIMULATED_SEEDS = (101, 102)
SIMULATED_SIZE = 160
SIMULATED_PIXELS = 3000
SIMULATED_BLOCK = 32
"""Wider than most simulated fields."""

TILE_SEED, TILE_PIXELS = 103, 8000
"""Of the simulated scene that is one tile of the format vq: with more land, and more labels."""

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
        width: pixels across, if these are all pixels of the scene, row by row; 0 if they are some of them.
    """

    name: str
    observations: Observations
    latlon: NDArray[np.float32]
    tasks: tuple[Task, ...]
    width: int = 0

    @property
    def labelled(self) -> NDArray[np.int64]:
        """The pixels that have a label in some task."""
        return np.unique(np.concatenate([task.pixels for task in self.tasks]))

    def observations_of(self, pixels: NDArray[np.int64]) -> Observations:
        """Those of some of the pixels."""
        names = ("s2", "s2_valid", "s1_ascending", "s1_descending")
        chosen = {name: getattr(self.observations, name)[:, pixels] for name in names}
        return replace(self.observations, **chosen)


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
    return Site("Flanders 2018", observations, _latlon(scene.grid, cols, rows), tasks, scene.grid.width)


def simulated(folder: Path) -> Iterator[Site]:
    """Pixels drawn at random from each simulated scene, with the true land cover."""
    for seed in SIMULATED_SEEDS:
        scene, cover, chosen = _simulate(folder, SIMULATED_SIZE, seed, SIMULATED_PIXELS)
        task = _land_cover(cover, chosen)
        observations = select_pixels(scene.reader.read(scene.grid.window), chosen)
        rows, cols = np.divmod(chosen, scene.grid.width)
        labelled = replace(task, pixels=np.arange(len(chosen)))
        yield Site(f"simulated {seed}", observations, _latlon(scene.grid, cols, rows), (labelled,))


def simulated_tile(folder: Path) -> Site:
    """All pixels of a simulated scene that is one tile of the format vq; some are labelled with the true land cover."""
    scene, cover, chosen = _simulate(folder, TILE, TILE_SEED, TILE_PIXELS)
    everywhere = np.arange(cover.size)
    observations = select_pixels(scene.reader.read(scene.grid.window), everywhere)
    latlon = _latlon(scene.grid, *np.divmod(everywhere, TILE)[::-1])
    return Site(f"simulated {TILE_SEED}", observations, latlon, (_land_cover(cover, chosen),), TILE)


def _simulate(folder: Path, size: int, seed: int, labelled: int) -> tuple[Scene, NDArray, NDArray[np.int64]]:
    """A scene, its land cover, and pixels drawn at random."""
    simulate(folder / str(seed), size, seed)
    cover = _raster(folder / str(seed) / "cover.tif")
    chosen = np.random.default_rng(seed).permutation(cover.size)[:labelled]
    return open_scene(folder / str(seed)), cover, np.sort(chosen)


def _land_cover(cover: NDArray, chosen: NDArray[np.int64]) -> Task:
    rows, cols = np.divmod(chosen, cover.shape[1])
    names = cover.ravel()[chosen].astype(str).astype(object)
    return Task("land cover, blocks", chosen, names, block_groups(cols, rows, SIMULATED_BLOCK))


def _raster(path: Path) -> NDArray:
    with rasterio.open(path) as file:
        return file.read(1)


def _latlon(grid: Grid, cols: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    x, y = grid.transform @ np.stack([cols + 0.5, rows + 0.5])
    lon, lat = transform(grid.crs, "EPSG:4326", x, y)
    return np.stack([lat, lon], axis=1).astype(np.float32)
