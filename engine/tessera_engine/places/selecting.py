"""The pixels of a scene that a user's shapes select."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.files.checksums import path_sha256
from tessera_engine.files.nearby import no_such_file
from tessera_engine.files.partial import finish_or_undo
from tessera_engine.gdal import gdal_options
from tessera_engine.places.crs import Near
from tessera_engine.places.losses import Cause, Losses, in_words
from tessera_engine.places.nearby import box_in_words
from tessera_engine.places.pixels import LINE, POINT, PixelSet, Spans, explode, spans_of
from tessera_engine.places.read import check_layer, library_bytes, read_shapes
from tessera_engine.places.shapes import ShapeFile, Shapes
from tessera_engine.scene import Grid, Window

AOI, POINTS = "aoi", "points"

_LENGTH = re.compile(r"\s*([-+]?\d+(?:\.\d+)?)\s*(m|km)?\s*", re.IGNORECASE)

_BESIDE = (".shx", ".dbf", ".prj", ".cpg", ".qpj")
"""Files that belong to a file of shapes with the same name."""


@dataclass(frozen=True)
class Asked:
    """Which pixels of a scene the user asks for.

    Attributes:
        kind: `aoi` for shapes of any kind, `points` for points only; the name of the user's parameter.
        file: with the shapes.
        buffer: metres by which the shapes grow, or shrink where negative.
    """

    kind: str
    file: ShapeFile
    buffer: float = 0.0


@dataclass(frozen=True)
class Selection:
    """The pixels of a scene that shapes select.

    Attributes:
        asked: by the user.
        sha256: hex, of the file and those that belong to it.
        pixels: of the scene's grid, at least one.
        lost: shapes that select no pixel.
    """

    asked: Asked
    sha256: str
    pixels: PixelSet
    lost: Losses

    @property
    def bytes_held(self) -> int:
        """Bytes of memory that it takes, with the libraries that read the shapes."""
        return self.pixels.bytes_held + library_bytes(self.asked.file.path)

    def in_words(self) -> str:
        """Everything that the selected pixels depend on, for comparing two runs."""
        file, buffer = self.asked.file, self.asked.buffer
        layer = "" if file.layer is None else f" layer {file.layer}"
        crs = "" if file.crs is None else f" in {file.crs}"
        return f"{file.path.name} {self.sha256[:16]}{layer}{crs}" + (
            f" buffer {buffer:g} m" if buffer else ""
        )

    def facts(self) -> dict[str, Any]:
        """What an output records of it."""
        asked = self.asked
        return {
            "kind": asked.kind,
            "file": asked.file.path.name,
            "sha256": self.sha256,
            "layer": asked.file.layer,
            "crs": asked.file.crs,
            "buffer_metres": asked.buffer,
            "pixels": len(self.pixels),
        }

    def note(self) -> str | None:
        """A line about shapes that select no pixel; None where all do."""
        if not self.lost:
            return None
        return f"warning: {self.asked.file.path} has shapes that select no pixel: {in_words(self.lost)}"


HALFWAY_ROUND = 20_100_000
"""Metres: no two places on Earth are further apart."""


def parse_length(name: str, value: float | str) -> float:
    """Metres from a number, `50m`, `0.5km`.

    Args:
        name: the parameter's.
        value: its value.

    Raises:
        InputError: it is no length.
    """
    match = _LENGTH.fullmatch(str(value))
    if match is None:
        raise InputError(f"{name}={value} is not a length; write it in metres, like 50m")
    metres = float(match[1]) * (1000 if (match[2] or "").lower() == "km" else 1)
    if abs(metres) > HALFWAY_ROUND:
        raise InputError(
            f"{name}={value} is longer than halfway round the Earth; write it in metres, like 50m"
        )
    return metres


def shapes_sha256(path: Path) -> str:
    """Hex sha256 of a file of shapes, with the files beside it that belong to it."""
    beside = [each for suffix in _BESIDE for each in (path.with_suffix(suffix),) if each.is_file()]
    if path.is_dir() or not beside:
        return path_sha256(path)
    sums = [f"{path_sha256(each)}  {each.suffix}\n" for each in (path, *beside)]
    return hashlib.sha256("".join(sums).encode()).hexdigest()


def check_shapes(path: Path) -> None:
    """Make sure that a file of shapes is there.

    Raises:
        InputError: it isn't.
    """
    finish_or_undo(path)
    if not os.path.lexists(path):
        raise no_such_file(path)


def select(asked: Asked, grid: Grid, within: Window) -> Selection:
    """The pixels that shapes select.

    A polygon selects the pixels whose centre lies in it, a point the pixel in which it lies. With a buffer, a point or
    line also selects the pixels whose centre lies within it.

    Args:
        asked: the shapes.
        grid: the scene's.
        within: the part of the scene in which pixels are selected.

    Raises:
        InputError: the file can't be used, has shapes of a kind that selects nothing, or none selects a pixel.
        MissingExtra: a library that reads the file isn't installed.
    """
    file = asked.file
    check_shapes(file.path)
    check_layer(file.layer, file.path)
    if grid.crs is None:
        raise InputError(
            f"the scene has no CRS, so {asked.kind}={file.path} has no place in it; give window="
        )
    sha256 = shapes_sha256(file.path)
    units = in_units(asked.buffer, grid)
    near = Near.grid(grid.crop(within)).grown(abs(units))
    shapes = read_shapes(file, None, near)
    _check_kinds(asked, shapes.geometries)
    lost = Losses(shapes.lost)
    geometries, taken = shapes.geometries, np.zeros(len(shapes), bool)
    found = grown_spans(geometries, units, grid, within)
    taken[found.owner] = True
    touching = _touching(geometries, grid, within, units)
    for cause, which in ((Cause.BESIDE, ~taken & ~touching), (Cause.NO_CENTRE, ~taken & touching)):
        if which.any():
            lost[cause] += int(which.sum())
    if not len(found):
        raise InputError(_nothing(asked, shapes, lost, Near.grid(grid.crop(within))))
    return Selection(asked, sha256, PixelSet(found, within), lost)


def in_units(buffer: float, grid: Grid) -> float:
    """A buffer of so many metres in units of a grid's CRS.

    Raises:
        InputError: the grid is in degrees.
    """
    from rasterio.crs import CRS

    if not buffer:
        return 0.0
    with gdal_options():
        crs = CRS.from_user_input(grid.crs)
        if crs.is_geographic:
            raise InputError(
                f"buffer={buffer:g}m needs a grid in metres, and this one is in degrees ({grid.crs}); draw the "
                "buffer into the shapes, or leave out buffer="
            )
        return float(buffer / crs.linear_units_factor[1])


def _check_kinds(asked: Asked, geometries: NDArray[Any]) -> None:
    parts = explode(geometries)
    if asked.kind == POINTS and (parts.dimension != POINT).any():
        raise InputError(
            f"{asked.file.path} has lines or polygons, and points= takes points only; give aoi={asked.file.path}"
        )
    if asked.buffer <= 0 and (parts.dimension == LINE).any():
        raise InputError(
            f"{asked.file.path} has lines, which hold no pixel; give a buffer=, such as 20m"
            + ("" if asked.file.layer else ", or the layer= of points or polygons if it has one")
        )
    if asked.buffer < 0 and (parts.dimension == POINT).any():
        raise InputError(
            f"{asked.file.path} has points, and buffer={asked.buffer:g}m would shrink them; give more than 0"
        )


def grown_spans(geometries: NDArray[Any], units: float, grid: Grid, within: Window) -> Spans:
    """The pixels of shapes that are grown by a buffer.

    Args:
        geometries: (N,) shapely geometries in the grid's CRS.
        units: by which they grow, in units of the CRS; negative: they shrink.
        grid: the pixels.
        within: see `tessera_engine.places.pixels.spans_of`.
    """
    import shapely

    if not units:
        return spans_of(geometries, grid, within)
    grown = shapely.buffer(shapely.make_valid(geometries), units)
    plain = spans_of(geometries, grid, within) if units > 0 else Spans.none()
    # A point selects its own pixel, even if a small buffer holds no centre
    return plain.joined(spans_of(grown, grid, within), within)


def _touching(geometries: NDArray[Any], grid: Grid, within: Window, units: float) -> NDArray[np.bool_]:
    """(N,) which shapes touch the window."""
    import shapely

    box = shapely.box(*Near.grid(grid.crop(within)).bounds)
    touching: NDArray[np.bool_] = shapely.dwithin(geometries, box, max(units, 0.0))
    return touching


def _nothing(asked: Asked, shapes: Shapes, lost: Losses, near: Near) -> str:
    """Why no pixel is selected, and what to do."""
    import shapely

    path = asked.file.path
    if not lost:
        return f"{path} holds no shapes; expected points or polygons"
    cause = max(lost, key=lambda each: lost[each])
    place = shapes.place
    if not place and len(shapes):  # they lie near the scene
        left, bottom, right, top = map(float, shapely.total_bounds(shapes.geometries))
        lying = box_in_words((left, bottom, right, top))
        place = f"they lie at {lying} in {near.crs}, the scene at {box_in_words(near.bounds)}"
    advice = {
        Cause.NO_GEOMETRY: "expected points or polygons, or columns with decimal coordinates",
        Cause.BROKEN: "save the file again with another program",
        Cause.BESIDE: place or "give shapes of the same place",
        Cause.OUT_OF_PROJECTION: place or "give shapes_crs=, the CRS of the coordinates",
        Cause.NO_CENTRE: "give a buffer=, or points",
    }[cause]
    return f"no pixel of the scene is selected by {path}: {in_words(lost)}; {advice}"
