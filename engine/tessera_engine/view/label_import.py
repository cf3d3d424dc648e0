"""Labels from other programs: GeoJSON, GeoPackage, and the JSON of the Tessera Embeddings Explorer (TEE).

TEE's format is described in `docs/label-format.md` of github.com/ucam-eo/TEE: coordinates are degrees in WGS 84, a
point is `source_pixel` or `lat` and `lon`, and a polygon `vertices`, each latitude before longitude.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.analysis.labels.values import class_names
from tessera_engine.errors import InputError, quoted
from tessera_engine.files import document
from tessera_engine.pictures.colours import class_colour
from tessera_engine.places.crs import WGS84, Near, into_crs, stated_crs
from tessera_engine.places.losses import Cause, Losses, in_words
from tessera_engine.places.nearby import Collector
from tessera_engine.places.read import list_fields, read_shapes
from tessera_engine.places.shapes import ShapeFile, objects
from tessera_engine.scene import Grid
from tessera_engine.view.label_document import (
    COLOUR_FIELD,
    FIELD,
    LONGEST_NAME,
    MOST_CLASSES,
    MOST_CORNERS,
    MOST_LABELS,
    Corner,
    Document,
    LabelClass,
    PointLabel,
    PolygonLabel,
    check_document,
    is_label_file,
    need_shapely,
    shapes_of,
)
from tessera_engine.view.rings import STRAIGHT, parts_of, rings_of

MOST_BYTES = 20_000_000
"""Of a file that is imported."""

FIELDS = (FIELD, "label_name", "label", "name", "class_name")
"""Fields of other programs with the class, the first that a file has is taken; TEE's GeoJSON has `label_name`."""

COLOUR_FIELDS = (COLOUR_FIELD, "label_color", "color")

_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


class Imported(NamedTuple):
    """Labels with those of a file.

    Attributes:
        labels: all of them.
        added: how many the file has added.
        note: what was left out, in one line; empty where nothing was.
    """

    labels: Document
    added: int
    note: str


@dataclass(frozen=True)
class _Shapes:
    """Shapes of a file in the grid's CRS: (N,) geometries, names of classes (None: none) and colours (None: none)."""

    geometries: NDArray[Any]
    names: NDArray[Any]
    colours: NDArray[Any]
    lost: Losses


def import_labels(
    known: Document, grid: Grid, name: str, content: bytes, field: str | None = None
) -> Imported:
    """Add the labels of a file to a document.

    A class is known by its name. Shapes beside the output are left out, and labels that the document has already.

    Args:
        known: the document.
        grid: of its output.
        name: of the file; only its ending is used.
        content: of the file.
        field: the field of GeoJSON or GeoPackage with the class; None: the first of `FIELDS` that there is, or the only
            one.

    Raises:
        InputError: the file can't be used, or has too much.
        MissingExtra: a library that reads it isn't installed.
    """
    if grid.crs is None:
        raise InputError("this output has no CRS, so the labels of a file have no place in it")
    if len(content) > MOST_BYTES:
        raise InputError(
            f"{plain_name(name)} has {len(content):,} bytes, expected at most {MOST_BYTES:,}; import a part of it"
        )
    suffix = Path(plain_name(name)).suffix.lower()
    if suffix in (".json", ".geojson"):
        value = _json(name, content)
        if is_label_file(value):
            shapes = _of_document(name, value, grid)
        elif isinstance(value, list) or (isinstance(value, dict) and isinstance(value.get("labels"), list)):
            shapes = _of_tee(value if isinstance(value, list) else value["labels"], grid)
        else:
            shapes = _of_file(content, ".geojson", grid, field, name)
    elif suffix == ".gpkg":
        shapes = _of_file(content, suffix, grid, field, name)
    else:
        raise InputError(f"{plain_name(name)} is not imported; expected a .geojson, .gpkg or .json file")
    return _merged(known, grid, shapes, plain_name(name))


def plain_name(name: str) -> str:
    """The name of a file without its folders, for messages."""
    return re.split(r"[/\\]", name)[-1][-100:] or "the file"


def _json(name: str, content: bytes) -> Any:
    try:
        return document.parse(content.removeprefix(b"\xef\xbb\xbf"))
    except document.Damaged as error:
        raise InputError(f"{plain_name(name)} can't be read: {error}") from None


def _of_file(content: bytes, suffix: str, grid: Grid, field: str | None, name: str) -> _Shapes:
    """Shapes that GDAL reads."""
    with tempfile.TemporaryDirectory(prefix="tessera-labels-") as folder:
        path = Path(folder, f"labels{suffix}")
        path.write_bytes(content)
        try:
            fields = list_fields(path)
            file, near = ShapeFile(path), Near.grid(grid)
            found = read_shapes(file, _field(fields, field), near)
            colour = next((each for each in COLOUR_FIELDS if each in fields), None)
            colours = None if colour is None else read_shapes(file, colour, near).values
        except InputError as error:
            # The user has never seen this folder, and a page has no options
            text = re.sub(r"give (layer|crs)=.*", "save it with its CRS and one layer", str(error))
            raise type(error)(text.replace(str(path), plain_name(name))) from None
    if colours is None or len(colours) != len(found):  # layers without colours add shapes
        colours = np.full(len(found), None, object)
    return _Shapes(found.geometries, class_names(found.values, None), colours, Losses(found.lost))


def _field(fields: list[str], field: str | None) -> str:
    if field is not None:
        return field
    lower = {each.lower(): each for each in fields}
    for each in FIELDS:
        if each in lower:
            return lower[each]
    others = [each for each in fields if each not in COLOUR_FIELDS]
    if len(others) == 1:
        return others[0]
    raise InputError(
        f"the labels have the fields {', '.join(fields) or 'none'}; rename the one with the class to '{FIELD}'"
    )


def _of_document(name: str, value: Mapping[str, Any], grid: Grid) -> _Shapes:
    """Shapes of a file that a viewer keeps beside another output."""
    try:
        facts = document.checked(value.get("grid"), dict[str, Any])
        transform = Affine(
            *document.checked(facts.get("transform"), tuple[float, float, float, float, float, float])
        )
        found = document.checked({key: value.get(key) for key in Document.__struct_fields__}, Document)
        crs = stated_crs(facts.get("crs"))
        if crs is None or transform.is_degenerate:
            raise document.Damaged("the place of its grid isn't known")
    except document.Damaged as error:
        raise InputError(f"{plain_name(name)} is damaged: {error}") from None
    classes = {each.id: each for each in found.classes}
    kept = [label for label in found.labels if label.class_id in classes]
    names = objects([classes[label.class_id].name for label in kept])
    colours = objects([classes[label.class_id].colour for label in kept])
    shapes = shapes_of(msgspec.structs.replace(found, labels=kept), transform)
    return _placed(shapes, names, colours, crs, grid)


def _of_tee(labels: Iterable[Any], grid: Grid) -> _Shapes:
    """Shapes of labels as TEE exports them; those without coordinates are lost."""
    shapely = need_shapely()
    shapes, names, colours, lost = [], [], [], Losses()
    for label in labels:
        shape = None
        if isinstance(label, dict):
            shape = _tee_shape(shapely, label)
        if shape is None:
            lost[Cause.NO_GEOMETRY] += 1
            continue
        shapes.append(shape)
        names.append(label.get("name"))
        colours.append(label.get("color"))
    found = _placed(
        objects(shapes), class_names(objects(names), None), objects(colours), stated_crs(WGS84), grid
    )
    return _Shapes(found.geometries, found.names, found.colours, found.lost + lost)


def _tee_shape(shapely: Any, label: Mapping[str, Any]) -> Any:
    vertices = label.get("vertices")
    if label.get("type") == "polygon" and isinstance(vertices, list) and 3 <= len(vertices) <= MOST_CORNERS:
        try:
            ring = document.checked(vertices, list[tuple[float, float]])
            return shapely.Polygon([(lon, lat) for lat, lon in ring])
        except (document.Damaged, ValueError):
            return None
    point = label.get("source_pixel") or label
    if not isinstance(point, dict):
        return None
    try:
        lat, lon = (document.checked(point.get(key), float) for key in ("lat", "lon"))
    except document.Damaged:
        return None
    return shapely.Point(lon, lat)


def _placed(
    shapes: NDArray[Any], names: NDArray[Any], colours: NDArray[Any], crs: Any, grid: Grid
) -> _Shapes:
    """Shapes brought into the grid's CRS; those beside it are lost."""
    near = Near.grid(grid)
    collector = Collector(crs, near)
    collector.add(shapes, np.arange(len(shapes)).astype(object))
    part = collector.part()
    moved, usable, lost = into_crs(part.geometries, crs, near)
    kept = part.values[usable].astype(np.int64)
    return _Shapes(moved[usable], names[kept], colours[kept], part.lost + lost)


def _merged(known: Document, grid: Grid, shapes: _Shapes, name: str) -> Imported:
    shapely = need_shapely()
    lost = Losses(shapes.lost)
    builder = _Builder(known, name)
    frame = shapely.box(*Near.grid(grid).bounds)
    pixel = abs(grid.transform.determinant) ** 0.5
    for shape, text, colour in zip(shapes.geometries, shapes.names, shapes.colours, strict=True):
        if text is None:
            lost[Cause.NO_VALUE] += 1
            continue
        for part in parts_of(shapely, shape):
            dimension = shapely.get_dimensions(part)
            if dimension == 0:
                col, row = (int(np.floor(value)) for value in ~grid.transform @ (part.x, part.y))
                if not (0 <= col < grid.width and 0 <= row < grid.height):
                    lost[Cause.BESIDE] += 1
                    continue
                builder.add(text, colour, (col, row))
            elif dimension == 1:
                lost[Cause.LINE] += 1
            elif not shapely.intersects(part, frame):
                lost[Cause.BESIDE] += 1
            else:
                # Edges were divided for the way from one CRS into the other
                for ring in rings_of(shapely, shapely.simplify(part, STRAIGHT * pixel)):
                    builder.add(text, colour, ring)
    merged = check_document(builder.document(), grid)
    note = in_words(lost)
    if not builder.added and not builder.repeated:
        raise InputError(f"{name} has no label on this output{f': {note}' if note else ''}")
    return Imported(merged, builder.added, f"left out: {note}" if note else "")


class _Builder:
    """Adds labels to a document, and the classes that it doesn't have yet."""

    def __init__(self, known: Document, name: str) -> None:
        self.known, self.name, self.added, self.repeated = known, name, 0, 0
        self.classes = list(known.classes)
        self.labels = list(known.labels)
        self._by_name = {each.name: each for each in known.classes}
        self._there = {_without_id(label) for label in known.labels}
        self._class_ids = {each.id for each in known.classes}
        self._label_ids = {each.id for each in known.labels}

    def add(self, text: str, colour: Any, place: tuple[int, int] | list[Corner]) -> None:
        """Add a pixel (column, row) or a ring of corners, unless it is there already."""
        found = self._by_name.get(text) or self._new_class(text, colour)
        about = {"id": _fresh("l", len(self.labels) + 1, self._label_ids), "class_id": found.id}
        label: PointLabel | PolygonLabel
        if isinstance(place, list):
            label = PolygonLabel(ring=place, **about)
        else:
            label = PointLabel(col=place[0], row=place[1], **about)
        if _without_id(label) in self._there:
            self.repeated += 1
            return
        if len(self.labels) == MOST_LABELS:
            raise InputError(
                f"{self.name} has too many labels; expected at most {MOST_LABELS:,} with those that are there"
            )
        self._there.add(_without_id(label))
        self._label_ids.add(label.id)
        self.labels.append(label)
        self.added += 1

    def _new_class(self, text: str, colour: Any) -> LabelClass:
        if len(text) > LONGEST_NAME:
            raise InputError(
                f"{self.name} has the class {quoted(text)} with {len(text):,} letters, expected at most {LONGEST_NAME}"
            )
        if len(self.classes) == MOST_CLASSES:
            raise InputError(
                f"{self.name} has too many classes; expected at most {MOST_CLASSES} with those that are there"
            )
        number = len(self.classes)
        red, green, blue = class_colour(number)
        usable = isinstance(colour, str) and _COLOUR.fullmatch(colour)
        made = LabelClass(
            _fresh("c", number + 1, self._class_ids),
            text,
            colour if usable else f"#{red:02X}{green:02X}{blue:02X}",
        )
        self._class_ids.add(made.id)
        self.classes.append(made)
        self._by_name[text] = made
        return made

    def document(self) -> Document:
        """What has come together."""
        return Document(self.known.revision, self.classes, self.labels)


def _without_id(label: PointLabel | PolygonLabel) -> tuple[Any, ...]:
    if isinstance(label, PointLabel):
        return label.class_id, label.col, label.row
    return label.class_id, tuple(label.ring)


def _fresh(letter: str, number: int, taken: set[str]) -> str:
    while f"{letter}{number}" in taken:
        number += 1
    return f"{letter}{number}"
