"""What the properties of a STAC item say, in the words of every catalogue: satellite, tile, times, baseline, offset.

Catalogues: Planetary Computer (s2:), Earth Search and Element84 (earthsearch:, s2:, mgrs:, sentinel:), Copernicus Data
Space (processing:, eopf:), Digital Earth (odc:, sentinel:).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from typing import Any

from tessera_engine.scenes.metadata.baseline import OFFSET, offset_by_baseline
from tessera_engine.scenes.metadata.names import L2A_NAME, SAME_PASS, Stated, agree, compact, moment
from tessera_engine.scenes.products import Processing, Unusable

Properties = Mapping[str, Any]

_PRODUCT_NAMES = ("s2:product_uri", "sentinel:product_id", "sentinel2:product_id", "title")
_BASELINES = (
    "s2:processing_baseline",
    "sentinel:processing_baseline",
    "sentinel2:processing_baseline",
    "earthsearch:processing_baseline",
    "processing:version",
)
_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
"""Some tools write texts or numbers where JSON has true and false."""
_GENERATED = (
    "s2:generation_time",
    "s1:processing_datetime",
    "processing:datetime",
    "odc:processing_datetime",
)
_MADE = ("created", "published", "updated")
_TILES = ("s2:mgrs_tile", "grid:code", "sentinel:mgrs", "odc:region_code", "tileId")
_TILE_PARTS = ("utm_zone", "latitude_band", "grid_square")
_TILE = re.compile(r"(?:MGRS-|T)?(\d{1,2})([C-X][A-Z]{2})")
_IN_ID = re.compile(r"^S2[A-D]_T?(\d{1,2})([C-X][A-Z]{2})_")
_DATASTRIP = re.compile(r"_S(\d{8}T\d{6})_N")


MOST_ORBITS = 175
"""Relative orbits of Sentinel-1; Sentinel-2 has fewer."""


def time_of(properties: Properties) -> datetime:
    """The time of acquisition, UTC without a time zone.

    Raises:
        Unusable: the item has none.
    """
    text = properties.get("datetime") or properties.get("start_datetime")
    try:
        time = datetime.fromisoformat(_without_fraction(str(text)))
        return time.astimezone(timezone.utc).replace(tzinfo=None) if time.tzinfo else time
    except (OverflowError, ValueError):  # in UTC it may be before the year 1, or after 9999
        raise Unusable(f"has the datetime {text!r}, expected one like 2022-04-13T15:07:59Z") from None


def _without_fraction(time: str) -> str:
    """A time in the form that Python 3.10 can read: without fractions, and with `+00:00` instead of `Z`."""
    return re.sub(r"\.\d+", "", time.strip()).replace("Z", "+00:00").replace("z", "+00:00")


def tile_of(ident: str, properties: Properties) -> str | None:
    """The MGRS tile, as 31UES; None where the item doesn't say it."""
    name = _product_name(ident, properties)
    if name is not None:
        return name["tile"]
    for space in ("mgrs", "sentinel"):
        parts = [str(properties.get(f"{space}:{part}", "")) for part in _TILE_PARTS]
        match = _TILE.fullmatch("".join(parts))
        if match:
            return f"{int(match[1]):02d}{match[2]}"
    for key in _TILES:
        match = _TILE.fullmatch(str(properties.get(key, "")))
        if match:
            return f"{int(match[1]):02d}{match[2]}"
    in_id = _IN_ID.match(ident)
    return f"{int(in_id[1]):02d}{in_id[2]}" if in_id else None


def s2_processing(ident: str, properties: Properties) -> Processing:
    """Which acquisition a Sentinel-2 item is of, and how new it is."""
    name, tile = _product_name(ident, properties), tile_of(ident, properties)
    satellite = name["satellite"] if name else _satellite(properties, "S2")
    time = time_of(properties)
    datastrip = _DATASTRIP.search(str(properties.get("s2:datastrip_id", "")))
    discriminator = (name["discriminator"] if name else None) or ""
    return Processing(
        (satellite, tile) if satellite and tile else (ident,),
        moment(name["sensing"]) if name else time,
        baseline_of(ident, properties),
        _first_time(properties, _GENERATED) or discriminator,
        discriminator or _first_time(properties, _MADE),
        moment(datastrip[1]) if datastrip else time,
    )


def s1_processing(ident: str, properties: Properties, orbit: str) -> Processing:
    """Which acquisition a Sentinel-1 item is of, and how new it is; slices of one pass are acquisitions too."""
    satellite = _satellite(properties, "S1")
    start = str(properties.get("start_datetime") or properties.get("datetime"))
    return Processing(
        (satellite, tile_of(ident, properties) or "", orbit, compact(start)) if satellite else (ident,),
        baseline=str(properties["processing:version"]) if "processing:version" in properties else None,
        generated=_first_time(properties, _GENERATED),
        discriminator=_first_time(properties, _MADE),
    )


def relative_orbit_of(properties: Properties) -> int | None:
    """The number of the relative orbit; None where the item doesn't have it."""
    number = properties.get("sat:relative_orbit")
    return number if isinstance(number, int) and 1 <= number <= MOST_ORBITS else None


def baseline_of(ident: str, properties: Properties) -> str | None:
    """The processing baseline; None where neither a property nor the product's name has it."""
    for key in _BASELINES:
        if key in properties:
            return str(properties[key])
    name = _product_name(ident, properties)
    return name["baseline"] if name else None


def offset_of(
    ident: str, properties: Properties, assets: Sequence[Mapping[str, Any]], day: date
) -> tuple[int, bool]:
    """The number to subtract, and whether it follows from metadata.

    `boa_offset_applied` is used first: where it is true, the offset has been removed. Then the baseline, where it is
    too old for an offset: `raster:bands` of Earth Search have an offset in both cases.

    Raises:
        Unusable: bands have different offsets, or unknown ones.
    """
    applied = next((_TRUTH.get(str(properties[key]).lower()) for key in _APPLIED if key in properties), None)
    if applied is True:
        return 0, True
    offset, known = offset_by_baseline(baseline_of(ident, properties), day)
    if known and (offset == 0 or applied is False):
        return offset, True
    offsets = {each for asset in assets if (each := _raster_offset(asset)) is not None}
    if offsets:
        if len(offsets) != 1 or not offsets <= {0, OFFSET}:
            raise Unusable(
                f"has offsets {sorted(offsets)} in raster:bands, expected 0 or {OFFSET} for all bands"
            )
        return offsets.pop(), True
    return offset, known


def _raster_offset(asset: Mapping[str, Any]) -> int | None:
    """The number to subtract, from value * scale + offset in `raster:bands`, `bands` or the asset (since STAC 1.1)."""
    inner: Any = next(
        (each[0] for key in ("raster:bands", "bands") if isinstance(each := asset.get(key), list) and each),
        {},
    )
    band = inner if isinstance(inner, dict) else {}

    def value(name: str) -> Any:
        return band.get(name, band.get(f"raster:{name}", asset.get(f"raster:{name}")))

    try:
        return round(-float(value("offset")) / float(value("scale")))
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        # Missing, no number, or infinity and NaN, which Python's JSON accepts
        return None


def _product_name(ident: str, properties: Properties) -> re.Match[str] | None:
    """The name of the ESA product behind the item, where the item has it and it is of the item's own time."""
    time = time_of(properties)
    for text in (*(str(properties.get(key, "")) for key in _PRODUCT_NAMES), ident):
        match = L2A_NAME.match(text)
        if match and agree(Stated(None, moment(match["sensing"])), Stated(None, time), SAME_PASS):
            return match
    return None


def _satellite(properties: Properties, mission: str) -> str:
    """As S2A; empty where the item doesn't say which of them it is."""
    match = re.fullmatch(rf"sentinel[- _]?{mission[1]}([a-d])", str(properties.get("platform", "")), re.I)
    return f"{mission}{match[1].upper()}" if match else ""


def _first_time(properties: Properties, keys: Sequence[str]) -> str:
    return next((time for key in keys if (time := compact(properties.get(key)))), "")
