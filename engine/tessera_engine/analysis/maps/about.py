"""The facts of a classifier, as its file has them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from tessera_engine.analysis.labels.classes import MOST_CLASSES
from tessera_engine.analysis.maps.features import CONTEXTS
from tessera_engine.analysis.maps.learners.registry import LEARNERS
from tessera_engine.files.document import Count, Damaged, Sha256

Text = Annotated[str, msgspec.Meta(max_length=1000)]
Level = Annotated[int, msgspec.Meta(ge=0, le=255)]


class ClassFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class: its name, the value of its pixels, and its colour."""

    name: Text
    value: Level
    colour: tuple[Level, Level, Level]


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The facts of a classifier.

    Attributes:
        title: what is mapped, for people.
        quality: how good its map was, in one line.
        method: a name in `LEARNERS`.
        regression: it gives numbers.
        context: one of `CONTEXTS`.
        dim: it takes the first `dim` dimensions of embeddings.
        classes: in the order of the scores; none of numbers.
        nodata: the value of pixels without a class.
        temperature: see `Meaning`.
        model: name of the embeddings' model.
        model_sha256: of its file.
        stored_as: how the embeddings that it was learned from are stored.
        trained_on: their id.
        season: their first and last day, or their year; empty where it isn't known.
        labels: the name of the file with the labels.
        labels_sha256: its checksum.
        field: of the labels.
        labelled_pixels: how many it was learned from.
        engine: version that learned it.
        report: what report.json says of it.
    """

    title: Text
    quality: Text
    method: str
    regression: bool
    context: int
    dim: Annotated[int, msgspec.Meta(ge=1, le=65_536)]
    classes: list[ClassFacts]
    nodata: Level
    temperature: Annotated[float, msgspec.Meta(gt=0, lt=1e6)]
    model: Text
    model_sha256: Sha256
    stored_as: Literal["int8", "float32"]
    trained_on: Text
    season: list[Text]
    labels: Text
    labels_sha256: Text
    field: Text
    labelled_pixels: Count
    engine: Text
    report: dict[str, Any]

    def check(self) -> None:
        """Raise Damaged if the facts can't be true together."""
        if self.method not in LEARNERS:
            raise Damaged(f"'method' is {self.method[:60]!r}, expected one of {', '.join(LEARNERS)}")
        if self.context not in CONTEXTS:
            raise Damaged(f"'context' is {self.context}, expected one of {', '.join(map(str, CONTEXTS))}")
        values = [each.value for each in self.classes]
        if len({*values, self.nodata}) != len(values) + 1 or len({each.name for each in self.classes}) != len(
            values
        ):
            raise Damaged("'classes' has a name or a value twice, or the value of pixels without a class")
        if self.regression != (not values) or (values and not 2 <= len(values) <= MOST_CLASSES):
            raise Damaged(
                f"'classes' has {len(values)} classes, expected 2 to {MOST_CLASSES}, or 0 for numbers"
            )
