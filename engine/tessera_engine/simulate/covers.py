"""What grows where: land covers, with their seasons, spectra and radar backscatter.

The numbers are plausible for a loam landscape in western Europe. They were set by eye against published leaf and soil
spectra and against real Sentinel curves of Flanders; they are not measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Knots = tuple[tuple[int, float], ...]
"""(day of year, value) pairs, linear in between; the year is a circle."""

Spectrum = tuple[int, int, int, int, int, int, int, int, int, int]
"""Reflectance * 10000 in the order B04 B02 B03 B08 B8A B05 B06 B07 B11 B12."""

LOAM: Spectrum = (1500, 860, 1180, 2250, 2400, 1750, 1980, 2140, 3000, 2580)
SAND: Spectrum = (2050, 1150, 1580, 2900, 3050, 2350, 2600, 2770, 3650, 3150)
LITTER: Spectrum = (640, 370, 500, 1500, 1750, 900, 1200, 1400, 2050, 1480)
STRAW: Spectrum = (1900, 1060, 1480, 3150, 3420, 2300, 2650, 2950, 3350, 2450)
WATER: Spectrum = (240, 380, 430, 150, 130, 230, 160, 150, 80, 60)
TILES: Spectrum = (1750, 900, 1120, 2200, 2400, 1900, 2100, 2230, 2600, 2350)
ASPHALT: Spectrum = (1000, 860, 960, 1350, 1450, 1150, 1240, 1320, 1600, 1480)
FLOWERS: Spectrum = (1250, 430, 1560, 4500, 4650, 2050, 3500, 4150, 2150, 1150)
"""Rapeseed in bloom."""
CLOUD: Spectrum = (6100, 6500, 6200, 6500, 6300, 6200, 6300, 6400, 4300, 3300)

EXTINCTION: NDArray[np.float32] = np.array(
    [0.80, 0.80, 0.72, 0.45, 0.45, 0.62, 0.50, 0.46, 0.60, 0.68], np.float32
)
"""Per unit of leaf area index and band: leaves hide the soil more in visible light than in the infrared."""

HAZE: NDArray[np.float32] = np.array([0.55, 1.0, 0.75, 0.25, 0.2, 0.48, 0.4, 0.35, 0.08, 0.05], np.float32)
"""Spectrum of the haze that the atmospheric correction leaves, blue = 1."""


@dataclass(frozen=True)
class Cover:
    """One land cover.

    Attributes:
        code: value in `cover.tif`.
        name: as in the band's tags.
        colour: red, green, blue in the colour table.
        ground: spectrum below the leaves.
        canopy: spectrum of a closed green canopy.
        leaf_area: leaf area index through the year.
        dry: share of the canopy that is dry, 0..1.
        bloom: share of the canopy in bloom, 0..1.
        season: day of sowing or green-up, and of harvest; between harvest and sowing a crop field may carry a
            catch crop. None for covers that aren't sown.
        roughness: darkening by its own shadow when the sun is low, 0..1.
        texture: standard deviation of brightness between neighbouring pixels of one parcel.
        backscatter: dB of a closed canopy in VV and VH.
        attenuation: per unit of leaf area, how strongly the canopy hides the soil from the radar.
    """

    code: int
    name: str
    colour: tuple[int, int, int]
    ground: Spectrum
    canopy: Spectrum
    leaf_area: Knots
    dry: Knots = ((1, 0.0),)
    bloom: Knots = ((1, 0.0),)
    season: tuple[int, int] | None = None
    roughness: float = 0.12
    texture: float = 0.04
    backscatter: tuple[float, float] = (-10.5, -17.0)
    attenuation: float = 0.3


WHEAT = Cover(
    1,
    "winter wheat",
    (228, 190, 90),
    LOAM,
    (235, 200, 440, 4400, 4550, 900, 3300, 4200, 1750, 850),
    ((1, 0.6), (60, 0.9), (90, 2.2), (125, 4.6), (165, 4.6), (190, 3.0), (207, 2.0), (212, 0.5), (250, 0.3),
     (258, 0.0), (300, 0.0), (320, 0.3), (365, 0.6)),
    dry=((168, 0.0), (190, 0.75), (205, 1.0), (256, 1.0), (270, 0.0)),
    season=(285, 210),
    backscatter=(-13.2, -19.2),
    attenuation=0.45,
)  # fmt: skip
RAPESEED = Cover(
    2,
    "winter rapeseed",
    (250, 236, 40),
    LOAM,
    (265, 255, 560, 4800, 4850, 1080, 3550, 4550, 1900, 900),
    ((1, 1.5), (60, 1.5), (95, 3.2), (120, 4.2), (160, 4.2), (190, 2.5), (198, 2.0), (203, 0.5), (235, 0.2),
     (250, 0.0), (275, 0.8), (310, 1.7), (365, 1.5)),
    dry=((165, 0.0), (190, 0.8), (200, 1.0), (240, 1.0), (250, 0.0)),
    bloom=((98, 0.0), (112, 0.85), (128, 0.9), (143, 0.0)),
    season=(240, 201),
    backscatter=(-9.5, -13.8),
    attenuation=0.5,
)  # fmt: skip
MAIZE = Cover(
    3,
    "maize",
    (240, 130, 40),
    LOAM,
    (290, 255, 560, 4300, 4400, 1150, 3250, 4150, 2050, 1050),
    ((115, 0.0), (145, 0.2), (170, 1.2), (195, 3.6), (230, 4.3), (255, 3.6), (272, 2.8), (276, 0.3), (300, 0.1),
     (320, 0.0)),
    dry=((228, 0.0), (255, 0.4), (272, 0.75), (276, 1.0), (310, 1.0), (330, 0.0)),
    season=(118, 274),
    backscatter=(-8.8, -15.2),
    attenuation=0.4,
)  # fmt: skip
BEET = Cover(
    4,
    "sugar beet",
    (190, 60, 150),
    LOAM,
    (280, 240, 600, 5500, 5500, 1180, 4150, 5200, 2150, 1020),
    ((90, 0.0), (120, 0.2), (145, 1.4), (165, 3.6), (200, 4.6), (255, 4.0), (292, 3.4), (298, 0.3), (315, 0.0)),
    dry=((225, 0.0), (270, 0.12), (295, 0.15), (299, 0.9), (315, 0.0)),
    season=(90, 296),
    backscatter=(-8.3, -14.2),
    attenuation=0.55,
)  # fmt: skip
POTATO = Cover(
    5,
    "potato",
    (150, 100, 60),
    LOAM,
    (310, 255, 630, 4700, 4700, 1250, 3550, 4450, 2000, 980),
    ((110, 0.0), (142, 0.2), (158, 2.0), (175, 4.4), (215, 4.0), (240, 2.2), (252, 0.5), (262, 0.1), (270, 0.0)),
    dry=((208, 0.0), (235, 0.35), (250, 0.8), (262, 1.0), (275, 0.0)),
    bloom=((168, 0.0), (178, 0.1), (190, 0.0)),
    season=(110, 263),
    backscatter=(-8.2, -13.8),
    attenuation=0.6,
)  # fmt: skip
GRASS = Cover(
    6,
    "grassland",
    (140, 205, 90),
    LOAM,
    (270, 220, 500, 4500, 4600, 1080, 3400, 4300, 2150, 1150),
    ((1, 3.2), (60, 3.2), (95, 3.7), (130, 4.4), (190, 3.6), (230, 3.2), (280, 3.4), (330, 2.7)),
    dry=((150, 0.03), (200, 0.16), (240, 0.16), (280, 0.05)),
    backscatter=(-11.0, -17.6),
    attenuation=0.35,
)
DECIDUOUS = Cover(
    7,
    "deciduous forest",
    (40, 140, 60),
    LITTER,
    (210, 180, 390, 3900, 4100, 820, 3050, 3800, 1700, 780),
    ((1, 0.3), (98, 0.3), (118, 2.6), (138, 5.0), (255, 4.6), (290, 3.6), (312, 1.4), (330, 0.3)),
    dry=((262, 0.0), (292, 0.4), (312, 0.8), (330, 0.3), (345, 0.0)),
    roughness=0.4,
    texture=0.09,
    backscatter=(-8.2, -13.6),
    attenuation=0.25,
)
CONIFER = Cover(
    8,
    "coniferous forest",
    (10, 80, 50),
    LITTER,
    (185, 160, 300, 2350, 2500, 540, 1780, 2200, 1050, 500),
    ((1, 3.4), (110, 3.4), (150, 4.2), (240, 4.2), (300, 3.6)),
    roughness=0.5,
    texture=0.09,
    backscatter=(-8.8, -14.3),
    attenuation=0.45,
)
OPEN_WATER = Cover(
    9,
    "water",
    (40, 90, 200),
    WATER,
    (300, 250, 600, 3000, 3000, 800, 2000, 2600, 1200, 600),
    ((1, 0.0), (180, 0.03), (250, 0.05), (300, 0.0)),
    roughness=0.0,
    texture=0.05,
    backscatter=(-18.0, -25.0),
)
BUILT_UP = Cover(
    10,
    "built-up",
    (205, 50, 50),
    TILES,
    (330, 270, 540, 4200, 4300, 1000, 3200, 4000, 1900, 950),
    ((1, 0.25), (100, 0.35), (140, 0.7), (260, 0.65), (320, 0.3)),
    roughness=0.35,
    texture=0.24,
    backscatter=(-6.3, -14.0),
)
BARE = Cover(
    11,
    "bare soil",
    (170, 150, 130),
    SAND,
    GRASS.canopy,
    ((1, 0.05), (130, 0.15), (200, 0.25), (300, 0.1)),
    backscatter=(-11.0, -17.0),
)

COVERS = (
    WHEAT, RAPESEED, MAIZE, BEET, POTATO, GRASS, DECIDUOUS, CONIFER, OPEN_WATER, BUILT_UP, BARE,
)  # fmt: skip
"""In the order of their codes, which start at 1."""


def at(knots: Knots, day: NDArray[np.float32]) -> NDArray[np.float32]:
    """The value of `knots` at each `day` (any real number; the year is a circle of 365 days)."""
    days, values = zip(*knots, strict=True)
    value: NDArray[np.float32] = np.interp(day, days, values, period=365.0).astype(np.float32)
    return value
