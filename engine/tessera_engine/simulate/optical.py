"""Sentinel-2: the parcels as seen from above on one day, through the clouds of that day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tessera_engine.simulate import covers
from tessera_engine.simulate.climate import ATLANTIC, Climate
from tessera_engine.simulate.covers import COVERS, EXTINCTION
from tessera_engine.simulate.ground import Ground
from tessera_engine.simulate.noise import NoiseLoop, Stream, fractal_noise, generator, smooth_noise
from tessera_engine.simulate.parcels import Parcels

SHADOW_ROWS, SHADOW_COLS = 14, 6
"""How far south and east of its shadow a cloud is, in pixels: the sun is in the south-east at the overpass."""

BY_WAVELENGTH = np.array([2, 0, 1, 6, 7, 3, 4, 5, 8, 9])
"""Rank of each band by wavelength."""


@dataclass(frozen=True)
class Sky:
    """One date's clouds.

    Attributes:
        cloud: (height, width) float32, opacity 0..1.
        shadow: (height, width) float32, share of the light that clouds take from the ground, 0..1.
        clear: (height, width) uint8, 1 where the mask says clear; it misses thin clouds.
    """

    cloud: NDArray[np.float32]
    shadow: NDArray[np.float32]
    clear: NDArray[np.uint8]


def draw_sky(rng: np.random.Generator, height: int, width: int, day: int, climate: Climate = ATLANTIC) -> Sky:
    """Make up the clouds of one date: overcast, clear or patches."""
    luck = rng.random()
    overcast = climate.through_the_year(climate.overcast, day)
    cloudless = climate.through_the_year(climate.cloudless, day)
    cover = 1.0 if luck < overcast else 0.0 if luck < overcast + cloudless else rng.beta(0.8, 0.9)
    # a layer whose thickness varies; where it is thinner than `gap` the sky is blue
    tall, wide = height + SHADOW_ROWS, width + SHADOW_COLS
    thickness = fractal_noise(rng, tall, wide, (90, 40, 18, 8, 3.5), persistence=0.62)
    if cover == 1:
        gap = -4.0
    elif cover == 0:
        gap = 9.0
    else:
        gap = float(np.quantile(thickness, 1 - cover))
    density = rng.uniform(1.2, 4.0)
    cloud = 1 - np.exp(-np.maximum(thickness - np.float32(gap), 0) * np.float32(density))
    # some dates have thin cloud that the mask misses, and on a few it misses much more
    veil = rng.uniform(0.1, 0.4) if rng.random() < 0.09 else 0.0
    veil_shape = 1 + 0.4 * smooth_noise(rng, tall, wide, 60)
    here, casting = np.s_[:height, :width], np.s_[SHADOW_ROWS:, SHADOW_COLS:]
    shadow = 0.65 * cloud[casting]
    seen = rng.uniform(0.5, 0.98) if rng.random() < 0.06 else rng.uniform(0.05, 0.22)
    clear = (cloud[here] < seen) & (shadow < 0.25)
    return Sky(
        np.maximum(cloud, np.clip(veil * veil_shape, 0, 1))[here].astype(np.float32),
        shadow.astype(np.float32),
        clear.astype(np.uint8),
    )


@dataclass(frozen=True)
class Surface:
    """Spectra of all parcels on one date: (P, 10) float32.

    Attributes:
        reflectance: reflectance * 10000 as the satellite sees it under clear sky.
        vigour: how much it changes per relative change of leaf area.
    """

    reflectance: NDArray[np.float32]
    vigour: NDArray[np.float32]


def draw_surface(rng: np.random.Generator, parcels: Parcels, day: int, moisture: float) -> Surface:
    """Spectra of the parcels on one date, with the date's haze, illumination and view.

    Leaves hide the ground as exp(-k * leaf area) with one k a band.
    """
    state = parcels.on(day)
    dry = np.minimum(state.dry, 1)[:, None]
    canopy = parcels.canopy * (1 - dry) + np.array(covers.STRAW, np.float32) * dry
    canopy += (np.array(covers.FLOWERS, np.float32) - canopy) * state.bloom[:, None]
    is_soil = parcels.of_cover([cover.ground in (covers.LOAM, covers.SAND) for cover in COVERS])
    wet = np.clip(moisture + parcels.wet, 0, 1) * is_soil
    ground = parcels.ground * (
        1 - wet[:, None] * np.linspace(0.38, 0.55, 10, dtype=np.float32)[BY_WAVELENGTH]
    )
    depth = EXTINCTION * state.leaf_area[:, None]
    seen_ground = np.exp(-depth)
    climate = parcels.climate
    low_sun = 1 - climate.sun_height(day) / climate.sun_height(climate.solstice())
    light = 1 - parcels.of_cover([cover.roughness for cover in COVERS])[:, None] * low_sun
    # the two relative orbits look from east and west, and canopies reflect differently
    view = 1 + np.float32(0.035 * rng.choice([-1, 1])) * (1 - seen_ground)
    light = light * view * np.exp(rng.normal(0, 0.025) + rng.normal(0, 0.012, 10)).astype(np.float32)
    haze = covers.HAZE * np.float32(rng.lognormal(np.log(70), 0.8) - 40)
    return Surface(
        (ground * seen_ground + canopy * (1 - seen_ground)) * light + haze,
        depth * seen_ground * (canopy - ground) * light,
    )


@dataclass(frozen=True)
class Strip:
    """Some rows of one Sentinel-2 date: (rows, width, 10) uint16 and (rows, width) uint8."""

    bands: NDArray[np.uint16]
    clear: NDArray[np.uint8]


def s2_date(seed: int, date: int, day: int, moisture: float, ground: Ground) -> Iterator[Strip]:
    """One Sentinel-2 date, from the top down.

    Args:
        seed: of the scene.
        date: number of the date in the scene.
        day: its day of year.
        moisture: of the soil, 0..1.
        ground: what the scene is made of.
    """
    rng, climate = generator(seed, Stream.OPTICAL, date), ground.parcels.climate
    surface = draw_surface(rng, ground.parcels, day, moisture)
    noise_at = int(rng.integers(NoiseLoop.LENGTH))
    sky = draw_sky(generator(seed, Stream.CLOUDS, date), *ground.shape, day, climate)
    cloud_light = np.array(covers.CLOUD, np.float32) * np.float32(0.6 + 0.6 * climate.sun_height(day))
    for rows in ground.strips():
        values = ground.spread(surface.reflectance, rows)
        change = np.take(surface.vigour, ground.landscape.parcel[rows].ravel(), axis=0)
        change *= ground.vigour[rows].reshape(-1, 1)
        values += change
        values *= 1 + ground.brightness[rows].reshape(-1, 1)
        noise = ground.noise.read(noise_at + rows.start * ground.shape[1] * 10, values.shape)
        np.multiply(values, 0.018, out=change)
        change += 12
        change *= noise
        values += change
        cloud, shadow = sky.cloud[rows].reshape(-1, 1), sky.shadow[rows].reshape(-1, 1)
        if shadow.any():
            values *= 1 - shadow
        if cloud.any():
            # thick clouds are brighter than thin ones
            np.multiply(cloud_light, 0.75 + 0.35 * cloud, out=change)
            change -= values
            change *= cloud
            values += change
        np.rint(values, out=values)
        np.clip(values, 1, 20000, out=values)
        yield Strip(values.astype(np.uint16).reshape(-1, ground.shape[1], 10), sky.clear[rows])
