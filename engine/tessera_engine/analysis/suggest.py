"""Points to label next, as a file: those whose labels would help a map most."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.areas.design import centres, need_tables
from tessera_engine.analysis.class_map import is_map, open_class_map
from tessera_engine.analysis.labels.pixels import LabelSource
from tessera_engine.analysis.labels.reading import RASTERS, check_used, read_labels
from tessera_engine.analysis.map_shares import MapShares
from tessera_engine.analysis.option_checks import CHECKS
from tessera_engine.analysis.options import check_options
from tessera_engine.analysis.sampling.tables import Content, bounds_of, writer_for
from tessera_engine.analysis.suggestions import COUNT, FEW_LABELS, Known, Vectors, candidates
from tessera_engine.analysis.suggestions import suggest as most_telling
from tessera_engine.errors import InputError, check_type
from tessera_engine.files.result import check_apart, check_free, result_file
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.same_grid import named, offset
from tessera_engine.formats.given import Given, GivenPath, check_path, identity_of, open_given, path_given
from tessera_engine.places.crs import stated_crs
from tessera_engine.places.read import read_features
from tessera_engine.places.shapes import ShapeFile
from tessera_engine.running.options import spelled_out

if TYPE_CHECKING:
    from typing_extensions import Unpack

LABEL = "class"
"""The column to fill in, where no field is named."""

STRIP_VALUES = 4_000_000
"""Pixels that are looked at at a time."""

MOST_LABELS, COMPARED = 20_000, 500
"""Labelled pixels that are read at most, and with which suggestions are compared."""

MOST_SUGGESTED = 1000

OF_THE_MAP = (
    "pixels are compared by the probabilities of their classes; with the embeddings, and this map as map=, points "
    "would also cover land that looks different"
)

RANK = "rank"


class SuggestKeywords(TypedDict, total=False):
    """What `suggest` takes as keywords; see `SuggestOptions`."""

    count: int
    map: Any
    layer: str | None
    labels_crs: str | int | None
    year: int | None


@dataclass(frozen=True)
class SuggestOptions:
    """How points are chosen.

    Attributes:
        count: points at most.
        map: a map that was made from the labels, whose doubts count; None: only what the labels don't cover.
        layer: the layer of the labels; None: the only one that has the field.
        labels_crs: the CRS of the labels' coordinates; None: what the file says.
        year: the year to read, of an output with several years.
    """

    count: int = COUNT
    map: Any = None
    layer: str | None = None
    labels_crs: str | None = None
    year: int | None = None


@dataclass(frozen=True, repr=False)
class Suggested:
    """Points to label.

    Attributes:
        out: the file.
        points: (N, 2) longitude and latitude, in the order in which they help.
        notes: what is worth knowing, a line each.
    """

    out: Path
    points: NDArray[np.float64]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<Suggested {self.out}: {len(self.points)} points>"


def suggest(
    embeddings: Given,
    out: GivenPath,
    labels: GivenPath | None = None,
    field: str | None = None,
    *,
    overwrite: bool = False,
    **options: Unpack[SuggestKeywords],
) -> Suggested:
    """Choose the points whose labels would help a map most, and write them as a file to fill in.

    The first labels go where they are like much of the scene; with more labels and a map, where the map isn't sure.
    Points are apart from each other and from labels. See `tessera_engine.analysis.suggestions`.

    Args:
        embeddings: what will be mapped: an output folder, or `open_embeddings(...)`. Or a folder of `map` alone: its
            doubts count, and pixels are alike to which it gives the same probabilities.
        out: the points: .gpkg, .geojson, .parquet (GeoParquet) or .csv.
        labels: what is labelled already, a file as `map` takes it; None: nothing.
        field: the field of the labels; the points have an empty column of this name.
        overwrite: replace an existing file.
        count: points at most.
        map: a folder of `map`, made from these labels and embeddings.
        layer: the layer of the labels; None: the only one that has the field.
        labels_crs: the CRS of the labels' coordinates; None: what the file says.
        year: the year to read, of an output with several years.

    Raises:
        InputError: an argument is wrong, the labels or the map can't be used, or there is something at `out` already.
        MissingExtra: a library that reads labels or writes the points isn't installed.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    own = {"count": _count, "map": lambda name, value: value}
    chosen = check_options(SuggestOptions, "suggest", options, {**CHECKS, **own})
    check_type("overwrite", overwrite, (bool,), "True or False")
    check_path("out", out, "a file")
    target = Path(out)
    write = writer_for(target)
    need_tables("suggest")
    check_free(target, overwrite)
    opened = _open(embeddings, chosen)
    if opened.grid.crs is None:
        raise InputError(f"{opened.path} has no CRS, so points on it have no place for other programs")
    source = None
    if labels is not None:
        check_path("labels", labels, "a file with points or polygons, a table or a raster")
        source = LabelSource(Path(labels), field, chosen.layer, chosen.labels_crs)
        check_used(replace(source, field=None))  # it names a column of the points too
        check_apart(target, (source.path,))
    known = _known(opened, source)
    classified, notes = _doubts(opened, chosen.map, known.labels)
    if isinstance(opened, MapShares):  # it was learned from labels, however few of them are given here
        known = known._replace(labels=max(known.labels, FEW_LABELS))
    may, scene = (Vectors(each, opened.pixels(each.cols, each.rows)) for each in candidates(classified))
    found = most_telling(may, scene, known, max(opened.grid.width, opened.grid.height), chosen.count)
    if not len(found):
        raise InputError(f"{opened.path} has no pixel with data that is apart from the labels")
    if len(found) < chosen.count:
        notes.append(f"only {len(found)} points are apart from each other and from the labels")
    content, batch, points = _table(opened, may.pixels.cols[found], may.pixels.rows[found], field or LABEL)
    files = [Path(each) for each in (labels,) if each is not None]
    sources, map = ((), opened.path) if isinstance(opened, MapShares) else ((opened,), None)
    identity = identity_of(
        "suggest", sources, map=map, labels=files[0] if files else None, field=field, options=chosen
    )
    with result_file(target, overwrite, identity) as made:
        write(made, target.name, content, lambda: iter([batch]))
    return Suggested(target, points, tuple(notes))


suggest.__signature__ = spelled_out(suggest, SuggestKeywords, SuggestOptions())  # type: ignore[attr-defined]


def _count(name: str, value: object) -> int:
    check_type(name, value, (int,), "a number of points")
    number = int(cast(int, value))
    if not 1 <= number <= MOST_SUGGESTED:
        raise InputError(f"{name}={number:,} can't be used; expected 1 to {MOST_SUGGESTED:,} points")
    return number


def _open(given: Given, options: SuggestOptions) -> Embeddings | MapShares:
    """Embeddings, or a map in their place.

    Raises:
        InputError: it is none of them, or a map and embeddings don't go together.
    """
    if isinstance(given, Embeddings) or not is_map(path_given("embeddings", given)):
        return open_given("embeddings", given, year=options.year)
    for name in ("map", "year"):
        if getattr(options, name) is not None:
            raise InputError(
                f"{given} is a map, so {name}= can't be given with it; give the embeddings, or leave out {name}="
            )
    return MapShares.of(open_class_map("embeddings", path_given("embeddings", given)))


def _known(embeddings: Embeddings | MapShares, source: LabelSource | None) -> Known:
    """What is labelled: of many pixels some, spread over all."""
    if source is None:
        nothing = np.zeros((0, 2), np.int64)
        return Known(0, nothing, np.zeros((0, embeddings.dim), np.float32))
    read = read_labels(source, embeddings.grid, False, MOST_LABELS)
    shapes = len(read)
    if source.path.suffix.lower() not in RASTERS:
        file = ShapeFile(source.path, source.layer, source.crs, "labels_crs")
        shapes = min(shapes, len(read_features(file)))
    some = np.linspace(0, len(read) - 1, min(len(read), COMPARED)).astype(np.int64)
    places = np.stack([read.cols[some], read.rows[some]], axis=1)
    vectors = embeddings.pixels(*places.T)
    there = np.isfinite(vectors[:, 0])
    return Known(shapes, places[there], vectors[there])


def _doubts(embeddings: Embeddings | MapShares, map: Any, labels: int) -> tuple[NDArray[np.uint8], list[str]]:
    """(height, width, 2) as `candidates` takes it: where there are data, and how sure the map is; and notes."""
    grid = embeddings.grid
    classified = np.zeros((grid.height, grid.width, 2), np.uint8)
    if isinstance(embeddings, MapShares):
        for window, _, there in embeddings.map.strips():
            part = classified[window.row : window.row + window.height]
            part[..., 0], part[..., 1] = there, embeddings.margins(window)
        return classified, [OF_THE_MAP]
    first = replace(embeddings, dim=1)  # whether a pixel has data is the same in all dimensions
    for window in grid.window.blocks(grid.width, max(1, STRIP_VALUES // grid.width)):
        classified[window.row : window.row + window.height, :, 0] = first.read_stored(window).valid
    if map is None:
        if labels < FEW_LABELS:
            return classified, []
        return classified, [
            f"with {labels:,} labels the doubts of their map say more: make it, and give it as map="
        ]
    of = MapShares.of(open_class_map("map", map))
    if offset(grid, of.grid) != (0, 0) or (of.grid.width, of.grid.height) != (grid.width, grid.height):
        raise InputError(
            f"{of.path} is on {named(of.grid)}, {embeddings.path} on {named(grid)}; give the map of these embeddings"
        )
    for window in grid.window.blocks(grid.width, max(1, STRIP_VALUES // grid.width)):
        classified[window.row : window.row + window.height, :, 1] = of.margins(window)
    notes = [f"the map's doubts count from {FEW_LABELS} labels on, and there are {labels}"] * (
        labels < FEW_LABELS
    )
    return classified, notes


def _table(
    embeddings: Embeddings | MapShares, col: NDArray[np.int64], row: NDArray[np.int64], label: str
) -> tuple[Content, Any, NDArray[np.float64]]:
    """What is written of the points, their record batch, and their longitudes and latitudes."""
    import pyarrow
    import shapely

    shapes, lon, lat = centres(embeddings.grid, col, row)
    columns = {
        RANK: pyarrow.array(range(1, len(col) + 1), pyarrow.int64()),
        "lon": pyarrow.array(lon, pyarrow.float64()),
        "lat": pyarrow.array(lat, pyarrow.float64()),
    }
    name = label if label.casefold() not in (*columns, "geometry") else LABEL
    columns[name] = pyarrow.array([None] * len(col), pyarrow.string())
    columns["geometry"] = pyarrow.array(shapely.to_wkb(shapes), pyarrow.binary())
    batch = pyarrow.record_batch(list(columns.values()), names=list(columns))
    crs = stated_crs(embeddings.grid.crs)
    about = {"embeddings": embeddings.path.name}
    content = Content(batch.schema, "geometry", crs, ("Point",), bounds_of(shapes), about, plain=True)
    return content, batch, np.stack([lon, lat], axis=1)
