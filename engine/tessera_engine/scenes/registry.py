"""The layouts of scenes on disk. A new layout is one file in `layouts/` and one line of `LAYOUTS`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from tessera_engine.scene import Reader
    from tessera_engine.scenes.products import Found, Listing


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


# fmt: off
_LAYOUTS = (
    Layout("dpixel", "tile", "a d-pixel tile (bands.npy, masks.npy, ...)", "tessera_engine.scenes.layouts.dpixel"),
    Layout("tiles", "tile", "a folder of d-pixel tiles", "tessera_engine.scenes.layouts.tiles"),
    Layout("safe", "product", "Sentinel-2 L2A (.SAFE folders or their zips)", "tessera_engine.scenes.layouts.safe"),
    Layout("stac", "product", "STAC items with their rasters", "tessera_engine.scenes.layouts.stac"),
    Layout("opera", "product", "OPERA RTC-S1 GeoTIFFs", "tessera_engine.scenes.layouts.opera"),
    Layout("hyp3", "product", "HyP3 RTC GeoTIFFs or their zips", "tessera_engine.scenes.layouts.hyp3"),
    Layout("mosaics", "product", "date mosaics of TESSERA's downloader", "tessera_engine.scenes.layouts.mosaics"),
    Layout("stacks", "product", "GeoTIFFs with named bands and dates", "tessera_engine.scenes.layouts.stacks"),
    Layout("cube", "product", "data cubes (NetCDF or Zarr)", "tessera_engine.scenes.layouts.cube"),
)
# fmt: on
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
