"""Names of Sentinel-2's bands and scene classification: ESA's, the common ones, and how catalogues spell them."""

from __future__ import annotations

import re

COMMON_NAMES = {
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge1",
    "B06": "rededge2",
    "B07": "rededge3",
    "B08": "nir",
    "B8A": "nir08",
    "B11": "swir16",
    "B12": "swir22",
    "SCL": "scl",
}
"""Name at ESA and Planetary Computer -> name at Earth Search, which TESSERA's downloader uses for its folders."""

RESOLUTIONS = {band: 10 if band in ("B02", "B03", "B04", "B08") else 20 for band in COMMON_NAMES}
"""Band -> side of its pixels in metres."""

_NEW_COMMON_NAMES = {"B05": "rededge071", "B06": "rededge075", "B07": "rededge078"}
"""Of STAC 1.1."""


def spellings(band: str) -> tuple[str, ...]:
    """How a band is called, the best known name first; see `plain`.

    `B02_10m` is of Copernicus Data Space, which has each band at several resolutions: only its own one is taken.
    """
    common = COMMON_NAMES[band]
    own = f"{band}{RESOLUTIONS[band]}m"
    names = [band, own, common, _NEW_COMMON_NAMES.get(band, common), f"{common}{RESOLUTIONS[band]}m"]
    names += [re.sub(r"^B0", "B", band), f"{band}jp2", f"{common}jp2"]
    return tuple(dict.fromkeys(map(plain, names)))


def plain(name: str) -> str:
    """A name without capital letters, `_`, `-`, `.` and spaces: these differ between catalogues."""
    return re.sub(r"[-_. ]", "", name).lower()


BAND_OF = {name: band for band in COMMON_NAMES for name in spellings(band)}
"""Any spelling, see `plain` -> the band."""
