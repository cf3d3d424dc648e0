"""The ground: everything about a scene that stays the same through the year, ready to be spread over pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tessera_engine.simulate.climate import Climate
from tessera_engine.simulate.covers import COVERS
from tessera_engine.simulate.landscape import Landscape, draw_landscape
from tessera_engine.simulate.noise import NoiseLoop, Stream, fractal_noise, generator
from tessera_engine.simulate.parcels import Parcels, draw_parcels

STRIP_PIXELS = 1 << 12
"""Pixels computed at once: ten bands of them fit into a core's cache. The result doesn't depend on it."""


@dataclass(frozen=True)
class Ground:
    """A landscape, its parcels and the texture within them.

    Attributes:
        landscape: the map of parcels.
        parcels: what grows on them.
        vigour: (height, width) float32, relative leaf area, mean 0.
        brightness: (height, width) float32, relative reflectance, mean 0.
        noise: of the instruments.
    """

    landscape: Landscape
    parcels: Parcels
    vigour: NDArray[np.float32]
    brightness: NDArray[np.float32]
    noise: NoiseLoop

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.landscape.parcel.shape
        return height, width

    def strips(self) -> Iterator[slice]:
        """Rows to compute at once, from the top down."""
        height, width = self.shape
        rows = max(1, STRIP_PIXELS // width)
        for top in range(0, height, rows):
            yield slice(top, min(top + rows, height))

    def spread(self, values: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
        """Parcels' values (P, K) on the pixels of some rows (pixels, K); border pixels are mixed."""
        land = self.landscape
        pixels = np.take(values, land.parcel[rows].ravel(), axis=0)
        border = np.flatnonzero(land.share[rows])
        share = land.share[rows].ravel()[border, None]
        mixed = np.take(values, land.neighbour[rows].ravel()[border], axis=0) * share
        mixed += np.take(pixels, border, axis=0) * (1 - share)
        pixels[border] = mixed
        return pixels


def draw_ground(seed: int, height: int, width: int, climate: Climate) -> Ground:
    """Make up the ground of a scene."""
    landscape = draw_landscape(seed, height, width, climate)
    rng = generator(seed, Stream.TEXTURE)
    vigour = np.float32(0.16) * fractal_noise(rng, height, width, (18, 6, 2.5), persistence=0.7)
    amount = np.array([cover.texture for cover in COVERS], np.float32)[landscape.cover - 1]
    brightness = np.float32(0.6) * fractal_noise(rng, height, width, (9, 3))
    brightness += np.float32(0.8) * rng.standard_normal((height, width), np.float32)
    brightness *= amount[landscape.parcel]
    longest = 10 * max(STRIP_PIXELS, width)
    parcels = draw_parcels(seed, landscape.cover, climate)
    return Ground(landscape, parcels, vigour, brightness, NoiseLoop(rng, longest))
