"""A classifier or regression that was learned from labels, and its file.

The file has arrays and facts, see `tessera_engine.files.arrays`: nothing in it is run, and it needs no scikit-learn.
`map` itself predicts with these arrays, so a classifier that was saved makes the same map to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import MOST_CLASSES, Classes
from tessera_engine.analysis.maps.applicability import Applicability
from tessera_engine.analysis.maps.features import CONTEXTS, features, values_of
from tessera_engine.analysis.maps.learners.base import Fitted
from tessera_engine.analysis.maps.learners.registry import LEARNERS
from tessera_engine.analysis.maps.predictor import Meaning, Needs, Prediction
from tessera_engine.errors import ModelError
from tessera_engine.files.arrays import pack, unpack
from tessera_engine.files.document import Count, Damaged, Sha256, checked
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.scene import Window

FORMAT = "tessera-classifier 1"

MAX_BYTES = 1 << 29
"""A forest of 20,000 labels and 8 classes has 80 MB."""

LEARNED, APPLICABILITY = "learned.", "applicability."
"""What the names of the arrays begin with."""

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


@dataclass(frozen=True)
class Classifier:
    """A classifier, or a regression.

    Attributes:
        about: its facts.
        fitted: what was learned.
        applicability: what dissimilarities are measured with; None: not asked for.
    """

    about: About
    fitted: Fitted
    applicability: Applicability | None

    @property
    def meaning(self) -> Meaning:
        """See `Predictor`."""
        about = self.about
        classes = None
        if not about.regression:
            names, values = (tuple(getattr(each, key) for each in about.classes) for key in ("name", "value"))
            classes = Classes(names, values, about.nodata)
        return Meaning(
            about.title,
            classes,
            {each.value: each.colour for each in about.classes},
            about.temperature,
            about.quality,
            None if self.applicability is None else self.applicability.threshold,
        )

    @property
    def needs(self) -> Needs:
        """See `Predictor`."""
        return Needs(self.about.model, self.about.model_sha256, self.about.dim)

    @property
    def margin(self) -> int:
        """See `Predictor`."""
        return self.about.context // 2

    def windows(self, embeddings: Embeddings, values: int) -> Iterator[Window]:
        """See `Predictor`."""
        return embeddings.windows(values)

    def predict(self, block: StoredBlock, chosen: NDArray[np.bool_]) -> Prediction:
        """See `Predictor`."""
        found = features(block, chosen, self.about.context)
        beyond = None if self.applicability is None else self.applicability.dissimilarity(found.embeddings)
        return Prediction(self.fitted.scores(found), beyond)

    def to_bytes(self) -> bytes:
        """The bytes of its file."""
        arrays = {LEARNED + name: each for name, each in self.fitted.arrays().items()}
        if self.applicability is not None:
            arrays |= {APPLICABILITY + name: each for name, each in self.applicability.arrays().items()}
        return pack(FORMAT, msgspec.to_builtins(self.about), arrays)

    @classmethod
    def of_bytes(cls, content: bytes) -> Classifier:
        """The classifier of a file's bytes.

        Raises:
            Damaged: it is none, or it was changed.
        """
        facts, arrays = unpack(FORMAT, content)
        about = checked(facts, About)
        about.check()
        size = values_of(about.dim, about.context)
        parts: dict[str, dict[str, NDArray[Any]]] = {LEARNED: {}, APPLICABILITY: {}}
        for name, array in arrays.items():
            prefix = next((each for each in parts if name.startswith(each)), None)
            if prefix is None:
                raise Damaged(f"has the unknown array {name[:60]!r}")
            parts[prefix][name.removeprefix(prefix)] = array
        fitted = LEARNERS[about.method].fitted.of_arrays(parts[LEARNED], size, max(1, len(about.classes)))
        found = parts[APPLICABILITY]
        return cls(about, fitted, Applicability.of_arrays(found, size) if found else None)


def read_classifier(path: Path) -> Classifier:
    """Read a file that `map --save` wrote.

    Raises:
        ModelError: it can't be read, is no such file, or was changed.
    """
    return parse_classifier(path, read_content(path))


def parse_classifier(path: Path, content: bytes) -> Classifier:
    """The classifier of the bytes of a file.

    Raises:
        ModelError: it is none, or was changed.
    """
    try:
        return Classifier.of_bytes(content)
    except Damaged as error:
        raise ModelError(
            f"{path} is not a classifier that this engine can use: {error}; save it again with map"
        ) from None


def is_classifier(path: Path) -> bool:
    """Whether a file begins like a saved classifier; False where it can't be read."""
    try:
        with path.open("rb") as file:
            return begins_like_classifier(file.read(9))
    except OSError:
        return False


def begins_like_classifier(content: bytes) -> bool:
    """Whether bytes begin with the length of a header, below 2**24, and the header. No ONNX file has zeros there."""
    return content[3:9] == bytes(5) + b"{"


def read_content(path: Path) -> bytes:
    """The bytes of a classifier's file.

    Raises:
        ModelError: it can't be read, or is larger than any classifier.
    """
    if not path.is_file():
        raise ModelError(f"no such file: {path}; expected a classifier that map saved, or an ONNX network")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"can't read {path}: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ModelError(f"{path} has more than {MAX_BYTES:,} bytes, the most that a classifier may have")
    return content
