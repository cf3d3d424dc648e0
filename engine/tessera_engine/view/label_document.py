"""The labels that someone draws on an output: what they are, and the file beside the output that keeps them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.analysis.labels.burning import Burner
from tessera_engine.analysis.labels.values import class_names
from tessera_engine.errors import InputError, MissingExtra, quoted
from tessera_engine.files import document
from tessera_engine.files.partial import finish_or_undo
from tessera_engine.files.result import result_file
from tessera_engine.places.shapes import objects
from tessera_engine.scene import Grid

FORMAT_KEY, FORMAT = "tessera-engine labels", 1
"""The first key of a file of labels, by which it is known as ours, and the version of the file."""

MOST_CLASSES, MOST_LABELS, MOST_CORNERS = 254, 20_000, 200_000
"""Classes as in a map; and shapes, and the corners of all polygons together."""

MOST_BYTES = 32 << 20
"""Of a file of labels: twice what the most corners take."""

FIELD, COLOUR_FIELD = "class", "colour"
"""Fields of exported labels."""

FARTHEST = 1e7
"""Pixels from the grid's corner to that of a polygon, at most: beyond, columns and rows lose their fractions."""

LONGEST_NAME = 80

Id: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[\w-]{1,40}\Z")]
Colour: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^#[0-9A-Fa-f]{6}\Z")]
Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]
Corner: TypeAlias = tuple[float, float]


class LabelClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class that labels can have.

    Attributes:
        id: of the class; stays the same when the class gets another name.
        name: for people, and in exported files.
        colour: `#rrggbb`.
    """

    id: Id
    name: Name
    colour: Colour


class PointLabel(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="point", kw_only=True
):
    """A labelled pixel.

    Attributes:
        id: of the label.
        class_id: of its class.
        col: of the output's grid.
        row: of the output's grid.
    """

    id: Id
    class_id: Id = msgspec.field(name="class")
    col: document.Count
    row: document.Count


class PolygonLabel(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="polygon", kw_only=True
):
    """A labelled polygon without holes.

    Attributes:
        id: of the label.
        class_id: of its class.
        ring: corners in the output's CRS; the first may be repeated at the end.
    """

    id: Id
    class_id: Id = msgspec.field(name="class")
    ring: Annotated[list[Corner], msgspec.Meta(min_length=3, max_length=MOST_CORNERS)]


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All labels of an output.

    Attributes:
        revision: counts how often it was saved.
        classes: in the order in which they are shown.
        labels: in the order in which they were drawn.
    """

    revision: document.Count
    classes: Annotated[list[LabelClass], msgspec.Meta(max_length=MOST_CLASSES)]
    labels: Annotated[list[PointLabel | PolygonLabel], msgspec.Meta(max_length=MOST_LABELS)]

    @classmethod
    def none(cls) -> Document:
        """The document of an output that was never labelled."""
        return cls(0, [], [])

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


class Outdated(InputError):
    """The document that is to be saved is based on another one than the last that was saved."""


def parse_document(value: Any, grid: Grid) -> Document:
    """Check a label document.

    Args:
        value: JSON values, such as the page sends them.
        grid: the output's.

    Raises:
        InputError: what is wrong with it.
    """
    try:
        found = document.checked(value, Document)
    except document.Damaged as error:
        raise InputError(f"these labels can't be used: {error}") from None
    return check_document(found, grid)


def check_document(found: Document, grid: Grid) -> Document:
    """Give a document back if its parts fit together, and the grid.

    Raises:
        InputError: what doesn't fit.
    """
    ids = [each.id for each in found.classes]
    names = class_names(objects([each.name for each in found.classes]), None)
    for what, given in (("id", ids), ("id of a label", [each.id for each in found.labels])):
        twice = _first_repeated(given)
        if twice is not None:
            raise InputError(f"these labels can't be used: the {what} {quoted(twice)} occurs twice")
    for each, name in zip(found.classes, names, strict=True):
        if name != each.name:
            raise InputError(
                f"these labels can't be used: the class name {quoted(each.name)} would be lost in a map; expected text "
                "without spaces around it that isn't 'nan' or 'inf'"
            )
    twice = _first_repeated(list(names))
    if twice is not None:
        raise InputError(f"these labels can't be used: two classes have the name {quoted(twice)}")
    known, corners = set(ids), 0
    for label in found.labels:
        if label.class_id not in known:
            raise InputError(f"these labels can't be used: there is no class {quoted(label.class_id)}")
        if isinstance(label, PolygonLabel):
            corners += len(label.ring)
            _check_ring(label.ring, grid)
        elif label.col >= grid.width or label.row >= grid.height:
            raise InputError(
                f"these labels can't be used: pixel {label.col} {label.row} (column, row) lies outside of "
                f"{grid.width} x {grid.height} pixels"
            )
    if corners > MOST_CORNERS:
        raise InputError(
            f"these labels can't be used: the polygons have {corners:,} corners, expected at most {MOST_CORNERS:,}"
        )
    return found


def _check_ring(ring: list[Corner], grid: Grid) -> None:
    if len(set(ring)) < 3:
        raise InputError(
            "these labels can't be used: a polygon has fewer than three different corners; draw it again"
        )
    far = max(abs(value) for corner in ring for value in ~grid.transform @ corner)
    if far > FARTHEST:
        raise InputError(
            f"these labels can't be used: a polygon has a corner {far:.3g} pixels away from the output; draw it again"
        )


def _first_repeated(values: list[Any]) -> Any:
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


class LabelFile:
    """The file of labels beside an output. Every save is on the disk, complete, before `save` returns.

    Args:
        path: of the file.
        grid: the output's.
    """

    def __init__(self, path: Path, grid: Grid) -> None:
        self.path, self.grid = path, grid
        self._lock = threading.Lock()

    @classmethod
    def beside(cls, output: Path, grid: Grid) -> LabelFile:
        """`<name of the output>.labels.json` beside an output."""
        here = output.absolute()
        return cls(here.with_name(f"{here.name}.labels.json"), grid)

    def load(self) -> Document:
        """The labels; none where there is no file.

        Raises:
            InputError: a file is there that isn't ours, is damaged, or has labels of another grid.
        """
        finish_or_undo(self.path)
        return self._read()

    def _read(self) -> Document:
        try:
            value = document.read(self.path, MOST_BYTES)
        except FileNotFoundError:
            return Document.none()
        except OSError as error:
            raise InputError(f"can't read {self.path}: {error.strerror or error}") from None
        except document.Damaged as error:
            raise InputError(f"{self.path} is no file of labels: {error}; {_AWAY}") from None
        if not is_label_file(value):
            raise InputError(f"{self.path} was not written by 'tessera-engine view'; {_AWAY}")
        if value[FORMAT_KEY] != FORMAT:
            raise InputError(
                f"{self.path} has the version {quoted(value[FORMAT_KEY])}, expected {FORMAT}; {_AWAY}"
            )
        if value.get("grid") != grid_facts(self.grid):
            raise InputError(f"{self.path} has labels of another grid of pixels; {_AWAY}, and import it")
        return self._parsed(value)

    def _parsed(self, value: Mapping[str, Any]) -> Document:
        try:
            return parse_document({key: value.get(key) for key in Document.__struct_fields__}, self.grid)
        except InputError as error:
            raise InputError(f"{self.path} is damaged: {error}; {_AWAY}") from None

    def save(self, changed: Document) -> Document:
        """Replace the labels.

        Args:
            changed: with the revision of the labels that it is based on.

        Returns:
            The labels with their new revision.

        Raises:
            Outdated: other labels were saved meanwhile.
            InputError: the file there isn't ours, or the place can't be written.
            TesseraError: the disk failed; the old labels are there.
        """
        check_document(changed, self.grid)
        with self._lock, beside_the_output():
            # With the lock of the file, since another process may save too
            with result_file(self.path, overwrite=True, identity=None) as made:
                known = self._read()
                if known.revision != changed.revision:
                    raise Outdated(
                        f"these labels are based on revision {changed.revision}, and revision {known.revision} was "
                        "saved meanwhile; reload the page"
                    )
                saved = msgspec.structs.replace(changed, revision=changed.revision + 1)
                made.write_bytes(self._encoded(saved))
            return saved

    def _encoded(self, saved: Document) -> bytes:
        about = {FORMAT_KEY: FORMAT, "grid": grid_facts(self.grid)}
        return msgspec.json.format(msgspec.json.encode(about | saved.to_dict()), indent=1)


_AWAY = "move or rename it"


@contextmanager
def beside_the_output() -> Iterator[None]:
    """Errors without advice that nobody can follow: what `view` writes lies beside the output.

    Raises:
        InputError: with other advice.
    """
    try:
        yield
    except InputError as error:
        advice = "; view writes beside the output: copy it to a place where you may write"
        raise type(error)(re.sub(r"[;,](?: or)? choose another out=$", advice, str(error))) from None


def is_label_file(value: Any) -> bool:
    """Whether a JSON value is what `LabelFile` writes."""
    return isinstance(value, dict) and next(iter(value), None) == FORMAT_KEY


def grid_facts(grid: Grid) -> dict[str, Any]:
    """A grid as JSON values."""
    transform = [float(value) for value in list(grid.transform)[:6]]
    return {"crs": grid.crs, "width": grid.width, "height": grid.height, "transform": transform}


def shapes_of(found: Document, transform: Affine) -> NDArray[Any]:
    """(N,) the labels as shapely geometries in the grid's CRS: points lie in the middle of their pixels.

    Raises:
        MissingExtra: shapely isn't installed.
    """
    shapely = need_shapely()
    shapes = [
        shapely.Polygon(label.ring)
        if isinstance(label, PolygonLabel)
        else shapely.Point(transform @ (label.col + 0.5, label.row + 0.5))
        for label in found.labels
    ]
    return objects(shapes)


def need_shapely() -> Any:
    """The library shapely.

    Raises:
        MissingExtra: it isn't installed.
    """
    try:
        import shapely
    except ModuleNotFoundError:
        raise MissingExtra("shapely", "maps", "labels") from None
    return shapely


class LabelledPixels(NamedTuple):
    """The pixels of labels, each once.

    Attributes:
        pixels: (N,) row * width + column, rising.
        classes: (N,) index of the class in the document.
        contradictory: pixels that have several classes, and so none.
    """

    pixels: NDArray[np.int64]
    classes: NDArray[np.int64]
    contradictory: int


def labelled_pixels(found: Document, grid: Grid) -> LabelledPixels:
    """Lay labels onto their grid, as `map` does it: a polygon labels the pixels whose centres lie in it.

    Raises:
        MissingExtra: shapely isn't installed.
    """
    numbers = {each.id: i for i, each in enumerate(found.classes)}
    values = np.array([numbers[label.class_id] for label in found.labels], np.int64)
    strips = list(Burner(shapes_of(found, grid.transform), values, grid).strips()) if len(values) else []
    pixels = np.concatenate([np.zeros(0, np.int64), *(strip.pixels for strip in strips)])
    classes = np.concatenate([np.zeros(0, np.int64), *(strip.values for strip in strips)])
    return LabelledPixels(pixels, classes, sum(strip.contradictory for strip in strips))
