"""STAC items whose assets are in the scene folder: Sentinel-2 L2A and Sentinel-1 RTC.

Items may be single files, an ItemCollection, a JSON array, a file with an item a line, or a static catalogue. Every
JSON file of the folder is read, so the links of a catalogue don't have to be followed; they are only checked.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes.metadata.band_names import COMMON_NAMES, plain, spellings
from tessera_engine.scenes.metadata.channels import half_products
from tessera_engine.scenes.metadata.kinds import kind_of_product
from tessera_engine.scenes.metadata.members import Member, on_disk
from tessera_engine.scenes.metadata.names import SAME_PASS, Stated, agree, stated_by_image
from tessera_engine.scenes.metadata.stac_facts import (
    offset_of,
    relative_orbit_of,
    s1_processing,
    s2_processing,
    tile_of,
    time_of,
)
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

_WHOLE = (".json", ".geojson")
_BY_LINE = (".ndjson", ".jsonl", ".geojsonl", ".geojsons")
_SEPARATOR = b"\x1e"

_TYPES = ("product:type", "s2:product_type")

_S1_KEYS = {"VV": ("vv", "gamma0vv"), "VH": ("vh", "gamma0vh")}
_S1_UNITS: dict[str, S1Units] = {"sentinel-1-rtc": "power"}
"""Collection -> units; the units of other collections are unknown."""

_BESIDE = (".tif", ".tiff", ".jp2", ".xml", ".json", ".jpg", ".jpeg", ".png", ".txt", ".html", ".safe")


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

    @property
    def collection(self) -> str:
        return str(self.content.get("collection", ""))


def find(listing: Listing) -> Found:
    """Find the products that the STAC items of a scene folder describe; hrefs to other places are not followed."""
    found = Found()
    files = frozenset(listing.files)
    owners: dict[Path, set[tuple[Path, str]]] = defaultdict(set)
    for member in on_disk(listing):
        if member.path.suffix.lower() not in (*_WHOLE, *_BY_LINE):
            continue
        try:
            contents = _parse(member)
            for content in contents:
                _check_links(content, member.source, listing.folder, files)
        except Unusable as error:
            found.problems.append(Problem(member.source, str(error)))
            continue
        items = [item for content in contents for item in _items(content, member.source)]
        if items or any(content.get("type") in ("Catalog", "Collection") for content in contents):
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


def _parse(member: Member) -> list[Mapping[str, Any]]:
    """The objects of a JSON file: one, or several in an array or in lines, whatever its suffix says."""
    text = member.read()
    # A text sequence (RFC 8142) has a separator before each object
    lines = text.split(_SEPARATOR) if _SEPARATOR in text else text.splitlines()
    forms = [[text], [each for each in lines if each.strip()] or [text]]
    if member.path.suffix.lower() in _BY_LINE:
        forms.reverse()
    contents: list[Any] | None = None
    errors = []
    for texts in forms:
        try:
            contents = [json.loads(each) for each in texts]
            break
        except (ValueError, RecursionError) as error:
            errors.append(error)
    if contents is None:
        raise Unusable(f"is not valid JSON ({errors[0]}); copy it again")
    return [
        _object(each)
        for content in contents
        for each in (content if isinstance(content, list) else [content])
    ]


def _items(content: Mapping[str, Any], file: Path) -> Iterator[_Item]:
    if content.get("type") == "FeatureCollection":
        for feature in _list(content.get("features")):
            yield from _items(_object(feature), file)
    elif content.get("type") == "Feature" and (_object(content.get("assets")) or "stac_version" in content):
        yield _Item(file, content)


def _check_links(content: Mapping[str, Any], file: Path, folder: Path, files: frozenset[Path]) -> None:
    """Refuse a catalogue's links to children and items that are not in the folder."""
    if content.get("type") not in ("Catalog", "Collection"):
        return
    for link in map(_object, _list(content.get("links"))):
        if link.get("rel") in ("child", "item"):
            _local(link.get("href"), file, folder, files)


def _local(href: Any, file: Path, folder: Path, files: frozenset[Path]) -> Path:
    """The file in the scene folder that an href points to: a path from the item, a path of this machine, or file://.

    Raises:
        Unusable: it is another URL, points out of the folder, or the file doesn't exist.
    """
    if not isinstance(href, str) or not href:
        raise Unusable("has an asset without an href")
    for path in _paths(href, file):
        if path in files:
            return path
        with suppress(OSError, ValueError):
            # The folder may have been given, and written into the item, by a link to it
            if path.is_absolute() and path.resolve() in files:
                return path.resolve()
    path = _paths(href, file)[0]
    if not path.is_relative_to(folder):
        raise Unusable(f"points to {href}, which is outside the scene folder and is not read")
    raise Unusable(f"points to {href}, which is missing")


def _paths(href: str, file: Path) -> list[Path]:
    """The paths that an href may mean, the most likely one first."""
    parts = urlsplit(href)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        raw = href[len("file:") :].removeprefix(f"//{parts.netloc}")
        on_windows = os.name == "nt" and re.match(r"/[A-Za-z]:", raw)
        texts = [unquote(raw)[1 if on_windows else 0 :], raw[1 if on_windows else 0 :]]
    elif parts.scheme and not Path(href).is_absolute():  # `C:\...` looks like a scheme
        raise Unusable(
            f"points to {href}, which is not read: download the file into the folder and make the href relative"
        )
    else:
        texts = [unquote(href), href]
        if "\\" in href:  # written on Windows
            texts.append(href.replace("\\", "/"))
    return [Path(os.path.normpath(file.parent / text)) for text in texts]


def _add(found: Found, item: _Item, folder: Path, files: frozenset[Path]) -> None:
    """Add an item's product.

    Raises:
        Unusable: it is of another satellite or level, or something is missing or wrong in it.
    """
    for name in (item.name, item.collection, *(str(item.properties.get(key, "")) for key in _TYPES)):
        kind = kind_of_product(name)
        if kind is not None and not re.search("rtc", item.collection + item.name, re.I):
            raise Unusable(kind.reason)
    said = [str(item.properties.get(key, "")) for key in ("constellation", "platform")]
    what = " ".join((*said, item.collection)).lower()
    if re.search(r"sentinel[-_ ]?2", what) or re.match(r"S2[A-D]_", item.name):
        found.s2.append(_s2_product(item, folder, files))
    elif re.search(r"sentinel[-_ ]?1", what) or re.match(r"S1[A-D]_", item.name):
        found.s1.append(_s1_product(item, folder, files))
    else:
        satellite = next(
            (each for each in (*reversed(said), item.collection) if each), "no satellite that it names"
        )
        raise Unusable(f"is of {satellite}, expected Sentinel-2 L2A or Sentinel-1 RTC")


def _s2_product(item: _Item, folder: Path, files: frozenset[Path]) -> S2Product:
    keys = {plain(key): _object(asset) for key, asset in item.assets.items() if isinstance(asset, dict)}
    choices = {band: [keys[name] for name in spellings(band) if name in keys] for band in COMMON_NAMES}
    for band in [band for band in COMMON_NAMES if not choices[band]]:
        choices[band] = _by_band(keys.values(), band)
    missing = [f"{band} ({COMMON_NAMES[band]})" for band in (*S2_BANDS, "SCL") if not choices[band]]
    if missing:
        raise Unusable(f"lacks the assets {', '.join(missing)}: expected those of Sentinel-2 Level-2A")
    time = time_of(item.properties)
    assets, paths = {}, {}
    for band, candidates in choices.items():
        assets[band], paths[band] = _first_local(candidates, item, folder, files)
        _check_name(paths[band], item, time)
    offset, known = offset_of(item.name, item.properties, [assets[band] for band in S2_BANDS], time.date())
    return S2Product(
        name=item.name,
        source=item.file,
        date=time.date(),
        bands={band: Asset(paths[band]) for band in S2_BANDS},
        mask=Asset(paths["SCL"]),
        offset=offset,
        offset_known=known,
        processing=s2_processing(item.name, item.properties),
        relative_orbit=relative_orbit_of(item.properties),
    )


def _by_band(assets: Iterable[Mapping[str, Any]], band: str) -> list[Mapping[str, Any]]:
    """The only asset that says that it is this band and no other, where no key does; empty where several say it."""
    names = spellings(band)
    found = []
    for asset in assets:
        bands = [_object(each) for key in ("eo:bands", "bands") for each in _list(asset.get(key))]
        said = {plain(str(each.get("name", ""))) for each in bands}
        if len(said) == 1 and said <= set(names):
            found.append(asset)
    return found if len(found) == 1 else []


def _first_local(
    candidates: list[Mapping[str, Any]], item: _Item, folder: Path, files: frozenset[Path]
) -> tuple[Mapping[str, Any], Path]:
    """The first asset whose file is in the folder: some catalogues have the same band as GeoTIFF and as JPEG 2000.

    Raises:
        Unusable: there is none; the reason is that of the first one.
    """
    for asset in candidates[1:]:
        with suppress(Unusable):
            _local(candidates[0].get("href"), item.file, folder, files)
            break
        with suppress(Unusable):
            return asset, _local(asset.get("href"), item.file, folder, files)
    return candidates[0], _local(candidates[0].get("href"), item.file, folder, files)


def _check_name(path: Path, item: _Item, time: datetime) -> None:
    """Refuse a raster whose own name says another tile or date than its item.

    Raises:
        Unusable: it does.
    """
    stated = stated_by_image(path.name)
    if not agree(stated, Stated(tile_of(item.name, item.properties), time), SAME_PASS):
        when = f"{stated.sensing:%Y-%m-%d %H:%M}" if stated.sensing else "another time"
        raise Unusable(f"is of {time:%Y-%m-%d %H:%M}, but its file {path.name} is of {stated.tile} at {when}")


def _s1_product(item: _Item, folder: Path, files: frozenset[Path]) -> S1Product:
    kind = item.properties.get("sar:product_type")
    if kind != "RTC" and "rtc" not in item.collection.lower():
        raise Unusable(f"is Sentinel-1 {kind or item.collection}, expected terrain-corrected gamma0 (RTC)")
    keys = {plain(key): _object(asset) for key, asset in item.assets.items()}
    channels = {}
    for channel, names in _S1_KEYS.items():
        asset = next((keys[name] for name in names if name in keys), None)
        if asset is not None:
            channels[channel] = Asset(_local(asset.get("href"), item.file, folder, files))
    if not channels:
        raise Unusable("has no asset vv and no asset vh, expected at least one")
    orbit = next((each for each in ORBITS if each == item.properties.get("sat:orbit_state")), None)
    if orbit is None:
        raise Unusable(
            f"has sat:orbit_state {item.properties.get('sat:orbit_state')!r}, expected ascending or descending"
        )
    return S1Product(
        name=item.name,
        source=item.file,
        date=time_of(item.properties).date(),
        orbit=orbit,
        vv=channels.get("VV"),
        vh=channels.get("VH"),
        units=_S1_UNITS.get(item.collection),
        processing=s1_processing(item.name, item.properties, orbit),
        relative_orbit=relative_orbit_of(item.properties),
    )
