"""Why shapes, or the pixels that they mark, are left out: each cause with its count, for one note."""

from __future__ import annotations

from collections import Counter
from enum import Enum


class Cause(Enum):
    """Why something is left out: what it is called if it is one, and if there are several."""

    NO_VALUE = ("shape without a value", "shapes without a value")
    NOT_A_NUMBER = ("value that is not a number", "values that are not numbers")
    NO_GEOMETRY = ("shape without a geometry", "shapes without a geometry")
    BROKEN = ("broken shape", "broken shapes")
    LINE = ("line", "lines")
    BESIDE = ("shape beside the scene", "shapes beside the scene")
    OUT_OF_PROJECTION = ("shape outside of the projection", "shapes outside of the projection")
    NO_CENTRE = ("polygon without a pixel centre inside", "polygons without a pixel centre inside")
    CONTRADICTORY = ("pixel with different labels", "pixels with different labels")
    NO_EMBEDDING = ("pixel without an embedding", "pixels without an embedding")


Losses = Counter[Cause]
"""How much is left out for which cause."""


def in_words(losses: Losses) -> str:
    """The counts in one line, in the order of `Cause`; empty where nothing is lost."""
    return ", ".join(
        f"{losses[cause]:,} {cause.value[losses[cause] != 1]}" for cause in Cause if losses[cause]
    )
