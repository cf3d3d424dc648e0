"""The layouts of scenes on disk. A new layout is one file in `layouts/` and one line of `LAYOUTS`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from tessera_engine.scene import Reader
    from tessera_engine.scenes.products import Found, Listing

_FOLDER = "tessera_engine.scenes.layouts"


@dataclass(frozen=True)
class Layout:
    """One way to store a scene on disk.

    Attributes:
        name: what users type.
        kind: `tile`: arrays that are on one grid already; the module has `open_folder(folder) -> Reader | None`.
            `product`: satellite products, which are brought to one grid while they are read; the module has
            `find(listing) -> Found`.
        looks_like: what users see on disk, in one phrase for messages and help.
        module: the module's full name. It is imported when the layout is first used: the command line needs the
            names only, and must not wait for NumPy and rasterio.
    """

    name: str
    kind: Literal["tile", "product"]
    looks_like: str
    module: str

    def open_folder(self, folder: Path) -> Reader | None:
        """Open a scene of a tile layout; None where the folder doesn't have this layout.

        Raises:
            InputError: the folder has this layout, but something in it is missing, damaged or inconsistent.
        """
        reader: Reader | None = import_module(self.module).open_folder(folder)
        return reader

    def find(self, listing: Listing) -> Found:
        """Find the products of a product layout in a folder's files; reads metadata only."""
        found: Found = import_module(self.module).find(listing)
        return found


_LAYOUTS = (
    Layout("dpixel", "tile", "a d-pixel tile (bands.npy, masks.npy, doys.npy, ...)", f"{_FOLDER}.dpixel"),
    Layout("tiles", "tile", "a folder of d-pixel tiles", f"{_FOLDER}.tiles"),
    Layout("safe", "product", "Sentinel-2 L2A products (.SAFE folders or their zips)", f"{_FOLDER}.safe"),
    Layout("stac", "product", "STAC items with their rasters", f"{_FOLDER}.stac"),
    Layout("opera", "product", "OPERA RTC-S1 GeoTIFFs", f"{_FOLDER}.opera"),
    Layout("hyp3", "product", "HyP3 RTC GeoTIFFs or their zips", f"{_FOLDER}.hyp3"),
    Layout("mosaics", "product", "date mosaics of TESSERA's downloader", f"{_FOLDER}.mosaics"),
    Layout("cube", "product", "data cubes (NetCDF or Zarr)", f"{_FOLDER}.cube"),
)
"""A file that two product layouts find belongs to the first one: those that know most about a file come first."""

LAYOUTS = {layout.name: layout for layout in _LAYOUTS}
"""Name -> layout, in the order in which they are tried."""


def layouts_of(kind: Literal["tile", "product"], only: str | None = None) -> list[Layout]:
    """The layouts of one kind, in order.

    Args:
        kind: see `Layout`.
        only: the name of the only layout to return; None: all of them.
    """
    return [each for each in LAYOUTS.values() if each.kind == kind and only in (None, each.name)]


def all_phrases() -> str:
    """What every layout looks like, for messages."""
    return ", ".join(layout.looks_like for layout in LAYOUTS.values())
