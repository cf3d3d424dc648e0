"""What makes a map of embeddings: a classifier that was learned here, or a network from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import Classes
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.pictures.colours import Colour
from tessera_engine.scene import Window


@dataclass(frozen=True)
class Meaning:
    """What the values of a map mean.

    Attributes:
        title: what is mapped, for people.
        classes: in the order of the scores; None: the map has numbers.
        colours: of the classes, by their values.
        temperature: softmax(scores / temperature) are the probabilities of the classes.
        quality: how good the map is, in one line.
        threshold: of the dissimilarity, above which a pixel lies beyond the area of applicability; None: not known.
    """

    title: str
    classes: Classes | None
    colours: dict[int, Colour]
    temperature: float
    quality: str
    threshold: float | None = None


class Needs(NamedTuple):
    """What embeddings it takes.

    Attributes:
        model: name of the model.
        model_sha256: of the model's file; empty where it isn't recorded.
        dim: it takes the first `dim` dimensions.
    """

    model: str
    model_sha256: str
    dim: int


class Prediction(NamedTuple):
    """What is found for some pixels.

    Attributes:
        scores: (N, C) float32 of the classes, or (N, 1) numbers.
        dissimilarity: (N,) float32; None where it isn't asked for.
    """

    scores: NDArray[np.float32]
    dissimilarity: NDArray[np.float32] | None = None


class Predictor(Protocol):
    """Predicts window by window; the result doesn't depend on the windows."""

    @property
    def meaning(self) -> Meaning:
        """What the values mean."""
        ...

    @property
    def needs(self) -> Needs:
        """What embeddings it takes."""
        ...

    @property
    def margin(self) -> int:
        """Pixels around a window that it has to see."""
        ...

    @property
    def alone(self) -> bool:
        """Whether equal embeddings have equal predictions to the bit, whatever is predicted with them."""
        ...

    def windows(self, embeddings: Embeddings, values: int) -> Iterator[Window]:
        """Windows of about so many values that cover a scene."""
        ...

    def predict(self, block: StoredBlock, chosen: NDArray[np.bool_]) -> Prediction:
        """Predict pixels of a window.

        Args:
            block: the window with its margin, as far as the scene goes.
            chosen: (height, width) of the block: the pixels to predict, which have data.
        """
        ...
