"""Which points to check, so that areas and accuracies of a map can be estimated: a stratified random sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.areas.allocate import divide, total_points
from tessera_engine.analysis.areas.draw import draw_pixels
from tessera_engine.analysis.areas.options import CHECKS, DesignKeywords, DesignOptions
from tessera_engine.analysis.class_map import ClassMap, open_class_map
from tessera_engine.analysis.options import check_options
from tessera_engine.analysis.pixel_area import ADVICE, pixel_square_metres
from tessera_engine.analysis.sampling.tables import Content, bounds_of, writer_for
from tessera_engine.errors import InputError, MissingExtra, check_type
from tessera_engine.files.nearby import nearest
from tessera_engine.files.result import check_free, result_file
from tessera_engine.formats.given import GivenPath, check_path
from tessera_engine.places.crs import WGS84, stated_crs
from tessera_engine.running.options import spelled_out
from tessera_engine.scene import Grid

if TYPE_CHECKING:
    from typing_extensions import Unpack

REFERENCE, STRATUM, STRATUM_PIXELS, ON_THE_MAP = "reference", "stratum", "stratum_pixels", "map_class"
"""Columns of the points: for what is found on the ground, the number and size of the stratum, the class on the map."""

TIMES = ("before", "after")
"""Ends of the names of two columns `reference_...` that points of a map of transitions have instead of one."""

EXAMPLES = 3
"""Classes that a note names."""

DECIMALS = 7
"""Of degrees: 1 cm."""


@dataclass(frozen=True, repr=False)
class Design:
    """Points to check.

    Attributes:
        out: the file.
        points: number of points by class.
        pixels: pixels of the map by class.
        empty: the columns to fill in.
        notes: what is worth knowing, a line each.
    """

    out: Path
    points: Mapping[str, int]
    pixels: Mapping[str, int]
    empty: tuple[str, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<Design {self.out}: {sum(self.points.values()):,} points of {len(self.points)} classes>"


def sample_design(
    map: GivenPath,
    out: GivenPath,
    *,
    overwrite: bool = False,
    **options: Unpack[DesignKeywords],
) -> Design:
    """Draw points to check: a random sample of each class of a map.

    Each point has an empty column `reference`, for what is found at its place, and what `area` has to know: the number
    of its stratum and the stratum's pixels. Points are in random order. Those of a map of transitions have two columns,
    `reference_before` and `reference_after`.

    Args:
        map: a folder of `map` or `change`, or a GeoTIFF of classes.
        out: the points: .gpkg, .geojson, .parquet (GeoParquet) or .csv.
        overwrite: replace an existing file.
        per_class: points of each class; None: by `standard_error`.
        standard_error: that the overall accuracy will have, such as 0.01; None: by `per_class`.
        expected_accuracy: the user's accuracy that is expected: one for all classes, or by the name of a class.
        least: points of a rare class.
        seed: of the random draw; the same seed draws the same points.
        show_class: write the map's class of each point; without it, who checks the points doesn't see it.
        nodata: the map's value of pixels without a class; None: what the file declares.

    Raises:
        InputError: an argument is wrong, the map can't be used, or there is something at `out` already.
        MissingExtra: a library that writes the file isn't installed.
        TesseraError: the file couldn't be written; nothing is left behind.
    """
    chosen = check_options(DesignOptions, "sample_design", options, CHECKS)
    check_type("overwrite", overwrite, (bool,), "True or False")
    if (chosen.per_class is None) == (chosen.standard_error is None):
        raise InputError("give either per_class=, the points of each class, or standard_error=, such as 0.01")
    check_path("out", out, "a file")
    target = Path(out)
    write = writer_for(target)
    need_tables("sample-design")
    check_free(target, overwrite)
    drawn_from = open_class_map("map", map, chosen.nodata)
    pixel_square_metres(
        drawn_from.grid, str(drawn_from.path), ADVICE
    )  # not only after all points were checked
    points = _allocation(drawn_from, chosen)
    value, col, row = draw_pixels(drawn_from, points, chosen.seed)
    content, batch = _table(drawn_from, chosen, value, col, row)
    status = drawn_from.path.stat()
    identity = {
        "command": "sample-design",
        "map": f"{drawn_from.path.absolute()} {status.st_size} {status.st_mtime_ns}",
        "options": repr(chosen),
    }
    with result_file(target, overwrite, identity) as made:
        write(made, target.name, content, lambda: iter([batch]))
    names = drawn_from.names
    small = [names[each] for each, count in points.items() if count == drawn_from.pixels[each]]
    named = ", ".join(small[:EXAMPLES]) + (
        f" and {len(small) - EXAMPLES} more" if len(small) > EXAMPLES else ""
    )
    notes = (f"all pixels are drawn of {named}",) if small else ()
    return Design(
        target,
        {names[each]: count for each, count in points.items()},
        {names[each]: drawn_from.pixels[each] for each in points},
        _empty(drawn_from),
        notes,
    )


sample_design.__signature__ = spelled_out(  # type: ignore[attr-defined]
    sample_design, DesignKeywords, DesignOptions()
)


def need_tables(purpose: str) -> None:
    """Make sure that what reads and writes tables of points is installed; `purpose` is what needs it.

    Raises:
        MissingExtra: it isn't.
    """
    for library in ("shapely", "pyarrow", "pyogrio"):
        try:
            __import__(library)
        except ModuleNotFoundError:
            raise MissingExtra(library, "maps", purpose) from None


def _allocation(of: ClassMap, options: DesignOptions) -> dict[int, int]:
    """Points of each class, by its value."""
    values, pixels = list(of.pixels), np.array(list(of.pixels.values()), np.int64)
    expected = _expected(of, options.expected_accuracy)
    if options.per_class is not None:
        points = np.minimum(pixels, options.per_class)
    else:
        total = total_points(pixels, expected, options.standard_error or 1.0)
        points = divide(pixels, total, options.least)
    return dict(zip(values, points.tolist(), strict=True))


def _empty(of: ClassMap) -> tuple[str, ...]:
    """The columns for what is found at the points."""
    return tuple(f"{REFERENCE}_{time}" for time in TIMES) if of.of_transitions else (REFERENCE,)


def _expected(of: ClassMap, given: float | Mapping[str, float]) -> NDArray[np.float64]:
    """(C,) the accuracy that is expected of each class."""
    if not isinstance(given, Mapping):
        return np.full(len(of.names), given)
    known = list(of.names.values())
    for name in given:
        if name not in known:
            near = nearest(name, known)
            hint = f"; did you mean '{near}'?" if near else ""
            raise InputError(
                f"expected_accuracy= names the class '{name}', which the map doesn't have; its classes: "
                f"{', '.join(known[:12])}{hint}"
            )
    return np.array([given.get(name, DesignOptions.expected_accuracy) for name in known], np.float64)


def _table(
    of: ClassMap,
    options: DesignOptions,
    value: NDArray[np.int64],
    col: NDArray[np.int64],
    row: NDArray[np.int64],
) -> tuple[Content, Any]:
    """What is written of the points, and their record batch."""
    import pyarrow
    import shapely

    shapes, lon, lat = centres(of.grid, col, row)
    # The numbers of strata don't follow the order of the classes, so they don't give them away
    order = np.random.default_rng(options.seed + 1).permutation(len(of.pixels)) + 1
    number = dict(zip(of.pixels, order.tolist(), strict=True))
    count = len(value)
    columns = {
        "id": pyarrow.array(range(1, count + 1), pyarrow.int64()),
        "lon": pyarrow.array(lon, pyarrow.float64()),
        "lat": pyarrow.array(lat, pyarrow.float64()),
        STRATUM: pyarrow.array([number[each] for each in value.tolist()], pyarrow.int64()),
        STRATUM_PIXELS: pyarrow.array([of.pixels[each] for each in value.tolist()], pyarrow.int64()),
        **(
            {ON_THE_MAP: pyarrow.array([of.names[each] for each in value.tolist()])}
            if options.show_class
            else {}
        ),
        **{name: pyarrow.array([None] * count, pyarrow.string()) for name in _empty(of)},
        "geometry": pyarrow.array(shapely.to_wkb(shapes), pyarrow.binary()),
    }
    batch = pyarrow.record_batch(list(columns.values()), names=list(columns))
    about = {
        "map": of.title,
        "seed": options.seed,
        "classes": {name: of.pixels[each] for each, name in of.names.items()},
    }
    crs = stated_crs(of.grid.crs)
    return Content(batch.schema, "geometry", crs, ("Point",), bounds_of(shapes), about, plain=True), batch


def centres(
    grid: Grid, col: NDArray[np.int64], row: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64]]:
    """(N,) the centres of pixels as shapely points in the grid's CRS, their longitudes and their latitudes.

    Args:
        grid: with a CRS.
        col: (N,).
        row: (N,).

    Raises:
        InputError: they have no place in longitude and latitude.
    """
    import shapely
    from rasterio.warp import transform

    from tessera_engine.gdal import PROJECTION_ERRORS

    x, y = grid.transform @ np.stack([col + 0.5, row + 0.5])
    try:
        lon, lat = transform(grid.crs, WGS84, x, y)
    except PROJECTION_ERRORS as error:
        raise InputError(
            f"the CRS {grid.crs} can't be brought into longitude and latitude: {error}"
        ) from None
    return shapely.points(x, y), np.round(lon, DECIMALS), np.round(lat, DECIMALS)
