"""Points that were checked, as they lie on a map: their classes there and in the reference, and their strata."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.areas.design import STRATUM, STRATUM_PIXELS, TIMES
from tessera_engine.analysis.areas.estimate import FEWEST_IN_STRATUM, Sample
from tessera_engine.analysis.class_map import NO_CLASS, ClassMap
from tessera_engine.analysis.labels.classes import sorted_classes
from tessera_engine.analysis.labels.values import class_names
from tessera_engine.analysis.transitions.names import transition_name
from tessera_engine.errors import InputError
from tessera_engine.files.nearby import nearest
from tessera_engine.geo import to_pixels
from tessera_engine.places.crs import Near
from tessera_engine.places.features import Features
from tessera_engine.places.losses import Losses, in_words
from tessera_engine.places.read import read_features
from tessera_engine.places.shapes import ShapeFile, no_field, objects

EXAMPLES = 3
"""Classes, points or labels that a line names."""


@dataclass(frozen=True)
class Reference:
    """Points that were checked.

    Attributes:
        sample: the points, see `Sample`.
        names: of the classes: those of the map in its order, then those that only the reference has.
        strata: names of the strata; the map's classes where `of_classes`.
        of_classes: whether the strata are the map's classes.
        outside: pixels of the strata that no estimate covers, by the stratum's name.
        notes: what is worth knowing, a line each.
    """

    sample: Sample
    names: tuple[str, ...]
    strata: tuple[str, ...]
    of_classes: bool
    outside: dict[str, int]
    notes: tuple[str, ...]


def read_reference(file: ShapeFile, field: str, of: ClassMap) -> Reference:
    """Read points and find their pixels.

    Args:
        file: points, with their class in the reference in a field; with the columns `stratum` and `stratum_pixels`
            where the strata aren't the map's classes.
        field: the field.
        of: the map.

    Raises:
        InputError: the file can't be used, or has too few points on the map.
        MissingExtra: a library that reads the file isn't installed.
    """
    features = read_features(file)
    columns = {
        str(name): features.table.column(i).to_pylist() for i, name in enumerate(features.table.column_names)
    }
    labels = _labels(columns, field, of, file.path)
    notes: list[str] = []
    pixel, lost = _pixels(features, of, file)
    value = of.at(*np.divmod(pixel, of.grid.height)) if len(pixel) else pixel
    labelled = np.array([label is not None for label in labels], bool)
    if not labelled.any():
        raise InputError(f"{file.path} has no value in the field '{field}'; expected the class of each point")
    if not labelled.all():
        notes.append(
            f"{(~labelled).sum():,} of {len(labels):,} points have no {field}; the results hold if they are missing at "
            "random"
        )
    on_map = value != NO_CLASS
    beside, empty = int((labelled & (pixel < 0)).sum()), int((labelled & (pixel >= 0) & ~on_map).sum())
    if beside or empty:
        parts = [f"{beside:,} beside the map"] * bool(beside) + [
            f"{empty:,} on pixels without a class"
        ] * bool(empty)
        notes.append(f"left out: {', '.join(parts)}")
    used = np.flatnonzero(labelled & on_map)
    if not len(used):
        raise InputError(
            f"none of the {labelled.sum():,} points of {file.path} with a {field} lies on a class of {of.path}"
            + (f": {lost}" if lost else "")
        )
    used, same = _once(file.path, columns, labels, pixel, used)
    notes += same
    strata, strata_notes = _strata(file.path, columns, value, used, of)
    named, names, name_notes = _classes(labels[used], of, field)
    notes += strata_notes + name_notes
    numbers = {each: i for i, each in enumerate(of.pixels)}
    mapped = np.array([numbers[each] for each in value[used].tolist()], np.int64)
    kept, pixels, outside, few = _enough(strata)
    notes += few
    number = np.full(len(strata.pixels), -1, np.int64)
    number[kept] = np.arange(len(kept))
    inside = number[strata.of] >= 0
    if not inside.any():
        raise InputError(
            f"{file.path} has fewer than {FEWEST_IN_STRATUM} points in each stratum, so nothing can be estimated; "
            "check more points"
        )
    sample = Sample(number[strata.of][inside], mapped[inside], named[inside], pixels, len(names))
    kept_names = tuple(strata.names[i] for i in kept)
    return Reference(sample, names, kept_names, strata.of_classes, outside, tuple(notes))


def _labels(columns: dict[str, list[Any]], field: str, of: ClassMap, path: Path) -> NDArray[Any]:
    """(N,) the class of each point in the reference; None where it has none. Transitions may be in two fields."""
    pair = [f"{field}_{time}" for time in TIMES]
    if field in columns:
        return class_names(objects(columns[field]), None)
    if not of.of_transitions or not all(name in columns for name in pair):
        raise no_field(path, field, list(columns))
    before, after = (class_names(objects(columns[name]), None) for name in pair)
    both = [
        None if one is None or two is None else transition_name(one, two)
        for one, two in zip(before, after, strict=True)
    ]
    return objects(both)


def _pixels(features: Features, of: ClassMap, file: ShapeFile) -> tuple[NDArray[np.int64], str]:
    """(N,) the pixel of each point, column * height + row; -1 beside the map. And where the points lie instead.

    Raises:
        InputError: not all are points.
    """
    import shapely

    kinds = set(shapely.get_type_id(features.geometries).tolist()) - {-1, 0}
    if kinds:
        raise InputError(
            f"{file.path} holds shapes that are no points; expected a point for each pixel that was checked"
        )
    shapes = features.near(Near.grid(of.grid), file.crs_parameter)
    rows = shapes.values.astype(np.int64)
    x, y = shapely.get_coordinates(shapes.geometries).T
    col, row = (np.floor(each).astype(np.int64) for each in to_pixels(of.grid, x, y))
    inside = (col >= 0) & (col < of.grid.width) & (row >= 0) & (row < of.grid.height)
    found = np.full(len(features), -1, np.int64)
    found[rows[inside]] = col[inside] * of.grid.height + row[inside]
    return found, shapes.place or in_words(Losses(shapes.lost))


def _once(
    path: Path,
    columns: dict[str, list[Any]],
    labels: NDArray[Any],
    pixel: NDArray[np.int64],
    used: NDArray[np.int64],
) -> tuple[NDArray[np.int64], list[str]]:
    """The points of which each is on a pixel of its own, and notes on the others.

    Raises:
        InputError: points on one pixel have different labels.
    """
    first: dict[int, int] = {}
    for i in used.tolist():
        other = first.setdefault(int(pixel[i]), i)
        if labels[other] != labels[i]:
            raise InputError(
                f"{path} has two points on one pixel with different labels, '{labels[other]}' and '{labels[i]}' (rows "
                f"{other + 1} and {i + 1}); keep the right one"
            )
    kept, notes = np.array(list(first.values()), np.int64), []
    if len(kept) < len(used):
        notes.append(f"{len(used) - len(kept):,} points lie on a pixel of another point and count once")
    ids = next((name for name in columns if name.casefold() == "id"), None)
    if ids is not None:
        counts = Counter(columns[ids][i] for i in kept.tolist() if columns[ids][i] is not None)
        twice = [str(value) for value, count in counts.items() if count > 1]
        if twice:
            notes.append(
                f"several points on different pixels have the same {ids} ({', '.join(twice[:EXAMPLES])}); all are used"
            )
    return kept, notes


@dataclass(frozen=True)
class _Strata:
    """The strata of the points.

    Attributes:
        of: (N,) number of each point's stratum.
        names: of the strata.
        pixels: (H,) of each.
        of_classes: they are the map's classes.
    """

    of: NDArray[np.int64]
    names: list[str]
    pixels: NDArray[np.int64]
    of_classes: bool


def _strata(
    path: Path, columns: dict[str, list[Any]], value: NDArray[np.int64], used: NDArray[np.int64], of: ClassMap
) -> tuple[_Strata, list[str]]:
    """The strata that the points carry, or else the map's classes; and notes."""
    classes = {each: i for i, each in enumerate(of.pixels)}
    by_class = np.array([classes[each] for each in value[used].tolist()], np.int64)
    plain = _Strata(by_class, list(of.names.values()), np.array(list(of.pixels.values()), np.int64), True)
    if STRATUM not in columns or STRATUM_PIXELS not in columns:
        missing = f"without the columns {STRATUM} and {STRATUM_PIXELS}"
        return plain, [f"{missing}, the points are taken for a random sample of each class of the map"]
    # All rows, also those that aren't used: a stratum of which no point was checked is one too
    sizes: dict[str, int] = {}
    names, needed = class_names(objects(columns[STRATUM]), None), set(used.tolist())
    for i, (name, size) in enumerate(zip(names, columns[STRATUM_PIXELS], strict=True)):
        if name is None and i not in needed:
            continue
        if (
            name is None
            or not isinstance(size, (int, float))
            or isinstance(size, bool)
            or not 1 <= size < 1e15
        ):
            raise InputError(
                f"{path} has the {STRATUM} {name!r} and the {STRATUM_PIXELS} {size!r} in row {i + 1}; expected a name "
                "and a number of pixels, as sample-design writes them"
            )
        if sizes.setdefault(name, round(size)) != round(size):
            raise InputError(
                f"{path} has two sizes of the stratum '{name}' in {STRATUM_PIXELS}, {sizes[name]:,} and "
                f"{round(size):,}; expected one"
            )
    ordered = sorted_classes(sizes)
    number = {name: i for i, name in enumerate(ordered)}
    strata = np.array([number[names[i]] for i in used.tolist()], np.int64)
    pixels = np.array([sizes[name] for name in ordered], np.int64)
    pairs = set(zip(strata.tolist(), by_class.tolist(), strict=True))
    same = len({stratum for stratum, _ in pairs}) == len(pairs) == len({number for _, number in pairs})
    if same and all(pixels[stratum] == plain.pixels[number] for stratum, number in pairs):
        return plain, []
    notes, total = [], sum(of.pixels.values())
    if pixels.sum() != total:
        notes.append(
            f"the strata of the points have {pixels.sum():,} pixels, and the map {total:,}: areas are those of the "
            "strata"
        )
    return _Strata(strata, [f"stratum {name}" for name in ordered], pixels, False), notes


def _classes(
    labels: NDArray[Any], of: ClassMap, field: str
) -> tuple[NDArray[np.int64], tuple[str, ...], list[str]]:
    """(N,) the number of each label's class; the names of all classes; and notes."""
    known = list(of.names.values())
    given = set(labels.tolist())
    codes = {str(value): i for i, value in enumerate(of.pixels)}
    number = {name: i for i, name in enumerate(known)}
    if not given & number.keys() and given & codes.keys():
        number = codes  # the labels are the map's pixel values
    folded = {name.casefold(): i for name, i in number.items()}
    further = sorted_classes(name for name in given if name.casefold() not in folded)
    number |= {name: len(known) + i for i, name in enumerate(further)}
    notes = []
    if further:
        parts = [_unknown(name, int((labels == name).sum()), known) for name in further[:EXAMPLES]]
        more = f" and {len(further) - EXAMPLES} more" if len(further) > EXAMPLES else ""
        notes.append(
            f"labels in {field} that are no classes of the map count as classes of their own: {', '.join(parts)}{more}"
        )
    found = [number[name] if name in number else folded[name.casefold()] for name in labels.tolist()]
    return np.array(found, np.int64), (*known, *further), notes


def _unknown(name: str, points: int, known: list[str]) -> str:
    near = nearest(name, known)
    return f"'{name}' ({points:,} point{'s' * (points > 1)}{f'; did you mean {near}?' if near else ''})"


def _enough(strata: _Strata) -> tuple[NDArray[np.int64], NDArray[np.int64], dict[str, int], list[str]]:
    """The numbers and pixels of the strata that have points enough; what is left out; and a note on that."""
    points = np.bincount(strata.of, minlength=len(strata.pixels))
    if (points > strata.pixels).any():
        worst = int((points - strata.pixels).argmax())
        raise InputError(
            f"{strata.names[worst]} has {points[worst]:,} points and {strata.pixels[worst]:,} pixels; expected the "
            "size of the stratum in its column"
        )
    enough = (points >= FEWEST_IN_STRATUM) | (points == strata.pixels)
    kept = np.flatnonzero(enough)
    outside = {strata.names[i]: int(strata.pixels[i]) for i in np.flatnonzero(~enough)}
    if not outside:
        return kept, strata.pixels[kept], outside, []
    share = 100 * sum(outside.values()) / strata.pixels.sum()
    named = ", ".join(list(outside)[:EXAMPLES]) + (
        f" and {len(outside) - EXAMPLES} more" * (len(outside) > EXAMPLES)
    )
    note = (
        f"no estimate covers {share:.3g} % of the area: fewer than {FEWEST_IN_STRATUM} points were checked of {named}; "
        "check more points there"
    )
    return kept, strata.pixels[kept], outside, [note]
