"""STAC items whose assets lie in the scene folder: Sentinel-2 L2A and Sentinel-1 RTC.

Items are found wherever they are: single files, an ItemCollection, a static catalogue. Every JSON file of the folder
is looked at, so a catalogue's links needn't be walked; they are only checked.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes.band_names import COMMON_NAMES
from tessera_engine.scenes.baseline import OFFSET, offset_by_baseline
from tessera_engine.scenes.channels import half_products
from tessera_engine.scenes.doubles import drop_doubles
from tessera_engine.scenes.members import Member, on_disk
from tessera_engine.scenes.products import (
    ORBITS,
    Asset,
    Found,
    Listing,
    Problem,
    S1Product,
    S1Units,
    S2Product,
    Unusable,
)

LAYOUT = "stac"

_S1_KEYS = {"VV": ("vv", "gamma0_vv"), "VH": ("vh", "gamma0_vh")}
_S1_UNITS: dict[str, S1Units] = {"sentinel-1-rtc": "power"}
"""Collection -> units; of the others they aren't known."""

_BASELINE_IN_NAME = re.compile(r"_MSIL2A_\d{8}T\d{6}_N(\d{4})_")


class _Item(NamedTuple):
    file: Path
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.content.get("id") or self.file.stem)

    @property
    def properties(self) -> Mapping[str, Any]:
        return _object(self.content.get("properties"))

    @property
    def assets(self) -> Mapping[str, Any]:
        return _object(self.content.get("assets"))


def find(listing: Listing) -> Found:
    """The products that a scene folder's STAC items describe; hrefs that lead elsewhere aren't followed."""
    found = Found()
    files = frozenset(listing.files)
    for member in on_disk(listing):
        if member.path.suffix.lower() not in (".json", ".geojson"):
            continue
        try:
            content = _parse(member)
            _check_links(content, member.source, listing.folder, files)
        except Unusable as error:
            found.problems.append(Problem(member.source, str(error)))
            continue
        for item in _items(content, member.source):
            try:
                _add(found, item, listing.folder, files)
            except Unusable as error:
                found.problems.append(Problem(member.source, f"{item.name} {error}"))
    found.s2, doubles = drop_doubles(found.s2, lambda product: ((product.name,), ""))
    found.problems += doubles
    found.s1, doubles = drop_doubles(found.s1, lambda product: ((product.name,), ""))
    found.problems += doubles
    found.warnings += half_products(found.s1, "STAC item")
    return found


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _parse(member: Member) -> Mapping[str, Any]:
    try:
        return _object(json.loads(member.read()))
    except (ValueError, RecursionError) as error:
        raise Unusable(f"is no JSON ({error}); copy it again") from None


def _items(content: Mapping[str, Any], file: Path) -> Iterator[_Item]:
    if content.get("type") == "FeatureCollection":
        for feature in _list(content.get("features")):
            yield from _items(_object(feature), file)
    elif content.get("type") == "Feature" and "assets" in content:
        yield _Item(file, content)


def _check_links(content: Mapping[str, Any], file: Path, folder: Path, files: frozenset[Path]) -> None:
    """Refuse a catalogue's links to children and items that don't lie in the folder."""
    if content.get("type") not in ("Catalog", "Collection"):
        return
    for link in map(_object, _list(content.get("links"))):
        if link.get("rel") in ("child", "item"):
            _local(link.get("href"), file, folder, files)


def _local(href: Any, file: Path, folder: Path, files: frozenset[Path]) -> Path:
    """The file in the scene folder that a relative href names.

    Raises:
        Unusable: it is a URL, leads out of the folder, or nothing is there.
    """
    if not isinstance(href, str) or not href:
        raise Unusable("has an asset without href")
    if urlsplit(href).scheme and not Path(href).is_absolute():  # `C:\...` looks like a scheme
        raise Unusable(f"points to {href}, which is not followed: fetch the file, and make the href relative")
    path = Path(os.path.normpath(file.parent / unquote(href)))
    if not path.is_relative_to(folder):
        raise Unusable(f"points to {href}, which leads out of the scene folder and is not followed")
    if path not in files:
        raise Unusable(f"points to {href}, which is missing")
    return path


def _add(found: Found, item: _Item, folder: Path, files: frozenset[Path]) -> None:
    """Add an item's product; items of other satellites are left alone."""
    what = " ".join(str(item.properties.get(key, "")) for key in ("constellation", "platform")).lower()
    what += " " + str(item.content.get("collection", "")).lower()
    if re.search(r"sentinel[- ]?2", what):
        found.s2.append(_s2_product(item, folder, files))
    elif re.search(r"sentinel[- ]?1", what):
        found.s1.append(_s1_product(item, folder, files))


def _s2_product(item: _Item, folder: Path, files: frozenset[Path]) -> S2Product:
    assets = {}
    for band, other_key in COMMON_NAMES.items():
        asset = item.assets.get(band) or item.assets.get(other_key)
        if asset is not None:
            assets[band] = _object(asset)
    missing = [f"{band} ({COMMON_NAMES[band]})" for band in (*S2_BANDS, "SCL") if band not in assets]
    if missing:
        raise Unusable(f"lacks the assets {', '.join(missing)}: expected those of Sentinel-2 Level-2A")
    paths = {
        band: Asset(_local(asset.get("href"), item.file, folder, files)) for band, asset in assets.items()
    }
    day = _day(item)
    offset, known = _offset(item, [assets[band] for band in S2_BANDS], day)
    bands = {band: paths[band] for band in S2_BANDS}
    return S2Product(item.name, item.file, day, bands, paths["SCL"], offset, known)


def _s1_product(item: _Item, folder: Path, files: frozenset[Path]) -> S1Product:
    collection = str(item.content.get("collection", ""))
    kind = item.properties.get("sar:product_type")
    if kind != "RTC" and "rtc" not in collection.lower():
        raise Unusable(f"is Sentinel-1 {kind or collection}, expected terrain-corrected gamma0 (RTC)")
    channels = {}
    for channel, keys in _S1_KEYS.items():
        asset = next((_object(item.assets[key]) for key in keys if key in item.assets), None)
        if asset is not None:
            channels[channel] = Asset(_local(asset.get("href"), item.file, folder, files))
    if not channels:
        raise Unusable("has neither an asset vv nor vh")
    orbit = next((each for each in ORBITS if each == item.properties.get("sat:orbit_state")), None)
    if orbit is None:
        raise Unusable(
            f"has sat:orbit_state {item.properties.get('sat:orbit_state')!r}, expected ascending or descending"
        )
    units = _S1_UNITS.get(collection)
    return S1Product(item.name, item.file, _day(item), orbit, channels.get("VV"), channels.get("VH"), units)


def _day(item: _Item) -> date:
    """The day of acquisition, UTC."""
    text = item.properties.get("datetime") or item.properties.get("start_datetime")
    try:
        moment = datetime.fromisoformat(_without_fraction(str(text)))
    except ValueError:
        raise Unusable(f"has the datetime {text!r}, expected one like 2022-04-13T15:07:59Z") from None
    return moment.astimezone(timezone.utc).date() if moment.tzinfo else moment.date()


def _without_fraction(moment: str) -> str:
    """As Python 3.10 reads it: it knows neither `Z` nor fractions of any length."""
    return re.sub(r"\.\d+", "", moment.strip()).replace("Z", "+00:00").replace("z", "+00:00")


def _offset(item: _Item, assets: list[Mapping[str, Any]], day: date) -> tuple[int, bool]:
    """What has to be subtracted, and whether metadata say so.

    `boa_offset_applied` counts first: where it is true, the values have lost the offset. Then the baseline, where
    it is too old for an offset. `raster:bands` of Earth Search speak of one in both cases.
    """
    properties = item.properties
    applied = properties.get("earthsearch:boa_offset_applied", properties.get("sentinel:boa_offset_applied"))
    if applied is True:
        return 0, True
    offset, known = offset_by_baseline(_baseline(properties), day)
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
    """From `raster:bands` (`raster:offset` since STAC 1.1): reflectance = value * scale + offset."""
    band = _object(next(iter(_list(asset.get("raster:bands"))), None))
    offset, scale = (
        band.get("offset", asset.get("raster:offset")),
        band.get("scale", asset.get("raster:scale")),
    )
    if not isinstance(offset, (int, float)) or not isinstance(scale, (int, float)) or scale == 0:
        return None
    try:
        return round(-offset / scale)
    except (OverflowError, ValueError):  # Python takes infinity and NaN for JSON
        return None


def _baseline(properties: Mapping[str, Any]) -> str | None:
    for key in ("s2:processing_baseline", "sentinel:processing_baseline", "sentinel2:processing_baseline"):
        if key in properties:
            return str(properties[key])
    for key in ("s2:product_uri", "sentinel:product_id", "sentinel2:product_id"):
        match = _BASELINE_IN_NAME.search(str(properties.get(key, "")))
        if match:
            return match[1]
    return None
