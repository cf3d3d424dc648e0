"""Sentinel-2 L2A products as ESA delivers them: `*.SAFE` folders, or zips of them, which stay packed."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes.layouts import hyp3
from tessera_engine.scenes.metadata.baseline import OFFSET, offset_by_baseline
from tessera_engine.scenes.metadata.duplicates import drop_duplicates
from tessera_engine.scenes.metadata.members import Member, in_zip, on_disk, zips
from tessera_engine.scenes.metadata.xml_texts import texts
from tessera_engine.scenes.products import Asset, Found, Listing, Problem, S2Product, Unusable

_METADATA = re.compile(r"MTD_MSIL2A\.xml|S2._\w+_MTD_SAFL2A_\w+\.xml")
_NAME = re.compile(
    r"(?P<satellite>S2[A-D])_MSIL2A_(?P<sensing>\d{8}T\d{6})_N(?P<baseline>\d{4})_R\d{3}_(?P<tile>T\d\d[A-Z]{3})"
)
_OLD_NAME = re.compile(r"S2[A-D]_\w+_PRD_MSIL2A_\w+_V(?P<sensing>\d{8}T\d{6})")
_OTHER_KINDS = {
    "_MSIL1C_": "Sentinel-2 Level-1C (top of atmosphere), expected Level-2A; run Sen2Cor or fetch the L2A product",
    "_GRD": "Sentinel-1 GRD, expected terrain-corrected gamma0 (RTC)",
    "_SLC_": "Sentinel-1 SLC, expected terrain-corrected gamma0 (RTC)",
}
_IMAGE = re.compile(
    r"_(?P<band>B\d[\dA]|SCL)(?:_(?P<resolution>\d\d)m|_L2A_TL_\w+_(?P<old_resolution>\d\d)m)\.(?:jp2|tiff?)$"
)
_PARTS = ("GRANULE", "DATASTRIP", "AUX_DATA", "HTML", "rep_info")
_PART_FILE = re.compile(
    r"MTD_|manifest\.safe|INSPIRE\.xml|S2._\w+_MTD_|.*-ql\.jpg|T\d\d[A-Z]{3}_\d{8}T\d{6}_"
)
"""Folders and files of a product beside its images."""

_RESOLUTIONS = {band: "10" if band in ("B02", "B03", "B04", "B08") else "20" for band in (*S2_BANDS, "SCL")}
_TAGS = (
    "PRODUCT_URI",
    "PRODUCT_URI_2A",
    "PROCESSING_LEVEL",
    "PROCESSING_BASELINE",
    "DATATAKE_SENSING_START",
    "PRODUCT_START_TIME",
    "BOA_QUANTIFICATION_VALUE",
    "L2A_BOA_QUANTIFICATION_VALUE",
    "BOA_ADD_OFFSET",
)


class _Root(NamedTuple):
    """Where a product is: a folder or a zip, and the product's name."""

    source: Path
    name: str


class _Metadata(NamedTuple):
    name: str
    date: date
    offset: int
    offset_known: bool


def find(listing: Listing) -> Found:
    """Find the Sentinel-2 L2A products of a scene folder; reads their metadata only."""
    found = Found()
    roots: dict[_Root, list[Member]] = {}
    roots.update(_roots(on_disk(listing), listing.folder))
    for root, members in roots.items():
        found.claimed |= _belonging(root, members, listing)
    for path in zips(listing):
        try:
            products = _roots(in_zip(path), None)
            roots.update(products)
            if products:
                found.claimed.add(path)
        except Unusable as error:
            if not hyp3.is_name(path.stem):  # that layout reports its own zips
                found.problems.append(Problem(path, str(error)))
    reasons: dict[Path, list[str]] = defaultdict(list)
    for root, members in roots.items():
        try:
            found.s2 += _products(root, members)
        except Unusable as error:
            reasons[root.source].append(str(error))  # a zip may contain several products
    found.problems += [Problem(source, "; ".join(every)) for source, every in reasons.items()]
    found.s2, duplicates = drop_duplicates(found.s2, _acquisition)
    found.problems += duplicates
    return found


def _roots(members: list[Member], folder: Path | None) -> dict[_Root, list[Member]]:
    """Group files by the product that they belong to; `folder` is the scene folder, None for a zip."""
    with_metadata = {member.path.parent for member in members if _METADATA.fullmatch(member.path.name)}
    roots = defaultdict(list)
    for member in members:
        outermost_first = reversed(member.path.parents)
        root = next((each for each in outermost_first if _is_safe(each.name) or each in with_metadata), None)
        if root is not None:
            source = member.source if folder is None else folder / root
            name = root.name or (member.source.stem if folder is None else source.name)
            roots[_Root(source, name[: -len(".SAFE")] if _is_safe(name) else name)].append(member)
    return dict(roots)


def _belonging(root: _Root, members: list[Member], listing: Listing) -> set[Path]:
    """What belongs to a product on disk: its whole folder, or the known files where the folder isn't named .SAFE."""
    if _is_safe(root.source.name) and root.source != listing.folder:
        return {root.source}
    below = {member: member.source.relative_to(root.source).parts for member in members}
    return {
        member.source
        for member, parts in below.items()
        if parts[0] in _PARTS or _PART_FILE.match(parts[-1]) or _IMAGE.search(parts[-1])
    }


def _is_safe(name: str) -> bool:
    return name.upper().endswith(".SAFE")


def _products(root: _Root, members: list[Member]) -> list[S2Product]:
    """A product's granules: one each; several in products made before December 2016."""
    for mark, what in _OTHER_KINDS.items():
        if mark in root.name:
            raise Unusable(f"is {what}")
    metadata = _read_metadata(root, members)
    granules: dict[str, dict[str, Asset]] = defaultdict(dict)
    for member in sorted(members):
        match = _IMAGE.search(member.path.name)
        if match and _RESOLUTIONS.get(match["band"]) == (match["resolution"] or match["old_resolution"]):
            granules[_granule(member)].setdefault(match["band"], member.asset)
    if not granules:
        raise Unusable("has no image of any band that is used; copy the whole product again")
    products = []
    for granule, images in granules.items():
        missing = [f"{band} at {size} m" for band, size in _RESOLUTIONS.items() if band not in images]
        if missing:
            raise Unusable(f"lacks {', '.join(missing)}; copy the whole product again")
        products.append(
            S2Product(
                name=metadata.name if len(granules) == 1 else f"{metadata.name}/{granule}",
                source=root.source,
                date=metadata.date,
                bands={band: images[band] for band in S2_BANDS},
                mask=images["SCL"],
                offset=metadata.offset,
                offset_known=metadata.offset_known,
            )
        )
    return products


def _granule(member: Member) -> str:
    parts = member.path.parts
    return parts[parts.index("GRANULE") + 1] if "GRANULE" in parts else ""


def _read_metadata(root: _Root, members: list[Member]) -> _Metadata:
    """Metadata from the XML file; from the product's name where there is no such file."""
    file = next((member for member in members if _METADATA.fullmatch(member.path.name)), None)
    found: dict[str, list[str]] = {}
    if file is not None:
        content = file.read()
        try:
            found = texts(content, _TAGS)
        except Unusable as error:
            raise Unusable(f"{file.path.name} {error}") from None
    first = {tag.removeprefix("L2A_"): values[0] for tag, values in found.items() if values}
    level = first.get("PROCESSING_LEVEL", "Level-2A")
    if not level.startswith("Level-2A"):
        raise Unusable(f"is {level}, expected Level-2A")
    values = first.get("BOA_QUANTIFICATION_VALUE", "10000")
    if values not in ("10000", "10000.0"):
        raise Unusable(f"has reflectance * {values}, expected reflectance * 10000")
    name = (first.get("PRODUCT_URI") or first.get("PRODUCT_URI_2A") or root.name).removesuffix(".SAFE")
    in_metadata, in_root = _NAME.match(name), _NAME.match(root.name)
    if in_metadata and in_root and in_metadata.groups() != in_root.groups():
        raise Unusable(f"is named {root.name}, but its metadata are of {name}")
    named = in_metadata or in_root
    old = _OLD_NAME.match(name) or _OLD_NAME.match(root.name)
    start = first.get("DATATAKE_SENSING_START") or first.get("PRODUCT_START_TIME")
    if start is None and (named or old):
        start = (named or old)["sensing"]  # type: ignore[index]
    day = _day(start)
    baseline = first.get("PROCESSING_BASELINE") or (named["baseline"] if named else None)
    offsets = set(found.get("BOA_ADD_OFFSET", ()))
    if offsets:
        return _Metadata(name, day, _one_offset(offsets), True)
    return _Metadata(name, day, *offset_by_baseline(baseline, day))


def _day(start: str | None) -> date:
    """The date in `2022-04-13T15:07:59.024Z` or `20220413T150759`."""
    if start is None:
        raise Unusable("has neither MTD_MSIL2A.xml nor the name of a product, so its date is unknown")
    try:
        return datetime.strptime(start[:10].replace("-", "")[:8], "%Y%m%d").date()
    except ValueError:
        raise Unusable(f"has the date {start!r} in its metadata, expected one like 2022-04-13") from None


def _one_offset(offsets: set[str]) -> int:
    """The number to subtract, from the BOA_ADD_OFFSET of all bands."""
    try:
        values = {-int(float(offset)) for offset in offsets}
    except ValueError:
        values = set()
    if len(values) != 1 or not values <= {0, OFFSET}:
        raise Unusable(
            f"has BOA_ADD_OFFSET {', '.join(sorted(offsets))}, expected {-OFFSET} or 0 for all bands"
        )
    return values.pop()


def _acquisition(product: S2Product) -> tuple[tuple[str, ...], str]:
    match = _NAME.match(product.name)
    if match is None:
        return (product.name,), ""
    return (match["satellite"], match["sensing"], match["tile"]), match["baseline"]
