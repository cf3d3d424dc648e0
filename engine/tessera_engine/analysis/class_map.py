"""A map of classes as a raster: one that `map` made, or any GeoTIFF of whole numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import MOST_CLASSES
from tessera_engine.errors import InputError
from tessera_engine.files import document
from tessera_engine.files.nearby import no_such_file, no_such_folder
from tessera_engine.files.output import ITEM, is_output, read_json_item
from tessera_engine.formats.cog.categories import class_names_beside
from tessera_engine.formats.given import GivenPath, check_path
from tessera_engine.gdal import GDAL_ERRORS, gdal_environment, gdal_reason, raster_crs, raster_reader
from tessera_engine.pictures.colours import Colour, class_colour
from tessera_engine.scene import Grid, Window
from tessera_engine.stac.writing import MODEL_FACTS

STRIP_PIXELS = 4_000_000
"""Pixels that are read at a time."""

TRANSITIONS = "transitions.tif"
"""A map whose classes are transitions from a class to another."""

MOST_COUNTED = 1 << 16
"""Values below this are counted in a table."""

RASTERS = ("map.tif", TRANSITIONS)
"""Names of class maps in folders of results."""

FACTS = ("start_datetime", "end_datetime", *MODEL_FACTS)
"""Properties of a map's item that results made from it repeat; all are texts."""

TAG = "class_"
"""Tags of a file or its band that have names of classes, by pixel value; in capitals too."""


@dataclass(frozen=True)
class ClassMap:
    """A map of classes.

    Attributes:
        path: the GeoTIFF.
        grid: its pixels, with a CRS.
        names: of its classes, by pixel value, in rising order; without names the values themselves.
        colours: of the classes, by pixel value.
        pixels: how many pixels have each value.
        nodata: the value of pixels without a class; None where a mask says it, or all pixels have one.
        item: of the folder; empty where there is none.
    """

    path: Path
    grid: Grid
    names: Mapping[int, str]
    colours: Mapping[int, Colour]
    pixels: Mapping[int, int]
    nodata: float | None
    item: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its name for people: that of its folder, or of its file."""
        path = self.path.absolute()
        return path.parent.name if path.name in RASTERS else path.stem

    @property
    def named(self) -> bool:
        """Whether its classes have names besides their pixel values."""
        return any(name != str(value) for value, name in self.names.items())

    @property
    def source(self) -> Mapping[str, Any]:
        """What the items of results say of it: its id, when it was observed, and the model. Anything may be missing."""
        properties = self.item.get("properties", {})
        facts = {key: properties[key] for key in FACTS if isinstance(properties.get(key), str)}
        year, code = properties.get("tessera:year"), properties.get("proj:code")
        facts |= {"tessera:year": year} if isinstance(year, int) else {}
        facts |= {"proj:code": code} if isinstance(code, str) else {}
        return {"id": str(self.item.get("id", self.title)), "properties": facts}

    @property
    def dim(self) -> int:
        """Dimensions of the embeddings that it was made from; 0: not known."""
        dim = self.item.get("properties", {}).get("tessera:dim")
        return dim if isinstance(dim, int) else 0

    @property
    def of_transitions(self) -> bool:
        """Whether its classes are transitions, as `change --from-to` writes them."""
        return self.path.name == TRANSITIONS

    def read(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The values of a window, and which of its pixels have a class, (height, width).

        Raises:
            InputError: it can't be read, or has values that aren't whole numbers.
        """
        with _opened(self.path) as file:
            return _read(file, self.path, self.nodata, window)

    def strips(self) -> Iterator[tuple[Window, NDArray[np.int64], NDArray[np.bool_]]]:
        """The map from top to bottom: a window, its values, and which of its pixels have a class, (height, width).

        Raises:
            InputError: it can't be read, or has values that aren't whole numbers.
        """
        with _opened(self.path) as file:
            yield from _strips(file, self.path, self.nodata)

    def at(self, cols: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) the values of pixels; -1 for those without a class and those that lie outside.

        Args:
            cols: (N,) columns.
            rows: (N,) rows.
        """
        found = np.full(len(cols), NO_CLASS, np.int64)
        inside = (cols >= 0) & (cols < self.grid.width) & (rows >= 0) & (rows < self.grid.height)
        for window, values, there in self.strips():
            here = np.flatnonzero(inside & (rows >= window.row) & (rows < window.row + window.height))
            place = rows[here] - window.row, cols[here]
            found[here] = np.where(there[place], values[place], NO_CLASS)
        return found


NO_CLASS = -1
"""Stands for pixels without a class; the values of classes are 0 or more."""


def is_map(path: Path) -> bool:
    """Whether a path is a folder that `map` or `apply` wrote, or its map."""
    name = RASTERS[0]
    return path.name == name or (path / name).is_file() or any(path.glob(f"*/{name}"))


def open_class_map(name: str, given: GivenPath, nodata: float | None = None) -> ClassMap:
    """Open a map and count its pixels.

    Args:
        name: the parameter's.
        given: a folder of `map` or `change`, or a GeoTIFF of whole numbers from 0.
        nodata: the value of pixels without a class; None: what the file declares.

    Raises:
        InputError: it is no map of classes, has no CRS, or can't be read.
    """
    check_path(name, given, "a folder of map, or a GeoTIFF of classes")
    path, item = _raster_of(Path(given), name)
    with _opened(path) as file:
        if file.count != 1:
            raise InputError(f"{path} has {file.count} bands; expected one, with the classes")
        crs = raster_crs(file)
        if crs is None:
            raise InputError(
                f"{path} has no CRS, so its pixels have no place and no area; give a map with a CRS"
            )
        grid = Grid(file.width, file.height, crs.to_string(), file.transform)
        if nodata is None:
            nodata = file.nodatavals[0]
        tags = {key.casefold(): text for key, text in {**file.tags(1), **file.tags()}.items()}
        table = _colour_table(file)
        counts = _count(file, path, nodata)
    if not counts:
        raise InputError(f"{path} has no pixel with a class")
    values = sorted(counts)
    known = {value: tags.get(f"{TAG}{value}") for value in values}
    legend: Mapping[int, str] = {}
    if not any(known.values()):
        legend = _legend(path.with_name("legend.csv")) or class_names_beside(path)
    names = {value: known[value] or legend.get(value) or str(value) for value in values}
    colours = {value: table.get(value, class_colour(i)) for i, value in enumerate(values)}
    return ClassMap(path, grid, names, colours, counts, nodata, item)


def _raster_of(path: Path, name: str) -> tuple[Path, Mapping[str, Any]]:
    """The GeoTIFF of a map, and its folder's item."""
    if not path.exists():
        raise no_such_folder(path) if not path.suffix else no_such_file(path)
    if not path.is_dir():
        item: Mapping[str, Any] = {}
        with suppress(OSError, document.Damaged):
            if path.name in RASTERS:
                item = read_json_item(path.parent)
        return path, item
    if not is_output(path):
        raise InputError(
            f"{path} has no {ITEM}, so it is no map of tessera-engine; give {name}= a folder of map, or a GeoTIFF"
        )
    for raster in RASTERS:
        if (path / raster).is_file():
            return path / raster, read_json_item(path)
    below = sorted(each.parent.name for raster in RASTERS for each in path.glob(f"*/{raster}"))
    if below:
        raise InputError(
            f"{path} holds the maps of several outputs; give one of them: {', '.join(below[:5])}"
        )
    raise InputError(f"{path} holds no map of classes ({' or '.join(RASTERS)}); give {name}= a folder of map")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with gdal_environment(), raster_reader(path) as file:
            yield file
    except GDAL_ERRORS as error:
        raise InputError(f"can't read the map {path}: {gdal_reason(error)}") from None


def _strips(
    file: Any, path: Path, nodata: float | None
) -> Iterator[tuple[Window, NDArray[np.int64], NDArray[np.bool_]]]:
    block = file.block_shapes[0][0]
    height = max(1, STRIP_PIXELS // file.width)
    height = max(block, height - height % block)  # so that no tile is decoded twice
    for window in Window(0, 0, file.width, file.height).blocks(file.width, height):
        yield window, *_read(file, path, nodata, window)


def _read(
    file: Any, path: Path, nodata: float | None, window: Window
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    from rasterio.windows import Window as Where

    read = file.read(1, window=Where(*window))
    there = file.dataset_mask(window=Where(*window)) > 0
    there &= np.isfinite(read) & ((read != nodata) if nodata is not None else True)
    values = np.where(there, read, 0).astype(np.int64)
    wrong = there & (values != read)
    if wrong.any():
        raise InputError(
            f"{path} has values that are no whole numbers, such as {read[wrong][0]:g}; expected a map of classes"
        )
    if values.min(initial=0) < 0:
        raise InputError(
            f"{path} has the value {values.min()}; expected classes from 0, or give nodata= where it is none"
        )
    return values, there


def _count(file: Any, path: Path, nodata: float | None) -> dict[int, int]:
    counts: dict[int, int] = {}
    for _, values, there in _strips(file, path, nodata):
        for value, count in _occurring(values[there]):
            counts[value] = counts.get(value, 0) + count
        if len(counts) > MOST_CLASSES:
            raise InputError(
                f"{path} has more than {MOST_CLASSES} different values; expected a map of classes"
            )
    return dict(sorted(counts.items()))


def _occurring(values: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Each value with how often it occurs."""
    if values.max(initial=0) < MOST_COUNTED:  # without sorting them
        counts = np.bincount(values)
        return [(value, int(counts[value])) for value in np.flatnonzero(counts).tolist()]
    found, occurs = np.unique(values, return_counts=True)
    return list(zip(found.tolist(), occurs.tolist(), strict=True))


def _colour_table(file: Any) -> dict[int, Colour]:
    try:
        return {value: colour[:3] for value, colour in file.colormap(1).items()}
    except ValueError:  # it has none
        return {}


def _legend(path: Path) -> dict[int, str]:
    """Names by value from a `legend.csv` of ours."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {int(row["value"]): row["class"] for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
