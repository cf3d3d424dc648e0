"""Satellite products: what a layout's module finds in a folder, before any pixel is read.

A layout's module has a name, `LAYOUT`, and one function, `find(listing) -> Found`, that reads metadata only. All
layouts' findings together make one scene.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePath
from typing import Literal, NamedTuple

Orbit = Literal["ascending", "descending"]
ORBITS: tuple[Orbit, ...] = ("ascending", "descending")

S1Units = Literal["power", "amplitude", "db", "code"]
"""Of gamma0: linear power, its square root, 10 * log10(power), or TESSERA's own int16 code."""


MaskKind = Literal["scl", "clear"]


class Asset(NamedTuple):
    """One band of a raster file."""

    file: Path
    """on disk, in the scene folder"""
    band: int = 1
    name: str = ""
    """what GDAL opens where that isn't the file itself: `/vsizip/<file>/<member>`, `NETCDF:"<file>":<variable>`"""

    @property
    def path(self) -> str:
        """What GDAL opens."""
        return self.name or str(self.file)

    @property
    def label(self) -> str:
        """The file within its product, for messages: the folder may be all that tells bands apart."""
        path = PurePath(self.file if self.name.startswith(("NETCDF:", "ZARR:")) else self.path)
        return f"{path.parent.name}/{path.name}"

    @property
    def driver(self) -> str:
        """The GDAL driver that opens it.

        It is named, since GDAL left alone looks at the content: a virtual raster called `B04.tif` could read any file
        of the machine, or the network.
        """
        for prefix, driver in (("NETCDF:", "netCDF"), ("ZARR:", "Zarr")):
            if self.name.startswith(prefix):
                return driver
        return "JP2OpenJPEG" if self.path.lower().endswith((".jp2", ".j2k")) else "GTiff"


@dataclass(frozen=True)
class S2Product:
    """One Sentinel-2 L2A product: one tile, or a part of one, on one date.

    Attributes:
        name: of the product, for messages and as the order in which products of one date count: the first clear
            one wins, and names are sorted.
        source: the file or folder that the user sees.
        date: of acquisition.
        bands: where each band of `S2_BANDS` lies.
        mask: where the scene classification or the clear mask lies.
        offset: what has to be subtracted from each digital number that is at least as large; 0 or 1000.
        offset_known: whether the metadata say so; False: it was guessed from the date.
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
        date: of acquisition.
        orbit: of the pass.
        vv: where the VV channel lies, None where the product has none.
        vh: where the VH channel lies, None where the product has none.
        units: of the values; None where nothing says so: the user has to.
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
    """A product can't be used; the message is the reason, for a `Problem`."""


class Problem(NamedTuple):
    """A product that can't be used, or a file that isn't opened."""

    source: Path
    reason: str


@dataclass
class Found:
    """What one layout's module, or all of them, found in a folder.

    Attributes:
        s2: Sentinel-2 products.
        s1: Sentinel-1 products.
        problems: products that look like the layout's but can't be used, each once.
        warnings: other things worth saying, a line each.
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
        files: every regular file in it, at any depth, sorted by path; links that lead out of the folder and
            hidden files are left out.
        problems: links that lead out of the folder.
    """

    folder: Path
    files: tuple[Path, ...]
    problems: tuple[Problem, ...] = ()
