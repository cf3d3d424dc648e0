"""Two maps of the same pixels, compared class by class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.class_map import STRIP_PIXELS, ClassMap
from tessera_engine.analysis.labels.classes import sorted_classes
from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.same_grid import named, offset
from tessera_engine.scene import Grid, Window

LARGEST_SMALL = 255
"""Largest pixel value of uint8."""

MOST_TRANSITIONS = 65_000
"""Transitions that pixel values of uint16 can tell apart."""


@dataclass(frozen=True)
class Transitions:
    """What became of each class.

    Attributes:
        names: of the classes of both maps.
        counts: (C, C) pixels of each class before (rows) and after (columns).
        pairs: (T, 2) numbers of the classes before and after, of the transitions that there are: what stayed first.
        values: (height, width) uint8 or uint16: 0 where either map has no class, and from 1 the number of a transition.
        grid: of the pixels that both maps have.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    pairs: NDArray[np.int64]
    values: NDArray[np.unsignedinteger]
    grid: Grid


def compare_maps(before: ClassMap, after: ClassMap) -> Transitions:
    """Compare two maps on the pixels that both have; classes of the same name are the same.

    Raises:
        InputError: their pixels aren't the same places, no pixel has a class in both, or a map can't be read.
    """
    corner = offset(before.grid, after.grid)
    if corner is None:
        raise InputError(
            f"{before.path} is on {named(before.grid)}, {after.path} on {named(after.grid)}: their pixels are other "
            "places; make both maps on one grid"
        )
    shared = before.grid.window.intersection(Window(*corner, after.grid.width, after.grid.height))
    if shared is None:
        raise InputError(f"{before.path} and {after.path} share no pixel; give maps of one place")
    names = tuple(sorted_classes([*before.names.values(), *after.names.values()]))
    size = len(names)
    counts = np.zeros(size * size, np.int64)
    for _, code, there in _codes(before, after, shared, names):
        counts += np.bincount(code[there], minlength=size * size)
    if not counts.any():
        raise InputError(
            f"no pixel has a class both in {before.path} and in {after.path}; give maps of one place"
        )
    every = np.stack(np.divmod(np.flatnonzero(counts), size), axis=1)
    if len(every) > MOST_TRANSITIONS:
        raise InputError(
            f"there are {len(every):,} different transitions; expected at most {MOST_TRANSITIONS:,}"
        )
    stayed = every[:, 0] == every[:, 1]
    pairs = np.concatenate([every[stayed], every[~stayed]])
    dtype = np.uint8 if len(pairs) <= LARGEST_SMALL else np.uint16
    number = np.zeros(size * size, dtype)
    number[pairs[:, 0] * size + pairs[:, 1]] = np.arange(1, len(pairs) + 1)
    values = np.zeros((shared.height, shared.width), dtype)
    for window, code, there in _codes(before, after, shared, names):
        top = window.row - shared.row
        values[top : top + window.height] = np.where(there, number[code], 0)
    return Transitions(names, counts.reshape(size, size), pairs, values, before.grid.crop(shared))


def _codes(
    before: ClassMap, after: ClassMap, shared: Window, names: tuple[str, ...]
) -> Iterator[tuple[Window, NDArray[np.int64], NDArray[np.bool_]]]:
    """Strips of the shared window: class before * C + class after, and where both have a class."""
    corner = offset(before.grid, after.grid)
    assert corner is not None  # compare_maps has asked
    for window in shared.blocks(shared.width, max(1, STRIP_PIXELS // shared.width)):
        moved = window._replace(col=window.col - corner[0], row=window.row - corner[1])
        (first, here), (second, there) = before.read(window), after.read(moved)
        code = _numbers(before, names)[first] * len(names) + _numbers(after, names)[second]
        yield window, code, here & there


def _numbers(of: ClassMap, names: tuple[str, ...]) -> NDArray[np.int64]:
    """The number of the class of each pixel value; 0 for values that no pixel has."""
    numbers = np.zeros(max(of.names) + 1, np.int64)
    for value, name in of.names.items():
        numbers[value] = names.index(name)
    return numbers
