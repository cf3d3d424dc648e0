"""Satellite products as product layouts find them in a folder, before any pixel is read.

The products of all layouts together make one scene.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple, Protocol

from affine import Affine
from numpy.typing import NDArray

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
    """

    crs: str
    transform: Affine
    width: int
    height: int
    dtype: str
    block: tuple[int, int]
    held_bytes: int


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
    """

    name: str
    source: Path
    date: date
    bands: Mapping[str, Asset]
    mask: Asset
    offset: int
    offset_known: bool = True
    mask_kind: MaskKind = "scl"

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
    """

    name: str
    source: Path
    date: date
    orbit: Orbit
    vv: Asset | None
    vh: Asset | None
    units: S1Units | None

    @property
    def assets(self) -> tuple[Asset, ...]:
        """All its rasters."""
        return tuple(asset for asset in (self.vv, self.vh) if asset is not None)


class Unusable(Exception):
    """A product can't be used. The message is the reason, as in `Problem`."""


class Problem(NamedTuple):
    """A product that can't be used, or a file that is not opened, and the reason."""

    source: Path
    reason: str


@dataclass
class Found:
    """The products that one layout, or all of them, found in a folder.

    Attributes:
        s2: Sentinel-2 products.
        s1: Sentinel-1 products.
        problems: products that look like the layout's but can't be used, each once.
        warnings: other things that the user should know, one line each.
    """

    s2: list[S2Product] = field(default_factory=list)
    s1: list[S1Product] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Listing:
    """All files of a scene folder, found once.

    Attributes:
        folder: the scene folder, resolved.
        files: every regular file in it, at any depth, sorted by path; without hidden files and links that lead out of
            the folder.
        problems: links that lead out of the folder.
    """

    folder: Path
    files: tuple[Path, ...]
    problems: tuple[Problem, ...] = ()
