"""Cross-validation of maps by segment: a field is held out as a whole, and predicted as the map would predict it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.pixels import Labels
from tessera_engine.analysis.maps.features import features_at, values_of
from tessera_engine.analysis.maps.fields import AT_ONCE, Fields
from tessera_engine.analysis.maps.learn import Folds, learn
from tessera_engine.analysis.maps.learners.base import Task, Vectors
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_kernels.scores import probabilities

MOST_OF_FIELD, MOST_PIXELS = 100, 100_000
"""Pixels of a field, and of all fields, that are predicted at most. More hardly change the class of a field."""


@dataclass(frozen=True)
class LabelledFields:
    """The fields in which labels lie, in one or several outputs.

    Attributes:
        of_label: (N,) number of the field of each label, 0..F-1; -1 outside of all fields.
        pixels: of each output the columns, the rows and the fields of pixels of its labelled fields, (M,) each.
    """

    of_label: NDArray[np.int64]
    pixels: tuple[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], ...]

    @classmethod
    def find(cls, parts: Sequence[Labels], fields: Sequence[Fields]) -> LabelledFields:
        """The labelled fields.

        Args:
            parts: the labels of each output.
            fields: on each output.
        """
        of_label, places, first = [], [], 0
        for labels, each in zip(parts, fields, strict=True):
            own = each.numbers[labels.rows, labels.cols].astype(np.int64)
            some = np.unique(own[own >= 0])
            place = np.full(
                each.count + 1, -1, np.int64
            )  # the last one is for pixels without a field: number -1
            place[some] = first + np.arange(len(some))
            of_label.append(place[own])
            places.append(place)
            first += len(some)
        most = max(1, min(MOST_OF_FIELD, MOST_PIXELS // max(1, first)))
        pixels = tuple(_some_pixels(each, place, most) for each, place in zip(fields, places, strict=True))
        return cls(np.concatenate(of_label), pixels)

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.of_label.max(initial=-1)) + 1

    def gathered(self, parts: Sequence[Labels]) -> list[Labels]:
        """The labels, those of a field moved to their middle: a block of land has all of them, or none.

        Args:
            parts: the labels of each output.
        """
        fields = np.split(self.of_label, np.cumsum([len(each) for each in parts])[:-1])
        return [_in_the_middle(labels, own) for labels, own in zip(parts, fields, strict=True)]

    def features(self, sources: Sequence[Embeddings], context: int) -> NDArray[np.float32]:
        """(M, K) the features of the fields' pixels, output by output; NaN where there are no data.

        Raises:
            TesseraError: a file couldn't be read.
        """
        found = [np.empty((0, values_of(sources[0].dim, context)), np.float32)]
        for source, (cols, rows, _) in zip(sources, self.pixels, strict=True):
            if not len(cols):
                continue
            x = np.full((len(cols), found[0].shape[1]), np.nan, np.float32)
            there = np.isfinite(replace(source, dim=1).pixels(cols, rows)[:, 0])
            x[there] = features_at(source, cols[there], rows[there], context)
            found.append(x)
        return np.concatenate(found)

    @property
    def of_pixel(self) -> NDArray[np.int64]:
        """(M,) the field of each pixel of `features`."""
        return np.concatenate([fields for _, _, fields in self.pixels])


def predict_held_out(
    predicted: NDArray[Any],
    x: tuple[NDArray[np.float32], NDArray[np.float32]],
    learned: tuple[str, NDArray[Any], Folds, Task],
    fields: LabelledFields,
    temperature: float,
) -> NDArray[Any]:
    """What a map by segment says of labels, learned without the fields in which they lie.

    Args:
        predicted: (N,) names of classes, or numbers, for labels pixel by pixel.
        x: features of the labels (N, K), and of the fields' pixels (M, K).
        learned: method, (N,) labels, folds of whole fields, and task.
        fields: in which the labels lie.
        temperature: see `Meaning`.

    Returns:
        (N,) for labels in fields what their field gets; for others `predicted`.
    """
    method, y, folds, task = learned
    labelled, inside = x
    found, of_pixel = predicted.copy(), fields.of_pixel
    known = np.isfinite(inside[:, 0])
    for train, test in folds:
        here = known & np.isin(of_pixel, fields.of_label[test])
        one_class = not task.regression and (y[train] == y[train][0]).all()
        if one_class or not here.any():
            continue
        model = learn(method, labelled[train], y[train], task)
        scores = model.scores(Vectors(inside[here]))
        found[test] = settle(
            predicted[test], fields.of_label[test], scores, of_pixel[here], model.names, temperature
        )
    return found


def settle(
    predicted: NDArray[Any],
    of_label: NDArray[np.int64],
    scores: NDArray[np.float32],
    of_pixel: NDArray[np.int64],
    names: Sequence[str],
    temperature: float,
) -> NDArray[Any]:
    """What labels get from their fields: the class with the largest mean probability, or the mean number.

    Args:
        predicted: (N,) names of classes, or numbers, for labels pixel by pixel.
        of_label: (N,) the field of each label; -1 outside of all.
        scores: (M, C) of pixels of fields.
        of_pixel: (M,) the field of each of these pixels.
        names: of the classes; empty for numbers.
        temperature: see `Meaning`.

    Returns:
        (N,); labels outside of fields, and in fields of which no pixel has a score, keep what was predicted for them.
    """
    values = probabilities(scores, temperature) if len(names) else scores.astype(np.float64)
    pixels = np.bincount(of_pixel, minlength=int(of_label.max(initial=-1)) + 1)
    sums = np.zeros((len(pixels), values.shape[1]))
    np.add.at(sums, of_pixel, values)
    found, inside = predicted.copy(), of_label >= 0
    inside[inside] = pixels[of_label[inside]] > 0
    own = of_label[inside]
    if len(names):
        found[inside] = np.array(names, object)[sums[own].argmax(axis=1)]
    else:
        found[inside] = sums[own, 0] / pixels[own]
    return found


def _some_pixels(
    fields: Fields, place: NDArray[np.int64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Columns, rows and new numbers of pixels of the fields that have one: of each at most so many, evenly."""
    flat, wanted = fields.numbers.reshape(-1), place >= 0
    found = [
        first + np.flatnonzero(wanted[flat[first : first + AT_ONCE]])
        for first in range(0, flat.size, AT_ONCE)
    ]
    at = np.concatenate(found)
    of = place[flat[at]]
    order = np.argsort(of, kind="stable")
    at, of = at[order], of[order]
    counts = np.bincount(of) if len(of) else np.zeros(0, np.int64)
    rank = np.arange(len(of)) - (np.cumsum(counts) - counts)[of]
    # Every second, third, ... pixel of a large field
    kept = rank % np.maximum(-(-counts // most), 1)[of] == 0
    rows, cols = np.divmod(at[kept], fields.numbers.shape[1])
    return cols, rows, of[kept]


def _in_the_middle(labels: Labels, own: NDArray[np.int64]) -> Labels:
    inside = own >= 0
    if not inside.any():
        return labels
    _, of = np.unique(own[inside], return_inverse=True)
    counts = np.bincount(of)
    moved = []
    for values in (labels.cols, labels.rows):
        middle = values.copy()
        middle[inside] = (np.bincount(of, values[inside]) / counts).astype(np.int64)[of]
        moved.append(middle)
    return replace(labels, cols=moved[0], rows=moved[1])
