"""STAC items whose assets are in the scene folder: Sentinel-2 L2A and Sentinel-1 RTC.

Items may be single files, an ItemCollection or a static catalogue. Every JSON file of the folder is read, so the links
of a catalogue don't have to be followed; they are only checked.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes.metadata.band_names import COMMON_NAMES
from tessera_engine.scenes.metadata.baseline import OFFSET, offset_by_baseline
from tessera_engine.scenes.metadata.channels import half_products
from tessera_engine.scenes.metadata.duplicates import drop_duplicates
from tessera_engine.scenes.metadata.members import Member, on_disk
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

_S1_KEYS = {"VV": ("vv", "gamma0_vv"), "VH": ("vh", "gamma0_vh")}
_S1_UNITS: dict[str, S1Units] = {"sentinel-1-rtc": "power"}
"""Collection -> units; the units of other collections are unknown."""

_BESIDE = (".tif", ".tiff", ".jp2", ".xml", ".json", ".jpg", ".jpeg", ".png", ".txt", ".html", ".safe")

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
    """Find the products that the STAC items of a scene folder describe; hrefs to other places are not followed."""
    found = Found()
    files = frozenset(listing.files)
    owners: dict[Path, set[tuple[Path, str]]] = defaultdict(set)
    for member in on_disk(listing):
        if member.path.suffix.lower() not in (".json", ".geojson"):
            continue
        try:
            content = _parse(member)
            _check_links(content, member.source, listing.folder, files)
        except Unusable as error:
            found.problems.append(Problem(member.source, str(error)))
            continue
        items = list(_items(content, member.source))
        if items or content.get("type") in ("Catalog", "Collection"):
            found.claimed.add(member.source)
        for item in items:
            for path in _belonging(item, listing.folder, files):
                found.claimed.add(path)
                owners[path.parent].add((member.source, item.name))
            try:
                _add(found, item, listing.folder, files)
            except Unusable as error:
                found.problems.append(Problem(member.source, f"{item.name} {error}"))
    # What else lies in the folder of one item belongs to it, for instance bands that TESSERA doesn't use
    own = {folder for folder, items_in in owners.items() if len(items_in) == 1} - {listing.folder}
    found.claimed |= {path for path in files if path.parent in own and path.suffix.lower() in _BESIDE}
    found.s2, duplicates = drop_duplicates(found.s2, lambda product: ((product.name,), ""))
    found.problems += duplicates
    found.s1, duplicates = drop_duplicates(found.s1, lambda product: ((product.name,), ""))
    found.problems += duplicates
    found.warnings += half_products(found.s1, "STAC item")
    return found


def _belonging(item: _Item, folder: Path, files: frozenset[Path]) -> set[Path]:
    """The files of the folder that an item's assets refer to, used or not."""
    found = set()
    for asset in map(_object, item.assets.values()):
        with suppress(Unusable):
            found.add(_local(asset.get("href"), item.file, folder, files))
    return found


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _parse(member: Member) -> Mapping[str, Any]:
    try:
        return _object(json.loads(member.read()))
    except (ValueError, RecursionError) as error:
        raise Unusable(f"is not valid JSON ({error}); copy it again") from None


def _items(content: Mapping[str, Any], file: Path) -> Iterator[_Item]:
    if content.get("type") == "FeatureCollection":
        for feature in _list(content.get("features")):
            yield from _items(_object(feature), file)
    elif content.get("type") == "Feature" and "assets" in content:
        yield _Item(file, content)


def _check_links(content: Mapping[str, Any], file: Path, folder: Path, files: frozenset[Path]) -> None:
    """Refuse a catalogue's links to children and items that are not in the folder."""
    if content.get("type") not in ("Catalog", "Collection"):
        return
    for link in map(_object, _list(content.get("links"))):
        if link.get("rel") in ("child", "item"):
            _local(link.get("href"), file, folder, files)


def _local(href: Any, file: Path, folder: Path, files: frozenset[Path]) -> Path:
    """The file in the scene folder that a relative href points to.

    Raises:
        Unusable: it is a URL, points out of the folder, or the file doesn't exist.
    """
    if not isinstance(href, str) or not href:
        raise Unusable("has an asset without an href")
    if urlsplit(href).scheme and not Path(href).is_absolute():  # `C:\...` looks like a scheme
        raise Unusable(
            f"points to {href}, which is not read: download the file into the folder and make the href relative"
        )
    path = Path(os.path.normpath(file.parent / unquote(href)))
    if not path.is_relative_to(folder):
        raise Unusable(f"points to {href}, which is outside the scene folder and is not read")
    if path not in files:
        raise Unusable(f"points to {href}, which is missing")
    return path


def _add(found: Found, item: _Item, folder: Path, files: frozenset[Path]) -> None:
    """Add an item's product; items of other satellites are skipped."""
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
        raise Unusable("has no asset vv and no asset vh, expected at least one")
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
    """A time in the form that Python 3.10 can read: without fractions, and with `+00:00` instead of `Z`."""
    return re.sub(r"\.\d+", "", moment.strip()).replace("Z", "+00:00").replace("z", "+00:00")


def _offset(item: _Item, assets: list[Mapping[str, Any]], day: date) -> tuple[int, bool]:
    """The number to subtract, and whether it follows from metadata.

    `boa_offset_applied` is used first: where it is true, the offset has been removed. Then the baseline, where it is
    too old for an offset: `raster:bands` of Earth Search have an offset in both cases.
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
    """The number to subtract, from `raster:bands` (`raster:offset` since STAC 1.1): value * scale + offset."""
    band = _object(next(iter(_list(asset.get("raster:bands"))), None))
    offset, scale = (
        band.get("offset", asset.get("raster:offset")),
        band.get("scale", asset.get("raster:scale")),
    )
    if not isinstance(offset, (int, float)) or not isinstance(scale, (int, float)) or scale == 0:
        return None
    try:
        return round(-offset / scale)
    except (OverflowError, ValueError):  # Python's JSON accepts infinity and NaN
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
