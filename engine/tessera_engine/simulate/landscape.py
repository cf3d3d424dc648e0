"""The landscape: which pixel belongs to which parcel, and what grows there.

Blocks of land are cells of a jittered, slightly warped Voronoi diagram. Farmland blocks are cut into strips along
a direction of their own, woods fill whole blocks, villages are cut into small lots. A river, lakes, roads and
hedges lie on top.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tessera_engine.simulate import covers
from tessera_engine.simulate.climate import Climate
from tessera_engine.simulate.noise import Stream, fractal_noise, generator, smooth_noise

BLOCK = 34.0
"""Pixels across a block of land."""
LOT = 4.5
"""Pixels across a lot in a village."""
WOODLAND = 0.17
"""Share of the land that is wood."""
MEADOWS = 14
"""Pixels from the middle of the river within which most fields are grass."""

LOT_SHARES = {covers.BUILT_UP: 0.62, covers.GRASS: 0.24, covers.DECIDUOUS: 0.14}

# kinds of parcel; the kind is the first part of a parcel's key
_FIELD, _WOOD, _LOT, _HEDGE, _ROAD, _RIVER, _LAKE = range(7)


@dataclass(frozen=True)
class Landscape:
    """A map of parcels.

    Attributes:
        parcel: (height, width) int32, index of the pixel's parcel.
        neighbour: (height, width) int32, the parcel that shares a border pixel; the same parcel inside.
        share: (height, width) float32, the neighbour's part of the pixel's area, 0..0.45.
        cover: (parcels,) uint8, code of the parcel's land cover.
    """

    parcel: NDArray[np.int32]
    neighbour: NDArray[np.int32]
    share: NDArray[np.float32]
    cover: NDArray[np.uint8]


@dataclass(frozen=True)
class _Voronoi:
    """Nearest and second nearest site of every pixel, and the distance to the border between them in pixels."""

    nearest: NDArray[np.int32]
    second: NDArray[np.int32]
    border: NDArray[np.float32]
    sites: NDArray[np.float32]
    """(sites, 2) row and column."""

    def site_pixels(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Index of the pixel that each site is in, or the nearest one on the map."""
        height, width = self.nearest.shape
        row, col = self.sites.astype(np.intp).T
        return np.clip(row, 0, height - 1), np.clip(col, 0, width - 1)


def _voronoi(
    rng: np.random.Generator, row: NDArray[np.float32], col: NDArray[np.float32], cell: float
) -> _Voronoi:
    """A Voronoi diagram of one site a lattice cell, at the positions (row, col)."""
    low = np.floor([row.min() / cell, col.min() / cell]).astype(int) - 2
    high = np.floor([row.max() / cell, col.max() / cell]).astype(int) + 3
    count = high - low
    corner = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
    sites = ((corner + rng.uniform(0.1, 0.9, corner.shape)) * cell).astype(np.float32).reshape(-1, 2)
    home_row = np.floor(row / np.float32(cell)).astype(np.int32) - low[0]
    home_col = np.floor(col / np.float32(cell)).astype(np.int32) - low[1]
    nearest = np.zeros(row.shape, np.int32)
    second = np.zeros(row.shape, np.int32)
    nearest_d = np.full(row.shape, np.inf, np.float32)
    second_d = np.full(row.shape, np.inf, np.float32)
    for i in range(-2, 3):
        for j in range(-2, 3):
            site = (home_row + i) * np.int32(count[1]) + (home_col + j)
            d = (row - sites[site, 0]) ** 2 + (col - sites[site, 1]) ** 2
            first = d < nearest_d
            later = ~first & (d < second_d)
            second = np.where(first, nearest, np.where(later, site, second))
            second_d = np.where(first, nearest_d, np.where(later, d, second_d))
            nearest = np.where(first, site, nearest)
            nearest_d = np.where(first, d, nearest_d)
    apart = np.hypot(*(sites[nearest] - sites[second]).transpose(2, 0, 1))
    return _Voronoi(nearest, second, (second_d - nearest_d) / (2 * apart), sites)


def draw_covers(
    rng: np.random.Generator, shares: Mapping[covers.Cover, float], size: int
) -> NDArray[np.uint8]:
    """Random cover codes in the given shares."""
    codes = np.array([cover.code for cover in shares], np.uint8)
    weights = np.array(list(shares.values()))
    return rng.choice(codes, size, p=weights / weights.sum())


def _key(
    kind: int,
    number: int | NDArray[np.int32],
    strip: int | NDArray[np.int64] = 0,
    cut: int | NDArray[np.int64] = 0,
) -> np.int64 | NDArray[np.int64]:
    """One number a parcel; `number` (of a block, a lot or a lake) below 2**24, `strip` and `cut` within +-2**15."""
    return ((np.int64(kind) << 24 | number) << 32) | ((strip + 2**15) << 16) | (cut + 2**15)


def _river(
    rng: np.random.Generator, row: NDArray[np.float32], col: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Distance in pixels to the middle of a river that crosses the map."""
    height, width = row.shape
    if rng.random() < 0.5:
        row, col, height, width = col, row, width, height
    phase = rng.uniform(0, 2 * np.pi, 3)
    middle = rng.uniform(0.25, 0.75) * width + rng.normal(0, 0.15) * (row - height / 2)
    slope = np.zeros_like(row)
    for wavelength, amplitude, start in zip((190.0, 70.0, 33.0), (16.0, 6.0, 2.0), phase, strict=True):
        angle = row * (2 * np.pi / wavelength) + start
        middle = middle + amplitude * np.sin(angle)
        slope += amplitude * 2 * np.pi / wavelength * np.cos(angle)
    distance: NDArray[np.float32] = (np.abs(col - middle) / np.hypot(1, slope)).astype(np.float32)
    return distance


def _woods(rng: np.random.Generator, blocks: _Voronoi) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where there is wood (height, width), and of which blocks it is coniferous (sites,).

    Woods follow blocks, with ragged edges, clearings and copses.
    """
    height, width = blocks.nearest.shape
    site = blocks.site_pixels()
    count = len(blocks.sites)
    wild = fractal_noise(rng, height, width, (110, 45))[site] + 0.3 * rng.standard_normal(count)
    wildness = wild[blocks.nearest] + 0.28 * fractal_noise(rng, height, width, (16, 6))
    conifer = fractal_noise(rng, height, width, (90,))[site] + 0.5 * rng.standard_normal(count) > 0
    return wildness >= np.quantile(wildness, 1 - WOODLAND), conifer


def _villages(
    rng: np.random.Generator, row: NDArray[np.float32], col: NDArray[np.float32], ragged: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Where villages are: roughly round, one in five square kilometres, at least one."""
    height, width = row.shape
    village = np.zeros((height, width), bool)
    for _ in range(max(1, round(height * width / 220**2))):
        radius = min(rng.uniform(22, 46), 0.25 * min(height, width))
        middle_row, middle_col = rng.uniform(0.1, 0.9, 2) * (height, width)
        village |= np.hypot(row - middle_row, 1.4 * (col - middle_col)) + ragged < radius
    return village


def _fields(
    rng: np.random.Generator, row: NDArray[np.float32], col: NDArray[np.float32], blocks: _Voronoi
) -> NDArray[np.int64]:
    """Keys of fields: each block is cut into strips along one direction, similar in neighbouring blocks."""
    height, width = row.shape
    count = len(blocks.sites)
    direction = rng.uniform(0, np.pi) + 0.6 * smooth_noise(rng, height, width, 70)[blocks.site_pixels()]
    direction += rng.choice([0, np.pi / 2], count) + rng.normal(0, 0.12, count)
    strip_width = np.clip(rng.lognormal(np.log(12), 0.4, count), 6, 26)
    strip_length = strip_width * rng.uniform(1.4, 3.5, count)
    offset = rng.uniform(0, 1, (count, 2))
    b = blocks.nearest
    cos, sin = np.cos(direction)[b], np.sin(direction)[b]
    strip = np.floor((col * cos + row * sin) / strip_width[b] + offset[b, 0]).astype(np.int64)
    # 0.618: successive strips are cut at places far apart
    along = (row * cos - col * sin) / strip_length[b] + offset[b, 1] + 0.618 * strip
    return np.asarray(_key(_FIELD, b, strip, np.floor(along).astype(np.int64)))


def _borders(key: NDArray[np.int64], blocks: _Voronoi) -> NDArray[np.int64]:
    """Hedges and lanes along the borders of blocks: what lies on a border depends on the pair of blocks."""
    b = blocks.nearest
    pair = np.minimum(b, blocks.second) * np.int64(7919) + np.maximum(b, blocks.second)
    luck = (pair * 2654435761 % 2**32) / 2**32
    key = np.where((blocks.border < 0.65) & (luck < 0.3), _key(_HEDGE, b), key)
    return np.where((blocks.border < 0.55) & (luck > 0.6), _key(_ROAD, b), key)


def _lakes(
    rng: np.random.Generator,
    key: NDArray[np.int64],
    row: NDArray[np.float32],
    col: NDArray[np.float32],
    ragged: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Lakes, one in nine square kilometres, at least one; its middle may lie outside the map."""
    height, width = row.shape
    for lake in range(max(1, round(height * width / 300**2))):
        radius = min(rng.uniform(6, 18), 0.12 * min(height, width))
        middle_row, middle_col = rng.uniform(0, 1, 2) * (height, width)
        wet = np.hypot(row - middle_row, col - middle_col) + 0.6 * ragged < radius
        key = np.where(wet, _key(_LAKE, lake), key)
    return key


def draw_landscape(seed: int, height: int, width: int, climate: Climate) -> Landscape:
    """Make up a landscape of `height` x `width` pixels of 10 m."""
    rng = generator(seed, Stream.LAYOUT)
    row, col = np.mgrid[0:height, 0:width].astype(np.float32)
    bent_row = row + 2.5 * smooth_noise(rng, height, width, 40)
    bent_col = col + 2.5 * smooth_noise(rng, height, width, 40)
    blocks = _voronoi(rng, bent_row, bent_col, BLOCK)
    lots = _voronoi(rng, row, col, LOT)
    wood, conifer = _woods(rng, blocks)
    ragged = 5 * fractal_noise(rng, height, width, (24, 9))
    village = _villages(rng, row, col, ragged)

    key = _fields(rng, bent_row, bent_col, blocks)
    key = np.where(wood, _key(_WOOD, blocks.nearest), key)
    key = np.where(village, _key(_LOT, lots.nearest), key)
    key = _borders(key, blocks)
    river = _river(rng, row, col)
    key = np.where(river < rng.uniform(0.8, 2.0), _key(_RIVER, 0), key)
    key = _lakes(rng, key, row, col, ragged)

    keys, inverse = np.unique(key, return_inverse=True)
    parcel: NDArray[np.int32] = inverse.reshape(height, width).astype(np.int32)
    by_river = np.bincount(parcel.ravel(), river.ravel() < MEADOWS) / np.bincount(parcel.ravel())
    cover = _covers(rng, keys, by_river, conifer, climate)
    neighbour = _neighbour(parcel)
    share = np.where(neighbour == parcel, 0, rng.uniform(0, 0.45, parcel.shape)).astype(np.float32)
    return Landscape(parcel, neighbour, share, cover)


def _covers(
    rng: np.random.Generator,
    keys: NDArray[np.int64],
    by_river: NDArray[np.float64],
    conifer: NDArray[np.bool_],
    climate: Climate,
) -> NDArray[np.uint8]:
    """What grows on each parcel (parcels,); there is more grass by the river."""
    kind, number = keys >> 56, keys >> 32 & 0xFFFFFF
    size = len(keys)
    meadow = rng.random(size) < 0.7 * by_river
    field = np.where(meadow, covers.GRASS.code, draw_covers(rng, climate.fields, size))
    lot = draw_covers(rng, LOT_SHARES, size)
    # only a wood's number is always a block's
    is_conifer = conifer[np.where(kind == _WOOD, number, 0)]
    wood = np.where(is_conifer, covers.CONIFER.code, covers.DECIDUOUS.code)
    cover: NDArray[np.uint8] = np.select(
        [kind == _FIELD, kind == _WOOD, kind == _LOT, kind == _HEDGE, kind == _ROAD],
        [field, wood, lot, covers.DECIDUOUS.code, covers.BUILT_UP.code],
        covers.OPEN_WATER.code,
    ).astype(np.uint8)
    return cover


def _neighbour(parcel: NDArray[np.int32]) -> NDArray[np.int32]:
    """The parcel of the first pixel above, left, below or right that lies in another one; else the pixel's own."""
    neighbour = parcel.copy()
    here = np.s_[1:], np.s_[:-1]
    for first, second in (here, here[::-1]):
        for axis in (0, 1):
            to = (first, np.s_[:]) if axis == 0 else (np.s_[:], first)
            of = (second, np.s_[:]) if axis == 0 else (np.s_[:], second)
            neighbour[to] = np.where(neighbour[to] == parcel[to], parcel[of], neighbour[to])
    return neighbour
