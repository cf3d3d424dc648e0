"""Climates: where a made-up scene lies, when plants grow there, what is sown, and how cloudy it is.

Like those of the covers, the numbers are plausible values set by eye. They give variety; they are not agronomy. A
climate shifts the covers' calendar, which is that of western Europe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tessera_engine.simulate import covers
from tessera_engine.simulate.covers import Cover, Spectrum

HOUR_ANGLE = -20.0
"""Degrees: Sentinel-2 passes in the middle of the morning."""

Seasonal = tuple[float, float]
"""A share in mid-winter and in mid-summer."""


@dataclass(frozen=True)
class Climate:
    """How a part of the world differs from western Europe, which the defaults describe.

    Attributes:
        latitude: degrees, south negative; it gives the height of the sun.
        crs: UTM zone that scenes lie in.
        place: easting and northing in metres in that zone; scenes lie around it.
        late: days by which spring comes later than in western Europe, in the hemisphere's own year.
        squeeze: further days by which spring comes later and autumn earlier; negative where the season is longer.
        overcast, cloudless: share of dates that are overcast, and cloudless.
        wet_days: share of days with rain.
        drought: share of the grass that dries in the yearly drought, in addition to what dries everywhere.
        soil: reflectance * 10000 that the soils of fields tend to.
        fields: share of each cover on farmland.
    """

    latitude: float = 51.0
    crs: str = "EPSG:32631"
    place: tuple[int, int] = (620_000, 5_632_000)
    late: float = 0.0
    squeeze: float = 0.0
    overcast: Seasonal = (0.27, 0.15)
    cloudless: Seasonal = (0.22, 0.38)
    wet_days: Seasonal = (0.42, 0.42)
    drought: float = 0.0
    soil: Spectrum = covers.SAND
    fields: Mapping[Cover, float] = field(
        default_factory=lambda: {
            covers.WHEAT: 0.23,
            covers.RAPESEED: 0.09,
            covers.MAIZE: 0.2,
            covers.BEET: 0.12,
            covers.POTATO: 0.12,
            covers.GRASS: 0.2,
            covers.BARE: 0.04,
        }
    )

    def own_day(self, day: int) -> int:
        """The day of the hemisphere's own year: in the south the year begins in July."""
        return day if self.latitude >= 0 else (day + 181) % 365 + 1

    def calendar(self, day: int) -> float:
        """The day of the covers' calendar, 1 to 366, that corresponds to a day of year here."""
        own = self.own_day(day) - self.late
        bent = own - self.squeeze * float(np.sin(2 * np.pi * (own - 20) / 365))
        return (bent - 1) % 365 + 1

    def summer(self, day: int) -> float:
        """0 in mid-winter, 1 in mid-summer; any whole number of days from the turn of the year."""
        own = day if self.latitude >= 0 else day + 182
        return 0.5 - 0.5 * float(np.cos(2 * np.pi * (own - 20) / 365))

    def through_the_year(self, share: Seasonal, day: int) -> float:
        """A share on a day of year."""
        winter, summer = share
        return winter + (summer - winter) * self.summer(day)

    def sun_height(self, day: int) -> float:
        """Sine of the sun's elevation at the Sentinel-2 overpass."""
        declination = np.radians(-23.44 * np.cos(2 * np.pi * (day + 10) / 365))
        latitude, hour_angle = np.radians(self.latitude), np.radians(HOUR_ANGLE)
        height = float(
            np.sin(latitude) * np.sin(declination)
            + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
        )
        return max(height, 0.05)  # no images are taken in the polar night

    def solstice(self) -> int:
        """The day of year of mid-summer."""
        return 172 if self.latitude >= 0 else 355


_RED_EARTH: Spectrum = (2150, 640, 1050, 2850, 3050, 2450, 2600, 2750, 3700, 3300)
_BLACK_EARTH: Spectrum = (780, 520, 640, 1180, 1280, 900, 1020, 1110, 1800, 1600)
_LIMESTONE: Spectrum = (2900, 1900, 2400, 3700, 3900, 3150, 3400, 3600, 4500, 3900)

CLIMATES = {
    "atlantic": Climate(),
    "mediterranean": Climate(
        latitude=40.0,
        crs="EPSG:32630",
        place=(440_000, 4_430_000),
        late=-22.0,
        squeeze=-18.0,
        overcast=(0.2, 0.03),
        cloudless=(0.35, 0.75),
        wet_days=(0.32, 0.05),
        drought=0.7,
        soil=_LIMESTONE,
        fields={covers.WHEAT: 0.34, covers.MAIZE: 0.12, covers.POTATO: 0.07, covers.RAPESEED: 0.05,
                covers.GRASS: 0.22, covers.BARE: 0.2},
    ),
    "continental": Climate(
        latitude=49.0,
        crs="EPSG:32636",
        place=(420_000, 5_430_000),
        late=8.0,
        squeeze=12.0,
        overcast=(0.4, 0.08),
        cloudless=(0.15, 0.5),
        wet_days=(0.35, 0.28),
        drought=0.3,
        soil=_BLACK_EARTH,
        fields={covers.WHEAT: 0.32, covers.MAIZE: 0.26, covers.RAPESEED: 0.12, covers.BEET: 0.06,
                covers.GRASS: 0.16, covers.BARE: 0.08},
    ),
    "boreal": Climate(
        latitude=62.0,
        crs="EPSG:32635",
        place=(400_000, 6_880_000),
        late=20.0,
        squeeze=30.0,
        overcast=(0.55, 0.2),
        cloudless=(0.08, 0.3),
        wet_days=(0.5, 0.45),
        soil=covers.LITTER,
        fields={covers.WHEAT: 0.25, covers.RAPESEED: 0.1, covers.POTATO: 0.08, covers.GRASS: 0.5,
                covers.BARE: 0.07},
    ),
    "monsoon": Climate(
        latitude=20.0,
        crs="EPSG:32643",
        place=(480_000, 2_210_000),
        late=35.0,
        squeeze=-25.0,
        overcast=(0.04, 0.6),
        cloudless=(0.7, 0.04),
        wet_days=(0.03, 0.75),
        drought=0.2,
        soil=_RED_EARTH,
        fields={covers.MAIZE: 0.36, covers.POTATO: 0.14, covers.WHEAT: 0.2, covers.GRASS: 0.15,
                covers.BARE: 0.15},
    ),
    "pampas": Climate(
        latitude=-34.0,
        crs="EPSG:32720",
        place=(560_000, 6_230_000),
        late=-15.0,
        squeeze=-10.0,
        overcast=(0.25, 0.12),
        cloudless=(0.35, 0.5),
        wet_days=(0.22, 0.3),
        drought=0.25,
        soil=_BLACK_EARTH,
        fields={covers.WHEAT: 0.25, covers.MAIZE: 0.38, covers.RAPESEED: 0.04, covers.GRASS: 0.27,
                covers.BARE: 0.06},
    ),
}  # fmt: skip
"""By name, as users give it. `atlantic` is the default."""

ATLANTIC = CLIMATES["atlantic"]
