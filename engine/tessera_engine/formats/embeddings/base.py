"""Embeddings on disk: a `Source` reads what one format stores; `Embeddings` is what users and all other rooms see."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import ArrayLike, NDArray

from tessera_engine.errors import CheckFailed, InputError, quoted
from tessera_engine.files.inside import inside, is_folder, is_there, link_out
from tessera_engine.files.output import ITEM
from tessera_engine.files.pinned import Pinned
from tessera_engine.formats.embeddings.stored import (
    Distinct,
    HasDistinct,
    QualitySource,
    Source,
    StoredBlock,
)
from tessera_engine.geo import check_window, is_crs, pixels_at
from tessera_engine.offline.crs import crs_elsewhere
from tessera_engine.scene import Grid, Window

if TYPE_CHECKING:
    import xarray

PREFIXES = (16, 32, 64, 128)
"""Lengths to which a Matryoshka embedding can be cut."""

BLOCK_VALUES = 8_000_000
"""Values that are read at a time by code that goes through a whole scene, if tiles aren't larger."""

BLOCK_BYTES = 101_000_000
"""Memory that reading a tile may take in code that has no limit: one of 512 pixels, 128 dimensions and int8 fits."""

CRS_LETTERS = 60
"""Of a CRS without a code, whose WKT would fill the screen."""


@dataclass(frozen=True, repr=False)
class Embeddings:
    """Embeddings of one place, read when asked for.

    Attributes:
        folder: as it was opened: what is read stays the same if another output takes its place meanwhile.
        source: what reads it.
        dim: length of the embeddings that `read` and `points` return.
        item: the output's STAC item.
        format: a name in `tessera_engine.formats.registry.FORMATS`.
    """

    folder: Pinned
    source: Source
    dim: int
    item: Mapping[str, Any]
    format: str

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    @property
    def grid(self) -> Grid:
        """The pixels."""
        return self.source.grid

    @property
    def stored_as(self) -> str:
        """`int8` or `float32`."""
        return self.source.stored_as

    @property
    def bytes_per_value(self) -> int:
        """Bytes of memory that a value takes while it is read, in any format.

        The stored value twice: bands lie one after the other in most files, so their axes are swapped in a copy. Once
        more for int8, where the marks of no data are translated.
        """
        return 3 if self.stored_as == "int8" else 8

    @property
    def provenance(self) -> dict[str, Any]:
        """Facts of the run by name: `model`, `model_sha256`, `precision`, `generation`, `year`, ...; empty: unknown."""
        return {
            key.removeprefix("tessera:"): value
            for key, value in self.item["properties"].items()
            if key.startswith("tessera:")
            and key != "tessera:item_sha256"  # a checksum of the item, not a fact of the run
        }

    @property
    def tile_values(self) -> int:
        """Values of the blocks that a file decodes as a whole; of one pixel where it has none."""
        return self.source.block**2 * self.dim

    @property
    def distinct_values(self) -> int:
        """Values of the different embeddings of a tile of the file, at most; 0: each pixel has one of its own."""
        return self.source.most_distinct * self.dim if isinstance(self.source, HasDistinct) else 0

    def tiles(self, values: int | None = None, part: Window | None = None) -> Iterator[Window]:
        """Windows that cover the grid, or a part of it, in any shape: no tile is decoded twice if one fits.

        A strip over the full width of a wide grid is thinner than a tile, so each tile would be decoded many times.
        Windows begin and end with the file's tiles, and a tile that doesn't fit is read in windows of its own. Where a
        tile has few different embeddings, each window lies in one tile, so that each of them counts for many pixels: a
        part of a tile has nearly as many.

        Args:
            values: about so many (different ones) in a window; None: `BLOCK_VALUES`, or a whole tile if that takes no
                more memory than `BLOCK_BYTES` and a part of it isn't as fast to read.
            part: of the grid; None: all.
        """
        part, side = part or self.grid.window, self.source.block
        if values is None:
            whole_tile = 0 if self.distinct_values else self.tile_values
            values = max(BLOCK_VALUES, min(whole_tile, BLOCK_BYTES // self.bytes_per_value))
        # From the corner of a tile, which may lie outside of the part
        col, row = part.col - part.col % side, part.row - part.row % side
        whole = Window(col, row, part.col + part.width - col, part.row + part.height - row)
        wide, high = min(side, whole.width), min(side, whole.height)
        across = values // (high * self.dim) // side * side
        if self.distinct_values:
            across, rows = side, side if values >= self.distinct_values else values // (side * self.dim)
        elif values >= whole.width * high * self.dim:
            across, rows = whole.width, values // (whole.width * self.dim) // side * side or high
        elif across:
            rows = side
        else:
            across, rows = wide, values // (wide * self.dim)
        for tiles in whole.blocks(across, max(rows, side)):
            for window in tiles.blocks(across, max(1, rows)):
                inside = window.intersection(part)
                if inside is not None:
                    yield inside

    def read_stored(self, window: Window | None = None) -> StoredBlock:
        """A window as it is stored; None: all.

        Raises:
            InputError: the window doesn't lie in the grid.
            TesseraError: a file can't be read.
        """
        checked = check_window(self.grid, window or self.grid.window)
        with self.folder.reading():
            return self.source.read(checked, self.dim)

    def read_distinct(self, window: Window) -> Distinct | None:
        """A window as few embeddings and which one each pixel has; None where pixels have embeddings of their own.

        Raises:
            InputError: the window doesn't lie in the grid.
            TesseraError: a file can't be read.
        """
        if not isinstance(self.source, HasDistinct):
            return None
        checked = check_window(self.grid, window)
        with self.folder.reading():
            return self.source.read_distinct(checked, self.dim)

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """(height, width, 2) clear S2 and valid S1 observations; 0 where that isn't known.

        Raises:
            TesseraError: a file can't be read.
        """
        with self.folder.reading():
            return self.source.read_observations(window)

    @property
    def has_quality(self) -> bool:
        """Whether there is a quality layer."""
        return self.read_quality(Window(0, 0, 1, 1)) is not None

    def read_quality(self, window: Window) -> NDArray[np.uint16] | None:
        """(height, width, 6) uint16, see `tessera_engine.formats.layers.QUALITY_BANDS`; None where it isn't known.

        Raises:
            TesseraError: a file can't be read.
        """
        if not isinstance(self.source, QualitySource):
            return None
        with self.folder.reading():
            return self.source.read_quality(window)

    def read(self, window: Window | None = None) -> NDArray[np.float32]:
        """The embeddings of a window, dequantised; None: all.

        Returns:
            (height, width, dim) float32, NaN = nodata.

        Raises:
            InputError: the window doesn't lie in the grid.
        """
        return self.read_stored(window).embeddings

    def pixels_at(self, lon: ArrayLike, lat: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Columns and rows (N,) of the pixels in which points lie; they may lie outside of the grid.

        Args:
            lon: (N,) degrees, WGS 84.
            lat: (N,) degrees.

        Raises:
            InputError: the embeddings have no CRS.
        """
        if self.grid.crs is None:
            raise InputError(f"{self.path} has no CRS, so longitude and latitude have no place in it")
        return pixels_at(self.grid, lon, lat)

    def points(self, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float32]:
        """The embeddings of the pixels in which points lie.

        Args:
            lon: (N,) degrees, WGS 84.
            lat: (N,) degrees.

        Returns:
            (N, dim) float32; NaN for a point outside or without data.

        Raises:
            InputError: the embeddings have no CRS.
        """
        return self.pixels(*self.pixels_at(lon, lat))

    def pixels(self, cols: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The embeddings of single pixels: (N, dim) float32; NaN outside and where there is no data."""
        found = np.full((len(cols), self.dim), np.nan, np.float32)
        inside = (cols >= 0) & (rows >= 0) & (cols < self.grid.width) & (rows < self.grid.height)
        # Points of one tile are read together: decoding it takes as long for one of them as for all. Where a part of it
        # is as fast, it is read in parts
        wide = self.source.block
        high = min(wide, max(1, BLOCK_VALUES // (wide * self.dim))) if self.distinct_values else wide
        parts = (rows // high) * (self.grid.width // wide + 1) + cols // wide
        for part in np.unique(parts[inside]):
            here = np.flatnonzero(inside & (parts == part))
            col, row = cols[here].min(), rows[here].min()
            window = Window(
                int(col), int(row), int(cols[here].max() - col) + 1, int(rows[here].max() - row) + 1
            )
            place = rows[here] - row, cols[here] - col
            distinct = self.read_distinct(window)
            if distinct is None:
                found[here] = self.read(window)[place]
            else:
                which = distinct.which[place]
                found[here[which >= 0]] = distinct.vectors[which[which >= 0]]
        return found

    def on(
        self,
        crs: str | None = None,
        resolution: float | None = None,
        like: Grid | str | os.PathLike[str] | None = None,
    ) -> Embeddings:
        """The same embeddings on another grid, read when asked for.

        Each pixel has the embedding of the pixel in which its centre lies: nothing is interpolated.

        Args:
            crs: such as EPSG:4326; None: the same.
            resolution: size of a pixel in units of the CRS; None: as large as now.
            like: a raster file or a grid: exactly its pixels; instead of `crs` and `resolution`.

        Returns:
            Itself where the grid is the same.

        Raises:
            InputError: an argument is wrong, the grid or the embeddings have no CRS, or they share no pixel.
        """
        from tessera_engine.formats.embeddings.regridded import Regridded, moved_item, wanted_grid

        grid = wanted_grid(self.grid, crs, resolution, like)
        if grid == self.grid:
            return self
        source = Regridded.of(self.source, grid, str(self.path))
        return replace(self, source=source, item=moved_item(self.item, self.grid, grid))

    def to_xarray(self) -> xarray.DataArray:
        """A lazy (band, y, x) float32 array with coordinates and the CRS where rioxarray looks for it.

        Raises:
            MissingExtra: xarray isn't installed.
        """
        from tessera_engine.formats.embeddings.lazy import to_xarray

        attributes = {f"tessera_{key}": value for key, value in self.provenance.items() if value is not None}
        return to_xarray(self.read, self.grid, self.dim, attributes)

    def __repr__(self) -> str:
        lines = "".join(f"\n  {name}: {value}" for name, value in self._facts().items())
        return f"<tessera_engine.Embeddings>{lines}"

    def _repr_html_(self) -> str:
        """A table, for notebooks."""
        rows = "".join(
            f'<tr><th style="text-align: left">{name}</th>'
            f'<td style="text-align: left">{escape(value)}</td></tr>'
            for name, value in self._facts().items()
        )
        return f"<table><caption>tessera_engine.Embeddings</caption><tbody>{rows}</tbody></table>"

    def _facts(self) -> dict[str, str]:
        """What a user wants to see first, by name."""
        grid, about = self.grid, self.provenance
        year, season = about.get("year"), about.get("season")
        model = [about[key] for key in ("model", "generation", "precision") if about.get(key)]
        crs = grid.crs if grid.crs is None or len(grid.crs) <= CRS_LETTERS else f"{grid.crs[:CRS_LETTERS]}..."
        pixels = f"{grid.width} x {grid.height} pixels"
        if grid.crs is not None:
            pixels += f" of {abs(grid.transform.a):g} x {abs(grid.transform.e):g} units of the CRS"
        return {
            "path": str(self.path),
            "format": self.format,
            "size": pixels,
            "dimensions": str(self.dim)
            if self.dim == self.source.dim
            else f"{self.dim} of {self.source.dim}",
            "CRS": crs or "none",
            **(
                {"season": " to ".join(season)}
                if season
                else {"year": "not known" if year is None else str(year)}
            ),
            "model": " ".join(map(str, model)) or "not known",
            "stored as": str(about.get("store", self.stored_as))
            + (", with losses" if about.get("lossy") else ""),
        }


def item_crs(properties: Mapping[str, Any]) -> str | None:
    """The CRS that an item gives.

    Raises:
        CheckFailed: it names a file or an address, which PROJ would open.
    """
    crs = properties.get("proj:code") or properties.get("proj:wkt2")
    found = crs_elsewhere(str(crs)) if crs is not None else None
    if found is not None:
        raise CheckFailed(
            f"item.json has the CRS {found!r}, which is not opened; expected one such as EPSG:32631; make or copy the "
            "output again"
        )
    return crs


def item_grid(item: Mapping[str, Any]) -> Grid:
    """The grid that an item describes.

    Raises:
        CheckFailed: its CRS or its transform is none.
    """
    properties = item["properties"]
    height, width = properties["proj:shape"]
    crs = item_crs(properties)
    if crs is not None and not is_crs(crs):
        raise CheckFailed(
            f"{ITEM} has {quoted(crs)}, which is not a valid CRS; make or copy the output again"
        )
    transform = properties.get("proj:transform")
    grid = Grid(width, height, crs, Affine(*transform) if transform else Affine.identity())
    if not grid.has_area:
        raise CheckFailed(
            f"{ITEM} has the transform {transform}, in which pixels have no area; make or copy the output again"
        )
    return grid


def asset_path(path: Path, item: Mapping[str, Any], key: str) -> Path:
    """Where one of an item's files lies.

    Raises:
        InputError: the item doesn't list it, or the file is missing or leads out of the output folder.
    """
    asset = item["assets"].get(key)
    if asset is None:
        raise InputError(f"{path / 'item.json'} lists no '{key}'; is it an output of another version?")
    href = asset["href"]
    file = path / str(href)
    if not isinstance(href, str) or not inside(path, file) or (is_folder(file) and link_out(file, path)):
        raise InputError(
            f"{path / 'item.json'} refers to {str(href)[:80]!r} as '{key}', which leads out of the output folder "
            "and is not opened; make or copy the output again"
        )
    if not is_there(file):
        named = path / str(href)[:80]
        raise InputError(f"{named} is missing, though item.json lists it; make or copy the output again")
    return file
