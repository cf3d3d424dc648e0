"""What the name of a file or folder says about it, where it is nothing that this engine reads."""

from __future__ import annotations

import re
from typing import NamedTuple

L2A = "get the Level-2A product of the same date (S2*_MSIL2A_*) from Copernicus Data Space"
RTC = "expected terrain-corrected gamma0 (RTC), from Planetary Computer, OPERA or HyP3"


class _Kind(NamedTuple):
    """One kind of name.

    Attributes:
        pattern: found anywhere in the name, capital or small.
        reason: as in `Problem`.
        lost: as in `Problem`.
    """

    pattern: re.Pattern[str]
    reason: str
    lost: bool = True


def _kind(pattern: str, reason: str, lost: bool = True) -> _Kind:
    return _Kind(re.compile(pattern, re.I), reason, lost)


_UNFINISHED = _kind(
    r"\.(part|partial|incomplete|crdownload|download|opdownload|filepart|aria2|tmp|temp|!ut|!qb)\d*$",
    "is an unfinished download; download it again",
)

_MSI = f"expected Sentinel-2; {L2A}"

# Some files have both a product's name and a suffix: the first kind that fits is used
_PRODUCTS = (
    _UNFINISHED,
    _kind(
        r"MSIL1C|S2MSI1C|_L1C_T\d\d[A-Z]{3}|^L1C_T\d\d|^S2[A-D]_\w+_L1C$|^sentinel-?2-l1c",
        f"is Sentinel-2 Level-1C (top of atmosphere), expected Level-2A; run Sen2Cor, or {L2A}",
    ),
    _kind(r"MSIL0|MSIL1[AB]", f"is Sentinel-2 below Level-2A, expected Level-2A; {L2A}"),
    _kind(
        r"^SENTINEL2[A-D]_\d{8}-\d{6}-\d+_L2A_",
        f"is a Theia product (MAJA), whose reflectance and masks are not those of ESA; {L2A}",
    ),
    _kind(r"^SENTINEL2[A-DX]_\d{8}-\d{6}-\d+_L\d", f"is a Theia product that is not Level-2A; {L2A}"),
    _kind(r"(^|[^a-z])HLS\d?([-._]|$)", f"is Harmonized Landsat Sentinel-2 (HLS), which lacks bands; {L2A}"),
    _kind(r"^L[COTEM]0[4-9]_|^L[COTEM][4-9]\d{13}", f"is Landsat, {_MSI}"),
    _kind(r"^\d{8}_\d{6}_(\d\d_)?[0-9a-f]{4}_|PSScene|_AnalyticMS", f"is PlanetScope, {_MSI}"),
    _kind(r"^S1[A-D]_\w\w_GRD|^S1[A-D]_.*_GRD[HMF]_", f"is Sentinel-1 GRD, {RTC}"),
    _kind(r"^S1[A-D]_\w\w_SLC_", f"is Sentinel-1 SLC, {RTC}"),
    _kind(r"^S1[A-D]_\w\w_(OCN|RAW|ETA)_", f"is Sentinel-1 of another level, {RTC}"),
    _kind(r"^OPERA_L2_CSLC", f"is Sentinel-1 SLC (OPERA CSLC), {RTC}"),
    _kind(r"^OPERA_L2_RTC-S1-STATIC", "is a static layer of OPERA, which is not needed", lost=False),
    _kind(r"^S3[A-D]_", f"is Sentinel-3, {_MSI}"),
    _kind(r"^S5P_", f"is Sentinel-5P, {_MSI}"),
    _kind(r"^(MOD|MYD|MCD|VNP|VJ1)\w{2,6}\.A\d{7}\.", f"is MODIS or VIIRS, {_MSI}"),
)

_FILES = (
    _kind(
        r"(^|_)(mask|ls_map|inc_map|dem|area|B01|B09|B10|AOT|WVP|TCI|visual|preview|CLD|SNW|QA60)(_\d\dm)?\.(tiff?|jp2)$",
        "is a layer that TESSERA does not use",
        lost=False,
    ),
    _kind(
        r"\.(tar|tgz|tbz2?|txz|tar\.\w+|7z|rar|gz|bz2|xz|zst)$", "is an archive that is not read; unpack it"
    ),
    _kind(r"\.zip$", "is a zip without a product in it (no S2*_MSIL2A_*.SAFE, no HyP3 RTC)"),
    _kind(r"\.(jp2|j2k)$", "is a single image without its product; keep the whole .SAFE folder or zip"),
    _kind(
        r"\.(h5|hdf|hdf5|he5|grib2?|img|dim|vrt|ecw|sid)$",
        "is a raster format that is not read; save it as GeoTIFF or NetCDF",
    ),
    _kind(r"\.(parquet|geoparquet)$", "is a table; save STAC items as JSON (items.json)", lost=False),
    _kind(r"\.(json|geojson|ndjson|jsonl)$", "has no STAC item in it", lost=False),
    _kind(r"\.np[yz]$", "is an array without the other files of a d-pixel tile beside it", lost=False),
    _kind(r"\.tiff?$", "is a GeoTIFF that belongs to no product", lost=False),
)

_DATE = re.compile(r"(?<!\d)(19|20)\d\d[-_]?(0[1-9]|1[0-2])[-_]?([0-2]\d|3[01])(?!\d)")
_OF_SENTINEL = re.compile(
    r"(^|[^a-z])(s1|s2|sentinel)[^a-z]?|(^|[^a-z0-9])(b\d[\da]?|scl|vv|vh)($|[^a-z0-9])", re.I
)
_DATED_RASTER = (
    "is a GeoTIFF that belongs to no product; expected a name and bands of Sentinel as in docs/scenes.md"
)


_NOTHING = "holds no satellite product"


class Kind(NamedTuple):
    """Why something is not read, and whether observations are missing without it; as in `Problem`."""

    reason: str
    lost: bool


def kind_of_product(name: str) -> Kind | None:
    """What a file or folder with a product's name is; None where the name is none of a product that isn't read."""
    return next((Kind(each.reason, each.lost) for each in _PRODUCTS if each.pattern.search(name)), None)


def is_unfinished(name: str) -> bool:
    """Whether a file has the name of an unfinished download."""
    return _UNFINISHED.pattern.search(name) is not None


def is_unknown(name: str) -> bool:
    """Whether a file's suffix says nothing about what it is."""
    return kind_of_file(name).reason == _NOTHING


def kind_of_file(name: str) -> Kind:
    """What a file is that belongs to no product, by its name."""
    found = next((each for each in _FILES if each.pattern.search(name)), None)
    if found is None:
        return Kind(_NOTHING, False)
    if found is _FILES[-1] and _DATE.search(name) and _OF_SENTINEL.search(name):
        return Kind(_DATED_RASTER, True)
    return Kind(found.reason, found.lost)
