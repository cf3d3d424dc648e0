"""A folder of d-pixel tiles: one scene. Each tile's roi.tiff defines its place in the mosaic."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from copy import copy
from datetime import date
from pathlib import Path

from affine import Affine

from tessera_engine.errors import InputError
from tessera_engine.files.inside import inside
from tessera_engine.scene import Dates, Grid, Observations, Window
from tessera_engine.scenes.layouts.dpixel import FILES, ROI, DPixelTile, has_optical, is_tile
from tessera_engine.scenes.period import Period, within_a_year
from tessera_engine.scenes.unused import beside_tiles, lines

_GRID_TOLERANCE = 1e-3
"""Fraction of a pixel by which a tile's pixels may differ from the common grid."""

_SHOWN = 5
"""Tiles that a message lists."""


def open_folder(folder: Path) -> TileFolder | None:
    """Open a folder of d-pixel tiles; None where no subfolder is a tile.

    Raises:
        InputError: see `TileFolder`.
    """
    tiles = [each for each in folder.iterdir() if each.is_dir() and is_tile(each)]
    outside = [tile for tile in tiles if tile.is_symlink() and not inside(folder, tile)]
    if not tiles or len(outside) == len(tiles):  # a folder of products may have such a link too
        return None
    if outside:
        raise InputError(
            f"{min(outside)} is a link that leads out of the scene folder; replace it by a copy of the tile"
        )
    # Radar alone beside tiles with both would overlap them
    tiles = [tile for tile in tiles if has_optical(tile)] or tiles
    return TileFolder(folder, tiles)


class TileFolder:
    """Reads a folder of d-pixel tiles as one mosaic; implements `tessera_engine.scene.Reader`.

    A window never crosses tiles, because tiles may have different dates.
    """

    layout = "tiles"
    windows_held = bytes_held = 0

    def __init__(self, folder: Path, folders: list[Path]) -> None:
        """Open the tiles and place them on one grid.

        Args:
            folder: the scene folder.
            folders: its tiles.

        Raises:
            InputError: a tile can't be read, has no georeference, or doesn't fit with the others.
        """
        tiles = [DPixelTile(folder) for folder in sorted(folders)]
        self.grid, places = _mosaic(tiles)
        self._tiles = list(zip(places, tiles, strict=True))
        self.unused = beside_tiles(folder, folders, FILES)
        self.warnings = (*_lacking(tiles), *lines(self.unused))

    @property
    def period(self) -> Period | None:
        """First and last day of all tiles; None where they don't all have a year, or are of several."""
        periods = [tile.period for _, tile in self._tiles]
        known = [period for period in periods if period is not None]
        if len(known) < len(periods):
            return None
        first, last = min(each[0] for each in known), max(each[1] for each in known)
        return (first, last) if within_a_year(first, last) else None

    def in_year(self, year: int) -> TileFolder:
        """The same tiles, of a year that the user declares.

        Raises:
            InputError: the year contradicts a tile's days or its `dates.json`.
        """
        folder = copy(self)
        folder._tiles = [(place, tile.in_year(year)) for place, tile in self._tiles]
        return folder

    def in_period(self, first: date, last: date) -> TileFolder:
        """The same tiles with their observations from the first to the last day; tiles without any are left out.

        Raises:
            InputError: the year of a tile isn't known, or no tile has an observation in this time.
        """
        folder, left, refused = copy(self), [], None
        for place, tile in self._tiles:
            try:
                left.append((place, tile.in_period(first, last)))
            except InputError as error:
                if tile.period is None:
                    raise
                refused = error
        if refused is not None and not left:
            raise refused
        folder._tiles = left
        return folder

    @property
    def bounds(self) -> Period | None:
        """First and last day that were asked for."""
        return self._tiles[0][1].bounds

    @property
    def dates(self) -> Dates:
        """Days of year of all tiles together."""
        every = [tile.dates for _, tile in self._tiles]
        return Dates(
            tuple(sorted({doy for dates in every for doy in dates.s2})),
            tuple(sorted({doy for dates in every for doy in dates.s1_ascending})),
            tuple(sorted({doy for dates in every for doy in dates.s1_descending})),
        )

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of one pixel's observations in the tile with most dates."""
        return max(tile.bytes_per_pixel for _, tile in self._tiles)

    def windows(self, region: Window, max_pixels: int) -> Iterator[Window]:
        """Each tile's windows, tile by tile."""
        for place, tile in self._tiles:
            part = place.intersection(region)
            if part is not None:
                for window in tile.windows(part.relative_to(place), max_pixels):
                    yield Window(window.col + place.col, window.row + place.row, window.width, window.height)

    def read(self, window: Window) -> Observations:
        """The observations of a window that is inside one tile."""
        for place, tile in self._tiles:
            if place.intersection(window) == window:
                return tile.read(window.relative_to(place))
        raise ValueError(f"{window} is not inside one tile")

    def sample(self, region: Window, max_pixels: int) -> Observations:
        """A sample of one tile, the one that covers most of the region: tiles may have different dates.

        Raises:
            InputError: there is no tile in the region.
        """
        _, tile, part = self._main(region)
        return tile.sample(part, max_pixels)

    def blocks(self, region: Window, count: int) -> Iterator[tuple[Window, Observations]]:
        """Blocks of the tile that covers most of the region: others may have other dates.

        Raises:
            InputError: there is no tile in the region.
        """
        place, tile, part = self._main(region)
        for window, block in tile.blocks(part, count):
            yield window._replace(col=window.col + place.col, row=window.row + place.row), block

    def _main(self, region: Window) -> tuple[Window, DPixelTile, Window]:
        """The place of the tile that covers most of a region, the tile, and the region's part of it."""
        parts = [(place.intersection(region), place, tile) for place, tile in self._tiles]
        part, place, tile = max(parts, key=lambda each: each[0].pixels if each[0] else 0)
        if part is None:
            raise InputError(
                f"there is no tile of the scene in the window {tuple(region)} (col, row, width, height)"
            )
        return place, tile, part.relative_to(place)

    fingerprinted_bytes = DPixelTile.fingerprinted_bytes

    def files(self) -> Iterator[Path]:
        """The files of all tiles."""
        for _, tile in self._tiles:
            yield from tile.files()

    def fingerprint(self) -> str:
        """Sha256 over the tiles' positions and fingerprints."""
        digest = hashlib.sha256()
        for place, tile in self._tiles:
            digest.update(f"{tuple(place)} {tile.fingerprint()}\n".encode())
        return digest.hexdigest()


def _lacking(tiles: list[DPixelTile]) -> Iterator[str]:
    """A line for each tile that lacks a sensor or an orbit which other tiles have."""
    for field, what in (
        ("s2", "Sentinel-2"),
        ("s1_ascending", "ascending Sentinel-1 orbit"),
        ("s1_descending", "descending Sentinel-1 orbit"),
    ):
        without = [tile for tile in tiles if not getattr(tile.dates, field)]
        if len(without) < len(tiles):
            yield from (f"{tile.folder.name}: no {what}, which other tiles have" for tile in without)


def _mosaic(tiles: list[DPixelTile]) -> tuple[Grid, list[Window]]:
    """The grid of all tiles together, and each tile's window in it."""
    first = tiles[0].grid
    places = []
    for tile in tiles:
        grid = tile.grid
        if grid.crs is None:
            raise InputError(
                f"{tile.folder / ROI} is missing or has no CRS, so the tile has no place in the mosaic; "
                f"{_one_by_one(tiles)}"
            )
        if grid.crs != first.crs:
            raise InputError(
                f"{tile.folder} is in {grid.crs}, expected {first.crs} as in {tiles[0].folder}; {_one_by_one(tiles)}"
            )
        here = ~first.transform @ grid.transform  # from the tile's pixels to the first tile's
        col, row = round(here.c), round(here.f)
        beside = max(abs(here.c - col), abs(here.f - row))
        scale = max(abs(here.a - 1), abs(here.b), abs(here.d), abs(here.e - 1)) * max(grid.width, grid.height)
        if beside > _GRID_TOLERANCE or scale > _GRID_TOLERANCE:
            raise InputError(
                f"{tile.folder} is not on the pixel grid of {tiles[0].folder} "
                f"(transforms {tuple(grid.transform)[:6]} and {tuple(first.transform)[:6]}); "
                f"resample it to the same grid, or {_one_by_one(tiles)}"
            )
        places.append(Window(col, row, grid.width, grid.height))
    left, top = min(p.col for p in places), min(p.row for p in places)
    right = max(p.col + p.width for p in places)
    bottom = max(p.row + p.height for p in places)
    origin = Window(left, top, 0, 0)
    places = [place.relative_to(origin) for place in places]
    _refuse_overlap(tiles, places)
    transform = first.transform @ Affine.translation(left, top)
    return Grid(right - left, bottom - top, first.crs, transform), places


def _refuse_overlap(tiles: list[DPixelTile], places: list[Window]) -> None:
    """Refuse tiles that overlap: which of two tiles a pixel should come from is not defined."""
    by_row = sorted(range(len(places)), key=lambda i: places[i].row)
    for n, i in enumerate(by_row):
        for j in by_row[n + 1 :]:
            if places[j].row >= places[i].row + places[i].height:
                break
            if places[i].intersection(places[j]) is not None:
                raise InputError(
                    f"the tiles {tiles[i].folder.name} and {tiles[j].folder.name} overlap; "
                    f"keep one of them in the folder, or {_one_by_one(tiles)}"
                )


def _one_by_one(tiles: list[DPixelTile]) -> str:
    """What to do with tiles that don't make one scene; it names them."""
    folders = [str(tile.folder) for tile in tiles]
    more = f" and {len(folders) - _SHOWN} more" if len(folders) > _SHOWN else ""
    return f"if they are separate scenes, give one of them: {', '.join(folders[:_SHOWN])}{more}"
