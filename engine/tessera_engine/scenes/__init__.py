"""Layouts of scenes on disk; which one a folder has is found by looking at it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import cast, get_args

from tessera_engine.errors import InputError
from tessera_engine.scene import Reader, Scene
from tessera_engine.scenes.period import Period, asked_period
from tessera_engine.scenes.products import S1Units

TILE_LAYOUTS = ("dpixel", "tiles")
"""Layouts that aren't made of products: arrays on one grid already."""


def open_scene(
    path: str | Path,
    *,
    layout: str | None = None,
    year: int | None = None,
    start: date | None = None,
    end: date | None = None,
    like: str | Path | None = None,
    s1_units: str | None = None,
) -> Scene:
    """Open a scene folder: a d-pixel tile, a folder of such tiles, or satellite products of any layouts together.

    Only headers and dates are read; observations are read window by window. The options are for products; see
    `tessera_engine.scenes.finding.LAYOUTS`.

    Args:
        path: the folder.
        layout: the only layout to look for, one of `TILE_LAYOUTS` or `LAYOUTS`; None: all.
        year: take observations of this year only.
        start: take observations from this day on; with `end`, instead of `year`.
        end: the last day to take; at most twelve months.
        like: a raster file with the grid to bring products to; None: the 10 m grid that most of them have.
        s1_units: `power`, `amplitude`, `db` or `code`: what Sentinel-1 products hold, whatever they say themselves.

    Raises:
        InputError: no such folder, no known layout, or something in it is missing, damaged or disagrees.
    """
    folder = Path(path)
    if not folder.exists():
        raise InputError(f"no such folder: {folder}")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, expected a scene folder")
    if s1_units is not None and s1_units not in get_args(S1Units):
        raise InputError(f"unknown --s1-units '{s1_units}'; choose one of {', '.join(get_args(S1Units))}")
    period = asked_period(year, start, end)
    reader: Reader | None = None
    if layout in (None, *TILE_LAYOUTS):
        reader = _tile_reader(folder)
        if reader is not None:
            _refuse_options(folder, period, like, s1_units)
    if reader is None and layout not in TILE_LAYOUTS:
        reader = _product_reader(folder, layout, period, like, cast(S1Units | None, s1_units))
    if reader is None:
        raise _nothing_known(folder, layout)
    return Scene(folder.resolve().name, str(folder), reader)


def _tile_reader(folder: Path) -> Reader | None:
    from tessera_engine.scenes import dpixel, tiles

    if dpixel.is_tile(folder):
        return dpixel.DPixelTile(folder)
    tile_folders = [sub for sub in folder.iterdir() if sub.is_dir() and dpixel.is_tile(sub)]
    return tiles.TileFolder(tile_folders) if tile_folders else None


def _refuse_options(
    folder: Path, period: Period | None, like: str | Path | None, s1_units: str | None
) -> None:
    for given, option, reason in (
        (period, "--year, --from and --to", "days of year without a year"),
        (like, "--like", "a grid of its own"),
        (s1_units, "--s1-units", "Sentinel-1 in TESSERA's code"),
    ):
        if given is not None:
            raise InputError(f"{folder} holds d-pixel tiles, which have {reason}: leave out {option}")


def _product_reader(
    folder: Path,
    layout: str | None,
    period: Period | None,
    like: str | Path | None,
    s1_units: S1Units | None,
) -> Reader | None:
    from tessera_engine.scenes.finding import find_products
    from tessera_engine.scenes.listing import list_folder
    from tessera_engine.scenes.product_scene import ProductScene
    from tessera_engine.scenes.target import target_of_file

    listing = list_folder(folder)
    layouts, found = find_products(listing, layout)
    if not layouts:
        return None
    grid = None if like is None else target_of_file(Path(like))
    return ProductScene("+".join(layouts), listing.folder, found, period, grid, s1_units)


def _nothing_known(folder: Path, layout: str | None) -> InputError:
    from tessera_engine.scenes import dpixel, finding

    expected = (
        f"a d-pixel tile ({dpixel.BANDS}, {dpixel.MASKS}, {dpixel.DOYS}, ...), a folder of such tiles, or products "
        f"({', '.join(finding.LAYOUTS)})"
        if layout is None
        else f"the layout of --layout {layout}"
    )
    names = sorted(entry.name for entry in folder.iterdir())
    if not names:
        return InputError(f"{folder} is empty, expected a scene: {expected}")
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return InputError(f"{folder} has no layout that is known: found {shown}; expected {expected}")
