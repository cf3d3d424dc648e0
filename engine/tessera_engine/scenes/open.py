"""Open a scene folder, whatever its layout."""

from __future__ import annotations

from datetime import date
from os import PathLike
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.scene import Reader, Scene, Yearless
from tessera_engine.scenes.arguments import (
    Asked,
    check_layout,
    check_path,
    check_s1_units,
    check_season,
    check_year,
)
from tessera_engine.scenes.metadata.listing import list_folder
from tessera_engine.scenes.not_a_scene import check_folder, check_no_scenes_below, no_layout, tile_layouts
from tessera_engine.scenes.products import Listing
from tessera_engine.scenes.registry import layouts_of
from tessera_engine.scenes.search import find_products


def open_scene(
    path: str | PathLike[str],
    *,
    layout: str | None = None,
    year: int | None = None,
    start: date | None = None,
    end: date | None = None,
    season: str | None = None,
    like: str | PathLike[str] | None = None,
    s1_units: str | None = None,
) -> Scene:
    """Open a scene folder: a d-pixel tile, a folder of such tiles, or satellite products of any layouts together.

    Only headers and dates are read here; observations are read later, window by window. `like` and `s1_units` apply to
    products only.

    Args:
        path: the folder.
        layout: the only layout to look for, a name in `tessera_engine.scenes.registry.LAYOUTS`; None: all.
        year: use observations of this year only; for d-pixel tiles, which have days of year: the year that they are of.
        start: use observations from this day on; needs `end`.
        end: the last day to use; at most twelve months after `start`.
        season: the same in one text: whole months such as "2023-11:2024-06", or days.
        like: a raster file whose grid the products are brought to; None: the 10 m grid that most of them have.
        s1_units: what the values of Sentinel-1 products are, whatever their metadata say: `power`, `amplitude`, `db`
            or `code`.

    Raises:
        InputError: an argument is of a wrong type or value, the folder doesn't exist or has no known layout, or
            something in it is missing, damaged or inconsistent.
    """
    raster = None if like is None else check_path("like", like, "a raster file")
    asked = Asked(
        check_layout(layout),
        check_year(year),
        check_season(season, start, end),
        raster,
        check_s1_units(s1_units),
    )
    folder = check_folder(check_path("path", path, "a scene folder"))
    reader = _open_tile(folder, asked.layout)
    if reader is None:
        reader = _open_products(folder, asked)
    else:
        _refuse_arguments_of_products(folder, reader.layout, asked)
        reader = _in_time(folder, reader, asked)
    return Scene(folder.resolve().name, str(folder), reader)


def _open_tile(folder: Path, layout: str | None) -> Reader | None:
    """The scene of the first tile layout that a folder has; None where it has none."""
    for each in layouts_of("tile", layout):
        reader = each.open_folder(folder)
        if reader is not None:
            return reader
    return None


def _in_time(folder: Path, reader: Reader, asked: Asked) -> Reader:
    """A tile's observations in the time that was asked for."""
    if asked.period is None:
        return reader
    if not isinstance(reader, Yearless):
        raise InputError(
            f"{folder} is of the layout {reader.layout}, which has days of year without a year; leave out year= and "
            "season="
        )
    if asked.year is not None:
        reader = reader.in_year(asked.year)
    if asked.season is not None and isinstance(reader, Yearless):
        reader = reader.in_period(*asked.season)
    return reader


def _open_products(folder: Path, asked: Asked) -> Reader:
    if asked.year is not None and asked.season is not None:
        raise InputError(
            "year= can't be combined with season=, start= or end=; give the year or the season (only d-pixel tiles, "
            "whose files don't contain their year, take both)"
        )
    # Imported here, so that a d-pixel tile is opened without the kernels that products need
    from tessera_engine.scenes.reading.headers import none_usable
    from tessera_engine.scenes.reading.product_scene import ProductScene
    from tessera_engine.scenes.reading.target import target_of_file

    listing = list_folder(folder)
    layouts, found = find_products(listing, asked.layout)
    if asked.layout is None and not found.s2 and not found.s1:
        check_no_scenes_below(folder)
    if not layouts and any(problem.lost for problem in found.problems):
        raise none_usable(found.problems)
    if not layouts:
        raise no_layout(folder, asked.layout, [] if asked.layout is None else _layouts(folder, listing))
    grid = None if asked.like is None else target_of_file(asked.like)
    return ProductScene("+".join(layouts), listing.folder, found, asked.period, grid, asked.s1_units)


def _layouts(folder: Path, listing: Listing) -> list[str]:
    """The names of all layouts that a folder has."""
    return [*tile_layouts(folder), *find_products(listing)[0]]


def _refuse_arguments_of_products(folder: Path, layout: str, asked: Asked) -> None:
    for given, names, reason in (
        (asked.like, "like=", "has a grid of its own"),
        (asked.s1_units, "s1_units=", "has Sentinel-1 in TESSERA's code"),
    ):
        if given is not None:
            raise InputError(f"{folder} is of the layout {layout}, which {reason}; leave out {names}")
