"""Places that the simulator doesn't have, from published spectra and backscatter of their surfaces: what is far from
European fields and still right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tessera_engine.scene import Dates, Grid, Observations

PIXELS = 1600

# B04 B02 B03 B08 B8A B05 B06 B07 B11 B12
SAND = (3100, 1400, 2100, 3900, 4000, 3500, 3700, 3850, 5000, 4600)
GRAVEL = (1650, 1000, 1300, 2000, 2080, 1780, 1880, 1970, 2700, 2400)
LAVA = (760, 600, 680, 950, 1000, 820, 870, 920, 1250, 1180)
SALT = (5900, 5200, 5600, 6000, 6000, 5950, 5980, 6000, 2500, 1700)
SNOW = (8900, 9000, 9000, 8300, 8100, 8700, 8500, 8400, 900, 700)
SEA = (150, 420, 330, 90, 80, 120, 95, 90, 40, 30)
LAGOON = (520, 700, 950, 160, 140, 480, 250, 200, 60, 40)
RAINFOREST = (240, 220, 430, 3300, 3500, 800, 2600, 3200, 1500, 620)
SAVANNA_DRY = (1500, 750, 1100, 2300, 2500, 1800, 2050, 2250, 3700, 2700)
SAVANNA_GREEN = (420, 330, 650, 3200, 3350, 1000, 2500, 3050, 2000, 1000)
ROOFS = (1500, 1250, 1350, 1900, 2000, 1600, 1750, 1850, 2200, 2050)
CONCRETE = (2300, 1800, 2050, 2550, 2650, 2400, 2470, 2550, 2900, 2600)
TUNDRA = (550, 350, 520, 2100, 2300, 850, 1650, 2000, 1900, 1050)
CLOUD = (6100, 6500, 6200, 6500, 6300, 6200, 6300, 6400, 3900, 2900)


@dataclass(frozen=True)
class Place:
    """A place: surfaces with their shares in two seasons, share of cloud, VV and VH in dB, latitude in degrees."""

    surfaces: tuple[tuple[float, tuple[int, ...], tuple[int, ...]], ...]
    cloud: float
    backscatter: tuple[float, float]
    latitude: float
    dark_winter: bool = False
    kept_cloudy: bool = True
    """False: the scene has only dates without clouds."""


PLACES = {
    "sand sea": Place(((1.0, SAND, SAND),), 0.06, (-17.0, -24.2), 24),
    "sand sea, cloudless dates only": Place(((1.0, SAND, SAND),), 0.0, (-17.0, -24.2), 24, kept_cloudy=False),
    "gravel desert": Place(((1.0, GRAVEL, GRAVEL),), 0.1, (-9.0, -17.5), 28),
    "lava field": Place(((0.9, LAVA, LAVA), (0.1, TUNDRA, TUNDRA)), 0.6, (-10.5, -16.5), 64),
    "salt flat": Place(((0.9, SALT, SALT), (0.1, GRAVEL, GRAVEL)), 0.15, (-13.0, -21.0), -20),
    "ice sheet": Place(((1.0, SNOW, SNOW),), 0.4, (-2.0, -9.5), 72, dark_winter=True),
    "tundra, snow for half the year": Place(((0.8, TUNDRA, SNOW), (0.2, SEA, SNOW)), 0.55, (-12, -18.5), 68, True),
    "open sea": Place(((1.0, SEA, SEA),), 0.5, (-16.0, -23.8), 40),
    "lagoon, cloudless dates only": Place(
        ((0.7, LAGOON, LAGOON), (0.3, SEA, SEA)), 0.0, (-15.0, -23.5), 10, kept_cloudy=False
    ),
    "rainforest": Place(((1.0, RAINFOREST, RAINFOREST),), 0.78, (-6.8, -12.4), -3),
    "savanna": Place(((0.9, SAVANNA_GREEN, SAVANNA_DRY), (0.1, ROOFS, ROOFS)), 0.35, (-10.5, -17.5), 12),
    "megacity": Place(
        ((0.6, ROOFS, ROOFS), (0.3, CONCRETE, CONCRETE), (0.1, SAVANNA_GREEN, SAVANNA_DRY)), 0.4, (-4.5, -11.5), 23
    ),
    "snowy fields": Place(((0.6, SAVANNA_GREEN, SNOW), (0.4, RAINFOREST, RAINFOREST)), 0.5, (-10.5, -17.0), 55),
}  # fmt: skip


def observe(place: Place, seed: int) -> tuple[Observations, Dates, Grid]:
    """One year of observations of a place, with haze, cloud and speckle; the masks sometimes miss thin clouds."""
    from affine import Affine

    rng = np.random.default_rng(seed)
    doys = np.arange(3, 366, 5)
    if place.dark_winter:
        doys = doys[(doys > 60) & (doys < 290)]
    cloudy = rng.random(len(doys))
    season = (np.abs(doys - (200 if place.latitude > 0 else 20)) % 365 < 90)[:, None, None]
    kinds = rng.choice(len(place.surfaces), PIXELS, p=[share for share, _, _ in place.surfaces])
    green, dry = (np.array([surface[i] for surface in place.surfaces], float)[kinds] for i in (1, 2))
    ground = np.where(season, green, dry)
    ground = ground * rng.lognormal(0, 0.08, (1, PIXELS, 1)) * rng.lognormal(0, 0.05, (len(doys), PIXELS, 1))
    ground += (
        rng.exponential(60, (len(doys), 1, 1)) * np.linspace(1.0, 0.1, 10)[[2, 0, 1, 6, 7, 3, 4, 5, 8, 9]]
    )
    opacity = np.where(cloudy < place.cloud, rng.beta(2, 0.7, len(doys)), 0)[:, None]
    opacity = np.clip(opacity + rng.normal(0, 0.15, (len(doys), PIXELS)) * (opacity > 0), 0, 1)
    values = (
        ground + (np.array(CLOUD) * rng.lognormal(0, 0.15, (len(doys), 1, 1)) - ground) * opacity[..., None]
    )
    clear = opacity < np.where(rng.random(len(doys)) < 0.05, 0.4, 0.12)[:, None]
    orbits = []
    days = np.arange(4, 366, 12)
    for _ in range(2):
        db = (
            np.array(place.backscatter)
            + rng.normal(0, 2.0, (len(days), PIXELS, 2))
            + rng.normal(0, 1, (1, PIXELS, 1))
        )
        orbits.append(np.clip((2 * db + 50) * 200, 0, 32767).astype(np.int16).reshape(len(days), 40, 40, 2))
    s2 = np.clip(np.rint(values), 1, 20000).astype(np.uint16).reshape(len(doys), 40, 40, 10)
    northing = 111_000 * place.latitude + (0 if place.latitude > 0 else 10_000_000)
    zone = "EPSG:32633" if place.latitude > 0 else "EPSG:32733"
    observations = Observations(
        s2, clear.astype(np.uint8).reshape(len(doys), 40, 40), doys.astype(np.int32),
        orbits[0], days.astype(np.int32), orbits[1], days.astype(np.int32) + 5,
    )  # fmt: skip
    dates = Dates(tuple(doys.tolist()), tuple(days.tolist()), tuple((days + 5).tolist()))
    return observations, dates, Grid(40, 40, zone, Affine(10, 0, 500_000, 0, -10, northing))
