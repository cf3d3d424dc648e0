"""`truecolour.tif`: the land in true colour, as a GeoTIFF for maps.

One rule turns reflectance into brightness for all scenes. So neighbours and years have comparable colours, and a
picture that grows with its store has no seams. The quicklook stretches its colours to one scene instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.durable import link
from tessera_engine.files.staging import Staging
from tessera_engine.formats.cog import FORMAT as COG
from tessera_engine.formats.cog.files import BLOCK, GeoTiff, Part, few_bands, write_cog
from tessera_engine.formats.embeddings.base import Embeddings, asset_path
from tessera_engine.formats.embeddings.regridded import Regridded
from tessera_engine.formats.embeddings.same_grid import offset
from tessera_engine.formats.grown import Store
from tessera_engine.formats.registry import format_named
from tessera_engine.geo import grid_fields
from tessera_engine.scene import Grid, Window
from tessera_engine.stac.items import Asset

KEY = "truecolour"
"""Of the item's asset; in a store followed by `_` and the year."""

TITLE = "True colour: median of the clear dates"

NO_DATA = 0
"""In all three bands where no date was clear; and in no band elsewhere."""

MIDDLE, CONTRAST = 0.1, 1.5
"""Reflectance of the middle brightness, about that of bare soil, and the steepness there."""

BLOCKS_AT_ONCE = 4
"""Tiles of the file that are written at a time, side by side."""


def _brightness() -> NDArray[np.uint8]:
    """(65536,) brightness 1..255 of each reflectance * 10000, and `NO_DATA` of 0.

    The response of photoreceptors to light, r**n / (r**n + m**n) (Naka and Rushton 1966, "S-potentials from colour
    units in the retina of fish", Journal of Physiology 185, 536-555): dark forests keep their differences, and snow
    isn't cut off.
    """
    light = (np.arange(1 << 16) / 10_000) ** CONTRAST
    shown: NDArray[np.uint8] = np.rint(255 * light / (light + MIDDLE**CONTRAST)).clip(1, 255).astype(np.uint8)
    shown[0] = NO_DATA
    return shown


BRIGHTNESS = _brightness()


class TrueColours(NamedTuple):
    """A picture in true colour that is read by windows.

    Attributes:
        grid: its pixels.
        read: gives the (height, width, 3) uint8 red, green and blue of a window; `NO_DATA` where no date was clear.
    """

    grid: Grid
    read: Callable[[Window], NDArray[np.uint8]]


def staged(staging: Staging) -> TrueColours | None:
    """The picture of a run; None where its true colours weren't staged."""
    raster = staging.colours
    if raster is None:
        return None

    def read(window: Window) -> NDArray[np.uint8]:
        colours = raster.read(window)
        shown: NDArray[np.uint8] = BRIGHTNESS[colours]
        # A clear pixel may have a reflectance of 0 in one band
        shown[(shown == NO_DATA) & colours.any(axis=2, keepdims=True)] = 1
        return shown

    return TrueColours(staging.grid, read)


def true_colour_file(folder: Path, item: Mapping[str, Any], year: int | None) -> Path | None:
    """The `truecolour.tif` of an output, or that of a year of a store; None where it has none.

    Raises:
        InputError: the item lists one that is missing or leads out of the folder.
    """
    for key in (KEY, f"{KEY}_{year}"):
        if key in item["assets"]:
            return asset_path(folder, item, key)
    return None


def stored(embeddings: Embeddings) -> TrueColours | None:
    """The picture of an output, or of a year of a store; None where it has none, or its file is missing.

    Of embeddings on another grid, each pixel is the nearest one of the picture. Its `read` raises TesseraError where
    the file can't be read, or has another size than the embeddings that it was written with.
    """
    if "assets" not in embeddings.item:  # a downloaded tree
        return None
    year = embeddings.provenance.get("year")
    try:
        with embeddings.folder.reading() as here:
            if true_colour_file(here, embeddings.item, year) is None:
                return None
    except InputError:  # the embeddings can be used without it
        return None

    source = embeddings.source
    grid = source.source.grid if isinstance(source, Regridded) else embeddings.grid

    def read(window: Window) -> NDArray[np.uint8]:
        with embeddings.folder.reading() as here:
            path = true_colour_file(here, embeddings.item, year)
            assert path is not None
            return _read(path, grid, window)

    def read_moved(window: Window) -> NDArray[np.uint8]:
        assert isinstance(source, Regridded)
        shown = np.full((window.height, window.width, 3), NO_DATA, np.uint8)

        def fill(
            here: NDArray[np.intp], part: Window, row: NDArray[np.int64], col: NDArray[np.int64]
        ) -> None:
            shown.reshape(-1, 3)[here] = read(part)[row, col]

        source.each_cell(window, fill)
        return shown

    return TrueColours(embeddings.grid, read_moved if isinstance(source, Regridded) else read)


def _read(path: Path, grid: Grid, window: Window) -> NDArray[np.uint8]:
    from rasterio.windows import Window as RasterioWindow

    from tessera_engine.gdal import GDAL_ERRORS, gdal_environment, gdal_reason, raster_reader

    try:
        with gdal_environment(), raster_reader(path) as file:
            found = (file.width, file.height, file.count, *set(file.dtypes))
            if found != (grid.width, grid.height, 3, "uint8"):
                raise TesseraError(
                    f"{path} has {file.width} x {file.height} pixels and {file.count} bands of {file.dtypes[0]}, "
                    f"expected {grid.width} x {grid.height} and 3 of uint8; make or copy the output again"
                )
            values: NDArray[np.uint8] = file.read(window=RasterioWindow(*window))
    except GDAL_ERRORS as error:
        raise TesseraError(
            f"can't read {path}: {gdal_reason(error)}; make or copy the output again"
        ) from None
    return np.moveaxis(values, 0, 2)


@dataclass(frozen=True)
class _Year:
    """One year of a store: what it has already, and the scene that is added. A pixel that has colours keeps them."""

    grid: Grid
    before: TrueColours | None
    added: TrueColours | None

    def read(self, window: Window) -> NDArray[np.uint8]:
        shown = np.full((window.height, window.width, 3), NO_DATA, np.uint8)
        for part in (self.before, self.added):
            if part is None:
                continue
            corner = offset(self.grid, part.grid)
            assert corner is not None
            place = Window(*corner, part.grid.width, part.grid.height)
            shared = place.intersection(window)
            if shared is None:
                continue
            at = shared.relative_to(window)
            here = shown[at.row : at.row + at.height, at.col : at.col + at.width]
            new = (here == NO_DATA).all(axis=2, keepdims=True)
            np.copyto(here, part.read(shared.relative_to(place)), where=new)
        return shown


def write_true_colours(
    folder: Path, added: TrueColours | None, format: str, name: str, year: int | None, store: Store | None
) -> list[Asset]:
    """Write the true colours of an output: `truecolour.tif`, or `truecolour_<year>.tif` for each year of a store.

    Args:
        folder: of the output; it exists.
        added: the scene's; None: it is left out, and a store keeps what it has.
        format: of the embeddings.
        name: the scene's.
        year: of the scene; None: not known, or of several.
        store: what the scene is added to; None: a new output.

    Returns:
        The files.

    Raises:
        TesseraError: a file couldn't be read or written.
    """
    if not format_named(format).needs_year or year is None:  # seasons may be of no one year
        return [] if added is None else [_write(folder / f"{KEY}.tif", added, name)]
    assets = []
    known = {} if store is None else store.years
    for each in sorted({*known, year}):
        path = folder / f"{KEY}_{each}.tif"
        new = added if each == year else None
        before = stored(known[each]) if each in known else None
        if store is not None and before is not None and new is None and before.grid == store.grid:
            assets.append(_link(known[each], path))
        elif store is not None and (before is not None or new is not None):
            joined = _Year(store.grid, before, new)
            assets.append(_write(path, TrueColours(store.grid, joined.read), name))
        elif new is not None:
            assets.append(_write(path, new, name))
    return assets


def _write(path: Path, picture: TrueColours, name: str) -> Asset:
    tags = {"TIFFTAG_DOCUMENTNAME": name, "TIFFTAG_IMAGEDESCRIPTION": TITLE}
    about = GeoTiff(picture.grid, "uint8", ("red", "green", "blue"), NO_DATA, tags)
    write_cog(path, about, _parts(picture), few_bands(classes=False))
    return _asset(path, picture.grid)


def _link(embeddings: Embeddings, path: Path) -> Asset:
    """Give the file of a year, which stays as it is, a second name."""
    with embeddings.folder.reading() as here:
        file = true_colour_file(here, embeddings.item, embeddings.provenance.get("year"))
        assert file is not None
        link(file.resolve(), path)
    return _asset(path, embeddings.grid)


def _asset(path: Path, grid: Grid) -> Asset:
    bands = [{"name": band} for band in ("red", "green", "blue")]
    fields = {"data_type": "uint8", "nodata": NO_DATA, "bands": bands} | grid_fields(grid)
    return Asset(path.stem, path.name, COG.media_type, TITLE, ("visual",), fields)


def _parts(picture: TrueColours) -> Iterator[Part]:
    for window in picture.grid.window.blocks(BLOCKS_AT_ONCE * BLOCK, BLOCK):
        yield Part(window, (1, 2, 3), np.moveaxis(picture.read(window), 2, 0))
