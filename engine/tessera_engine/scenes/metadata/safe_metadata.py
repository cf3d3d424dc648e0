"""The metadata of Sentinel-2 SAFE products: of a whole product (MTD_MSIL2A.xml) and of one granule (MTD_TL.xml)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from tessera_engine.scenes.metadata.baseline import OFFSET, offset_by_baseline
from tessera_engine.scenes.metadata.members import Member
from tessera_engine.scenes.metadata.names import (
    L2A_NAME,
    Stated,
    agree,
    compact,
    moment,
)
from tessera_engine.scenes.metadata.xml_texts import texts
from tessera_engine.scenes.products import Processing, Unusable

METADATA = re.compile(r"MTD_MSIL2A.*\.xml|S2._\w+_MTD_SAFL2A_\w+\.xml")
"""Of a product. Where contents of several were copied into one folder, systems number them: `MTD_MSIL2A (2).xml`."""

OF_GRANULE = re.compile(r"MTD_TL.*\.xml")

_OLD_NAME = re.compile(r"S2[A-D]_\w+_PRD_MSIL2A_\w+_V(?P<sensing>\d{8}T\d{6})")
_TAGS = (
    "PRODUCT_URI",
    "PRODUCT_URI_2A",
    "PROCESSING_LEVEL",
    "PROCESSING_BASELINE",
    "DATATAKE_SENSING_START",
    "PRODUCT_START_TIME",
    "GENERATION_TIME",
    "BOA_QUANTIFICATION_VALUE",
    "L2A_BOA_QUANTIFICATION_VALUE",
    "BOA_ADD_OFFSET",
)
_TILE_ID = re.compile(
    r"_TL_\w+?_(?P<made>\d{8}T\d{6})_A\d{6}_T(?P<tile>\d\d[A-Z]{3})_N(?P<baseline>\d\d\.\d\d)"
)
_DATASTRIP_ID = re.compile(r"_S(?P<start>\d{8}T\d{6})_N")


class Metadata(NamedTuple):
    """What is known about a product.

    Attributes:
        name: the product's name.
        date: day of acquisition.
        offset: number to subtract from digital numbers.
        offset_known: whether it follows from metadata, else from the date.
        stated: tile and datatake; its images must be of these.
        satellite: as S2A; empty where it isn't known.
        processing: without the acquisition, which the layout adds with the tile.
    """

    name: str
    date: date
    offset: int
    offset_known: bool
    stated: Stated
    satellite: str
    processing: Processing


def of_product(root_name: str, file: Member | None) -> Metadata:
    """The metadata of a product, from its XML file; from its name where there is no such file.

    Raises:
        Unusable: they are of another level or another product, damaged, or lack the date.
    """
    found = {} if file is None else _texts(file, _TAGS)
    first = {tag.removeprefix("L2A_"): values[0] for tag, values in found.items() if values}
    level = first.get("PROCESSING_LEVEL", "Level-2A")
    if not level.startswith("Level-2A"):
        raise Unusable(f"is {level}, expected Level-2A")
    values = first.get("BOA_QUANTIFICATION_VALUE", "10000")
    if values not in ("10000", "10000.0"):
        raise Unusable(f"has reflectance * {values}, expected reflectance * 10000")
    name = (first.get("PRODUCT_URI") or first.get("PRODUCT_URI_2A") or root_name).removesuffix(".SAFE")
    in_metadata, in_root = L2A_NAME.match(name), L2A_NAME.match(root_name)
    if in_metadata and in_root and _differ(in_metadata, in_root):
        raise Unusable(f"is named {root_name}, but its metadata are of {name}")
    named = in_metadata or in_root
    old = _OLD_NAME.match(name) or _OLD_NAME.match(root_name)
    start = first.get("DATATAKE_SENSING_START") or first.get("PRODUCT_START_TIME")
    if start is None and (named or old):
        start = (named or old)["sensing"]  # type: ignore[index]
    day = _day(start)
    baseline = first.get("PROCESSING_BASELINE") or (named["baseline"] if named else None)
    offsets = set(found.get("BOA_ADD_OFFSET", ()))
    offset, known = (_one_offset(offsets), True) if offsets else offset_by_baseline(baseline, day)
    discriminator = (named["discriminator"] or "") if named else ""
    sensing = moment(named["sensing"]) if named else moment(first.get("DATATAKE_SENSING_START"))
    return Metadata(
        name,
        day,
        offset,
        known,
        Stated(named["tile"] if named else None, sensing),
        named["satellite"] if named else name[:3],
        Processing(
            (), moment(start), baseline, compact(first.get("GENERATION_TIME")) or discriminator, discriminator
        ),
    )


def of_granule(file: Member) -> Metadata | None:
    """The metadata of one granule, from its own file MTD_TL.xml; None where that lacks the tile, time or baseline.

    Raises:
        Unusable: the file is damaged.
    """
    found = _texts(file, ("TILE_ID", "DATASTRIP_ID", "SENSING_TIME"))
    tile_id = _TILE_ID.search(" ".join(found["TILE_ID"]))
    datastrip = _DATASTRIP_ID.search(" ".join(found["DATASTRIP_ID"]))
    sensing = moment((found["SENSING_TIME"] or [""])[0])
    if tile_id is None or sensing is None:
        return None
    day = sensing.date()
    return Metadata(
        " ".join(found["TILE_ID"]).split()[-1],
        day,
        *offset_by_baseline(tile_id["baseline"], day),
        Stated(tile_id["tile"], sensing),
        " ".join(found["TILE_ID"])[:3],
        Processing(
            (),
            sensing,
            tile_id["baseline"],
            tile_id["made"],
            part=moment(datastrip["start"]) if datastrip else None,
        ),
    )


def matching(candidates: Sequence[Metadata], stated: Stated, tolerance: timedelta) -> Metadata | None:
    """The metadata of the product that images belong to; None where it isn't among the candidates.

    Args:
        candidates: metadata that lie beside the images.
        stated: tile and time that the images' names say.
        tolerance: by which the times may differ.
    """
    fitting = [each for each in candidates if agree(each.stated, stated, tolerance)]
    # A product that says it is of this tile and time comes before one that says nothing
    return min(fitting, key=lambda each: each.stated.count(None), default=None)


def _differ(a: re.Match[str], b: re.Match[str]) -> bool:
    """Whether two product names are of different products; the discriminator may differ."""
    return any(a[part] != b[part] for part in ("satellite", "sensing", "tile")) or (
        None not in (a["baseline"], b["baseline"]) and a["baseline"] != b["baseline"]
    )


def _texts(file: Member, tags: Sequence[str]) -> dict[str, list[str]]:
    content = file.read()
    try:
        return texts(content, tags)
    except Unusable as error:
        raise Unusable(f"{file.path.name} {error}") from None


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
