"""A classifier or regression that was learned from labels, and its file.

The file has arrays and facts, see `tessera_engine.files.arrays`: nothing in it is run, and it needs no scikit-learn.
`map` itself predicts with these arrays, so a classifier that was saved makes the same map to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import Classes
from tessera_engine.analysis.maps.about import About
from tessera_engine.analysis.maps.applicability import Applicability
from tessera_engine.analysis.maps.features import features, values_of
from tessera_engine.analysis.maps.learners.base import Fitted
from tessera_engine.analysis.maps.learners.registry import LEARNERS
from tessera_engine.analysis.maps.predictor import Meaning, Needs, Prediction
from tessera_engine.files.arrays import pack, unpack
from tessera_engine.files.document import Damaged, checked
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.scene import Window

FORMAT = "tessera-classifier 1"

LEARNED, APPLICABILITY = "learned.", "applicability."
"""What the names of the arrays begin with."""


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

    @property
    def alone(self) -> bool:
        """See `Predictor`."""
        return not self.about.context

    def windows(self, embeddings: Embeddings, values: int) -> Iterator[Window]:
        """See `Predictor`."""
        return embeddings.tiles(values)

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
