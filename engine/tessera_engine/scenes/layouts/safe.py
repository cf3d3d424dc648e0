"""Sentinel-2 L2A products as ESA delivers them: `*.SAFE` folders, or zips of them, which stay packed.

Contents of several products that were copied into one folder are sorted out by the names of granules and images.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes.layouts import hyp3
from tessera_engine.scenes.metadata.band_names import RESOLUTIONS
from tessera_engine.scenes.metadata.baseline import FIRST_DAY, offset_by_baseline
from tessera_engine.scenes.metadata.kinds import is_unfinished, kind_of_product
from tessera_engine.scenes.metadata.members import Member, in_zip, on_disk, zips
from tessera_engine.scenes.metadata.names import (
    GRANULE_NAME,
    L2A_NAME,
    SAME_DATATAKE,
    SAME_PASS,
    Stated,
    moment,
    stated_by_image,
)
from tessera_engine.scenes.metadata.safe_metadata import (
    METADATA,
    OF_GRANULE,
    Metadata,
    matching,
    of_granule,
    of_product,
)
from tessera_engine.scenes.products import Found, Listing, Problem, Processing, S2Product, Unusable

_IMAGE = re.compile(
    r"_(?P<band>B\d[\dA]|SCL)(?:_(?P<resolution>\d\d)m|_L2A_TL_\w+_(?P<old_resolution>\d\d)m)\.(?i:jp2|tiff?)$"
)
_PARTS = ("GRANULE", "DATASTRIP", "AUX_DATA", "HTML", "rep_info")
_PART_FILE = re.compile(
    r"MTD_|manifest\.safe|INSPIRE\.xml|S2._\w+_MTD_|.*-ql\.jpg|T\d\d[A-Z]{3}_\d{8}T\d{6}_"
)
"""Folders and files of a product beside its images."""

_RESOLUTIONS = {band: str(RESOLUTIONS[band]) for band in (*S2_BANDS, "SCL")}


class _Root(NamedTuple):
    """Where a product is: a folder or a zip, and the product's name."""

    source: Path
    name: str


class _Granule(NamedTuple):
    """What sets one granule's images apart from others of the same root: their folder and what their names say."""

    folder: PurePosixPath
    stated: Stated
    tolerance: timedelta
    """by which the time in the names may differ from the datatake's"""


def find(listing: Listing) -> Found:
    """Find the Sentinel-2 L2A products of a scene folder; reads their metadata only."""
    found = Found()
    roots: dict[_Root, list[Member]] = {}
    roots.update(_roots(on_disk(listing), listing.folder))
    for root, members in roots.items():
        found.claimed |= _belonging(root, members, listing)
    for path in zips(listing):
        if kind_of_product(path.name) is not None:  # named with the other files that no layout reads
            continue
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
            for product in _products(root, members):
                if isinstance(product, S2Product):
                    found.s2.append(product)
                else:
                    reasons[product.source].append(product.reason)
        except Unusable as error:
            reasons[root.source].append(str(error))  # a zip may contain several products
    found.problems += [Problem(source, "; ".join(every)) for source, every in reasons.items()]
    return found


def _roots(members: list[Member], folder: Path | None) -> dict[_Root, list[Member]]:
    """Group files by the product that they belong to; `folder` is the scene folder, None for a zip."""
    marked = {member.path.parent for member in members if METADATA.fullmatch(member.path.name)}
    for member in members:
        if "GRANULE" in member.path.parts[:-1]:
            marked.add(PurePosixPath(*member.path.parts[: member.path.parts.index("GRANULE")]))
        elif _IMAGE.search(member.path.name):  # a product whose folder lost its .SAFE, or a granule alone
            marked.update(each for each in member.path.parents if _has_name(each.name))
    roots = defaultdict(list)
    for member in members:
        outermost_first = list(reversed(member.path.parents))
        root = next((each for each in outermost_first if _is_safe(each.name) or each in marked), None)
        if root is not None:
            source = member.source if folder is None else folder / root
            name = root.name or (member.source.stem if folder is None else source.name)
            roots[_Root(source, name[: -len(".SAFE")] if _is_safe(name) else name)].append(member)
    return dict(roots)


def _belonging(root: _Root, members: list[Member], listing: Listing) -> set[Path]:
    """What belongs to a product on disk: its whole folder, or the known files where the folder isn't named .SAFE."""
    if (_is_safe(root.source.name) or _has_name(root.source.name)) and root.source != listing.folder:
        return {root.source}
    below = {member: member.source.relative_to(root.source).parts for member in members}
    return {
        member.source
        for member, parts in below.items()
        if (parts[0] in _PARTS or _PART_FILE.match(parts[-1]) or _IMAGE.search(parts[-1]))
        and not any(map(kind_of_product, parts))
    }


def _is_safe(name: str) -> bool:
    return name.upper().endswith(".SAFE")


def _has_name(name: str) -> bool:
    """Whether a folder has the name of a product or granule, without .SAFE."""
    return not is_unfinished(name) and any(each.match(name) is not None for each in (L2A_NAME, GRANULE_NAME))


def _products(root: _Root, members: list[Member]) -> Iterator[S2Product | Problem]:
    """A product's granules: one each; several in products made before December 2016, and in merged folders."""
    kind = kind_of_product(root.name)
    if kind is not None:
        raise Unusable(kind.reason)
    candidates = _candidates(root, members)
    granules: dict[_Granule, dict[str, Member]] = defaultdict(dict)
    for member in sorted(members):
        match = _IMAGE.search(member.path.name)
        if match and _RESOLUTIONS.get(match["band"]) == (match["resolution"] or match["old_resolution"]):
            granules[_granule(member)].setdefault(match["band"], member)
    if not granules:
        parts = [part for member in members for part in member.path.parts]
        other = next((kind for part in parts if (kind := kind_of_product(part))), None)
        raise Unusable(
            other.reason if other else "has no image of any band that is used; copy the whole product again"
        )
    of_granules = _LazyGranules(members)
    for granule, images in granules.items():
        only = len(granules) == 1
        try:
            metadata = matching(candidates, granule.stated, granule.tolerance)
            if metadata is None:
                metadata = _of_orphan(root, candidates, granule, of_granules.all)
            elif not only:
                metadata = metadata._replace(
                    name=f"{metadata.name}/{granule.folder.name or granule.stated.tile}"
                )
            yield _product(root.source, metadata, granule, images)
        except Unusable as error:
            yield Problem(root.source if only else _source(root, granule, images), str(error))


class _LazyGranules:
    """The metadata of a root's granules, which are read only if the product's own don't fit."""

    def __init__(self, members: list[Member]) -> None:
        self._files = [member for member in members if OF_GRANULE.fullmatch(member.path.name)]

    @cached_property
    def all(self) -> list[Metadata]:
        """Those that can be read."""
        found = []
        for file in self._files:
            with suppress(Unusable):
                found.append(of_granule(file))
        return [each for each in found if each is not None]


def _granule(member: Member) -> _Granule:
    parts, stated = member.path.parts, stated_by_image(member.path.name)
    at = parts.index("GRANULE") + 2 if "GRANULE" in parts[:-2] else 0
    folder = PurePosixPath(*parts[:at])
    if stated.sensing is None:
        for part in parts[:-1]:
            match = GRANULE_NAME.search(part)
            if match:
                in_folder = Stated(stated.tile or match["tile"], moment(match["datastrip"]))
                return _Granule(folder, in_folder, SAME_PASS)
    return _Granule(folder, stated, SAME_DATATAKE)


def _source(root: _Root, granule: _Granule, images: dict[str, Member]) -> Path:
    """What the user sees of one granule among several: its folder, or its first image."""
    first = min(images.values())
    if first.zipped:
        return root.source
    return next((each for each in first.source.parents if each.name == granule.folder.name), first.source)


def _candidates(root: _Root, members: list[Member]) -> list[Metadata]:
    """The metadata of all products whose files were copied to this place; usually of one."""
    files = sorted(member for member in members if METADATA.fullmatch(member.path.name))
    if len(files) > 1:
        # Each is of a product of its own, so the folder's name says nothing; damaged ones are of no use
        found = []
        for file in files:
            with suppress(Unusable):
                found.append(of_product("", file))
        return found
    try:
        return [of_product(root.name, files[0] if files else None)]
    except Unusable:
        if files:
            raise
        return []


def _product(source: Path, metadata: Metadata, granule: _Granule, images: dict[str, Member]) -> S2Product:
    missing = [f"{band} at {size} m" for band, size in _RESOLUTIONS.items() if band not in images]
    if missing:
        raise Unusable(f"lacks {', '.join(missing)}; copy the whole product again")
    tile = granule.stated.tile or metadata.stated.tile
    in_folder = GRANULE_NAME.search(granule.folder.name)
    return S2Product(
        name=metadata.name,
        source=source,
        date=metadata.date,
        bands={band: images[band].asset for band in S2_BANDS},
        mask=images["SCL"].asset,
        offset=metadata.offset,
        offset_known=metadata.offset_known,
        processing=metadata.processing._replace(
            acquisition=(metadata.satellite, tile) if tile else (metadata.name,),
            part=metadata.processing.part or (moment(in_folder["datastrip"]) if in_folder else None),
        ),
    )


def _of_orphan(
    root: _Root, candidates: list[Metadata], granule: _Granule, of_granules: list[Metadata]
) -> Metadata:
    """The metadata of a granule whose product's are not here: its own, or what follows from its date alone.

    Raises:
        Unusable: it isn't known whether its values have the offset.
    """
    stated = granule.stated
    own = matching(of_granules, stated, SAME_PASS)
    if own is not None:
        return own if stated.sensing is None else own._replace(date=stated.sensing.date())
    if stated.sensing is None:
        raise Unusable("has neither MTD_MSIL2A.xml nor the name of a product, so its date is unknown")
    day = stated.sensing.date()
    if day < FIRST_DAY:
        # Products of these years were processed again later: some of them have the offset
        others = f"its metadata are of {candidates[0].name}" if candidates else "its metadata are missing"
        raise Unusable(
            f"has images of {stated.tile or 'a tile'} on {day}, but {others}; keep each product in its own .SAFE "
            "folder or zip"
        )
    name = f"{root.name}/{granule.folder.name or stated.tile}/{day}"
    return Metadata(name, day, *offset_by_baseline(None, day), stated, "", Processing((), stated.sensing))
