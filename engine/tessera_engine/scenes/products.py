"""Satellite products as product layouts find them in a folder, before any pixel is read.

The products of all layouts together make one scene.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple, Protocol

from affine import Affine
from numpy.typing import NDArray

from tessera_engine.scene import Problem as Problem
from tessera_engine.scene import Window

Orbit = Literal["ascending", "descending"]
ORBITS: tuple[Orbit, ...] = ("ascending", "descending")

S1Units = Literal["power", "amplitude", "db", "code"]
"""Units of gamma0: linear power, its square root (amplitude), 10 * log10(power) (db), or TESSERA's int16 code."""

MaskKind = Literal["scl", "clear"]


class PixelLayer(Protocol):
    """One band of a data cube at all dates: rasters with north up, on one grid, of one dtype.

    Attributes:
        crs: the CRS.
        transform: where the pixels are.
        width: columns.
        height: rows.
        dtype: name of the dtype of what is read.
        block: width and height of the blocks in which it is stored.
        held_bytes: bytes kept for each pixel of the window that is being read.
        chunk_bytes: of a stored chunk when it is decoded.
    """

    crs: str
    transform: Affine
    width: int
    height: int
    dtype: str
    block: tuple[int, int]
    held_bytes: int
    chunk_bytes: int


class Pixels(Protocol):
    """A raster that is read without GDAL: one date of a data cube."""

    @property
    def layer(self) -> PixelLayer:
        """What it is one date of."""

    def read(self, window: Window) -> NDArray[Any]:
        """The values in a window inside the raster, (height, width); no data is 0, or NaN in floating point.

        Raises:
            InputError: the file is damaged, or has changed since it was opened.
        """


class Asset(NamedTuple):
    """One band of a raster file."""

    file: Path
    """on disk, in the scene folder"""
    band: int = 1
    name: str = ""
    """the name that GDAL opens where it isn't the file's: `/vsizip/<file>/<member>`"""
    pixels: Pixels | None = None
    """reads it where GDAL doesn't: data cubes"""

    @property
    def path(self) -> str:
        """The name that GDAL opens."""
        return self.name or str(self.file)

    @property
    def label(self) -> str:
        """The file with its folder, for messages: some products have bands of the same name in different folders."""
        path = PurePath(self.path)
        return f"{path.parent.name}/{path.name}"

    @property
    def driver(self) -> str:
        """The GDAL driver that opens it.

        The driver is given explicitly. Otherwise GDAL chooses one by the content: a virtual raster named `B04.tif`
        could then read any file of the machine, or the network.
        """
        return "JP2OpenJPEG" if self.path.lower().endswith((".jp2", ".j2k")) else "GTiff"


class Processing(NamedTuple):
    """Which acquisition a product is of, and how new it is; see `tessera_engine.scenes.metadata.duplicates`.

    Attributes:
        acquisition: what is equal for all processings: satellite and tile, or satellite, burst and time.
        start: when the pass was, UTC without a time zone; products of one acquisition are of one pass if their starts
            are less than an hour apart. None: `acquisition` is enough.
        baseline: processing baseline or version; None where it isn't known.
        generated: time of processing as 20220414T082126; empty where it isn't known.
        discriminator: a text that sorts processings without these, oldest first.
        part: start of the datastrip, by which parts of an acquisition are told apart; None where it isn't known.
    """

    acquisition: tuple[str, ...]
    start: datetime | None = None
    baseline: str | None = None
    generated: str = ""
    discriminator: str = ""
    part: datetime | None = None


@dataclass(frozen=True)
class S2Product:
    """One Sentinel-2 L2A product: one tile, or a part of one, on one date.

    Attributes:
        name: name of the product, for messages. It also decides between products of one date: in the order of names,
            the first one that is clear is used for a pixel.
        source: the file or folder that the user sees.
        date: day of acquisition.
        bands: band of `S2_BANDS` -> its raster.
        mask: the raster of the scene classification or clear mask.
        offset: number to subtract from each digital number that is at least as large; 0 or 1000.
        offset_known: whether `offset` follows from metadata; False: it was derived from the date.
        mask_kind: `scl`: the scene classification's classes; `clear`: non-zero where clear.
        processing: by which the newest of several products of one acquisition is found; None: it is used in any case.
        relative_orbit: the number of the orbit, where metadata have it.
    """

    name: str
    source: Path
    date: date
    bands: Mapping[str, Asset]
    mask: Asset
    offset: int
    offset_known: bool = True
    mask_kind: MaskKind = "scl"
    processing: Processing | None = None
    relative_orbit: int | None = None

    @property
    def assets(self) -> tuple[Asset, ...]:
        """All its rasters."""
        return (*self.bands.values(), self.mask)


@dataclass(frozen=True)
class S1Product:
    """One Sentinel-1 RTC product of one date and orbit.

    Attributes:
        name: see `S2Product`.
        source: the file or folder that the user sees.
        date: day of acquisition.
        orbit: direction of the pass.
        vv: the raster of the VV channel; None where the product has none.
        vh: the raster of the VH channel; None where the product has none.
        units: units of the values; None where metadata don't contain them and the user has to give them.
        processing: see `S2Product`.
        relative_orbit: its number, where metadata have it.
    """

    name: str
    source: Path
    date: date
    orbit: Orbit
    vv: Asset | None
    vh: Asset | None
    units: S1Units | None
    processing: Processing | None = None
    relative_orbit: int | None = None

    @property
    def assets(self) -> tuple[Asset, ...]:
        """All its rasters."""
        return tuple(asset for asset in (self.vv, self.vh) if asset is not None)


class Unusable(Exception):
    """A product can't be used. The message is the reason, as in `Problem`."""


@dataclass
class Found:
    """The products that one layout, or all of them, found in a folder.

    Attributes:
        s2: Sentinel-2 products.
        s1: Sentinel-1 products.
        problems: products that look like the layout's but can't be used, each once.
        warnings: other things that the user should know, one line each.
        claimed: files and folders that belong to the layout, with everything in these folders. The rasters of products
            and what `problems` name needn't be here.
    """

    s2: list[S2Product] = field(default_factory=list)
    s1: list[S1Product] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    claimed: set[Path] = field(default_factory=set)


@dataclass(frozen=True)
class Listing:
    """All files of a scene folder, found once.

    Attributes:
        folder: the scene folder, resolved.
        files: every regular file in it, at any depth, sorted by path; without hidden files, what systems add to
            folders, outputs of this engine, and links that lead out of the folder.
        problems: what can't be opened: links that lead out of the folder or nowhere, and files without permission.
        empty: folders without any file in them or below, the outermost ones.
        claimed: files and folders that belong to layouts which were looked for before.
    """

    folder: Path
    files: tuple[Path, ...]
    problems: tuple[Problem, ...] = ()
    empty: tuple[Path, ...] = ()
    claimed: frozenset[Path] = frozenset()

    @property
    def unclaimed(self) -> tuple[Path, ...]:
        """The files that belong to no layout so far."""
        claimed, top = {str(each) for each in self.claimed}, len(str(self.folder))
        return tuple(path for path in self.files if not _belongs(str(path), claimed, top))


def _belongs(path: str, claimed: set[str], top: int) -> bool:
    """Whether a file is claimed, or a folder above it within the scene folder: nobody can claim all of that.

    Args:
        path: of the file.
        claimed: paths.
        top: characters of the path of the scene folder.
    """
    # With pathlib this takes twenty times as long, a second for 20,000 files
    while len(path) > top:
        if path in claimed:
            return True
        path = os.path.dirname(path)  # noqa: PTH120
    return False
