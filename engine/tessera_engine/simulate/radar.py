"""Sentinel-1: backscatter of the parcels on a day, in TESSERA's code."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tessera_engine.simulate import covers
from tessera_engine.simulate.covers import COVERS
from tessera_engine.simulate.ground import Ground
from tessera_engine.simulate.noise import NoiseLoop, Stream, generator
from tessera_engine.simulate.parcels import Parcels

LOOKS = 5.0
"""Equivalent number of looks: speckle has a gamma distribution of this shape."""
EDGE_SHARE = 0.12
"""Share of the dates on which the edge of the swath crosses the scene."""


def backscatter(
    rng: np.random.Generator, parcels: Parcels, day: int, orbit: int, moisture: float
) -> NDArray[np.float32]:
    """(P, 2) float32 gamma0 in dB, VV and VH, of the parcels on one date.

    The water cloud model: a canopy scatters by itself and hides the soil behind exp(-attenuation * leaf area).
    """
    state = parcels.on(day)
    wet = np.clip(moisture + parcels.wet, 0, 1)
    # mornings (descending) have dew on the leaves; dry leaves hardly scatter
    water = (1 - 0.75 * state.dry) * (1.08 if orbit else 1.0)
    attenuation = parcels.of_cover([cover.attenuation for cover in COVERS])
    soil_seen = np.exp(-attenuation * state.leaf_area * water)[:, None]
    soil = -13.0 + 5.5 * wet + parcels.rough
    soil_db = np.stack([soil, soil - 8.3 + 0.4 * parcels.rough], axis=1)
    power = soil_seen * 10 ** (soil_db / 10) + (1 - soil_seen) * 10 ** (parcels.backscatter / 10)
    db = 10 * np.log10(power)
    # leaves don't matter here: houses stay the same all year, woods nearly so, and water depends on the wind
    built, water_body = parcels.cover == covers.BUILT_UP.code, parcels.cover == covers.OPEN_WATER.code
    wood = (parcels.cover == covers.DECIDUOUS.code) | (parcels.cover == covers.CONIFER.code)
    leaves = np.minimum(state.leaf_area[:, None] / 5, 1)
    db = np.where(built[:, None], parcels.backscatter + 1.5 * parcels.rough[:, None], db)
    db = np.where(wood[:, None], parcels.backscatter + leaves * np.array([-0.6, 0.7]) + 0.8 * moisture, db)
    db = np.where(water_body[:, None], parcels.backscatter + rng.normal(0, 2.5), db)
    incidence = -0.5 if orbit else 0.0
    db += parcels.orbit[:, orbit : orbit + 1] + incidence + rng.normal(0, 0.25, 2)
    return db.astype(np.float32)


def _speckle(normal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Speckle in dB from normals: a gamma variable's cube root is nearly normal (Wilson and Hilferty, 1931)."""
    root = normal * np.float32(1 / (3 * np.sqrt(LOOKS)))
    root += np.float32(1 - 1 / (9 * LOOKS))
    np.log10(np.maximum(root, np.float32(0.1), out=root), out=root)
    root *= 30
    return root


def s1_date(
    seed: int, orbit: int, date: int, day: int, moisture: float, ground: Ground
) -> Iterator[NDArray[np.int16]]:
    """One Sentinel-1 date, from the top down, as (rows, width, 2) int16 codes (2 * dB + 50) * 200; 0 = missing.

    Args:
        seed: of the scene.
        orbit: 0 ascending, 1 descending.
        date: number of the date in its orbit.
        day: its day of year.
        moisture: of the soil, 0..1.
        ground: what the scene is made of.
    """
    width = ground.shape[1]
    rng = generator(seed, Stream.RADAR, orbit, date)
    codes = (2 * backscatter(rng, ground.parcels, day, orbit, moisture) + 50) * 200
    noise_at = int(rng.integers(NoiseLoop.LENGTH))
    # the swath's edge is slanted, as the orbit is
    outside = rng.random() < EDGE_SHARE
    edge = rng.uniform(0.65, 0.95) * width
    for rows in ground.strips():
        values = ground.spread(codes, rows)
        values += 400 * 4 * ground.brightness[rows].reshape(-1, 1)
        values += 400 * _speckle(ground.noise.read(noise_at + rows.start * width * 2, values.shape))
        # a pixel that exists is never 0, which stands for missing
        np.clip(values, 1, 32767, out=values)
        strip = values.astype(np.int16).reshape(-1, width, 2)
        if outside:
            row = np.arange(rows.start, rows.stop)[:, None]
            strip[np.arange(width) > edge + 0.2 * (row if orbit else -row)] = 0
        yield strip
