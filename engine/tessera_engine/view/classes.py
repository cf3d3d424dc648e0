"""A map of classes while someone labels: learned in milliseconds, applied to unpacked embeddings.

With few labels each pixel gets the class whose mean direction is the nearest. From `RIDGE_FROM` labels a class on,
ridge regression of the directions is about as accurate as logistic regression and has a closed form. The map that is
exported is made by `tessera_engine.analysis.maps.make` instead.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.suggestions import Known, Vectors, candidates, suggest
from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.progress import Progress
from tessera_engine.view.label_document import Document, labelled_pixels
from tessera_kernels.linear import classify as classify_vectors

RIDGE_FROM = 3
"""Labelled pixels a class, on average, from which on ridge regression is more accurate than class means. On average, so
that a new class with its first label doesn't make the map of the others worse."""

RIDGE = 0.01
"""Strength of the regression, in mean eigenvalues of the labelled directions' covariance."""

MOST_LABELS = 20_000
"""Labelled pixels to learn from, at most, as in a map."""

STRIP_PIXELS = 2_000_000
"""Pixels between two looks at whether the work was cancelled."""

SUGGESTING_LABELS = 500
"""Labelled pixels at most with which suggestions are compared."""

SEED = 0


class Scorer(NamedTuple):
    """What gives pixels their classes, see `tessera_kernels.linear.classify`.

    Attributes:
        method: `mean` or `ridge`.
        weights: (C, K) float32.
        bias: (C,) float32.
        sure: (C, C) float32.
        numbers: (C,) uint8, 1 + the index of the class in the label document; classes without labels are left out.
    """

    method: str
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    sure: NDArray[np.float32]
    numbers: NDArray[np.uint8]

    @property
    def enough(self) -> bool:
        """Whether there are labels of two classes or more: with one, every pixel would be of it."""
        return len(self.numbers) > 1

    def classify(self, values: NDArray[Any], scales: NDArray[np.float32] | None) -> NDArray[np.uint8]:
        """The class and the margin of each pixel.

        Args:
            values: (N, K) int8 codes, or float32 embeddings with NaN where there is no data.
            scales: (N,) of codes, NaN where there is no data; None for float32.

        Returns:
            (N, 2) uint8: 0 for no data or the class's number; and 0 (a tie) to 255 (as sure as at a label).
        """
        known = values[:, 0] if scales is None else scales
        return classify_vectors(values, known, *self[1:])


def learn(embeddings: NDArray[np.float32], classes: NDArray[np.int64]) -> Scorer | None:
    """Learn classes from labelled pixels. Each class counts the same, however many labels it has.

    Args:
        embeddings: (N, K), NaN where there is no data.
        classes: (N,) index of each label's class in the label document, at most 253.

    Returns:
        None where no label has an embedding with a direction.
    """
    length = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    usable = np.isfinite(length) & (length > 0)
    if not usable.any():
        return None
    directions = embeddings[usable] / length[usable, np.newaxis]
    present, which, counts = np.unique(classes[usable], return_inverse=True, return_counts=True)
    numbers = (present + 1).astype(np.uint8)
    if counts.sum() < RIDGE_FROM * len(present) or len(present) < 2:
        return _means(directions, which, numbers)
    return _ridge(directions, which, numbers)


def _means(directions: NDArray[np.float64], which: NDArray[np.int64], numbers: NDArray[np.uint8]) -> Scorer:
    sums = np.stack([directions[which == c].sum(axis=0) for c in range(len(numbers))])
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    means = np.divide(sums, length, out=np.zeros_like(sums), where=length > 0)
    # At the mean of a class, the other is this far behind
    behind = 1 - means @ means.T
    sure = np.divide(1, behind, out=np.zeros_like(behind), where=behind > 1e-9)
    bias = np.zeros(len(numbers), np.float32)
    return Scorer("mean", means.astype(np.float32), bias, sure.astype(np.float32), numbers)


def _ridge(directions: NDArray[np.float64], which: NDArray[np.int64], numbers: NDArray[np.uint8]) -> Scorer:
    """One-vs-rest ridge regression with weights: the closed form (Hoerl and Kennard 1970, Technometrics 12, 55-67).

    The targets are 1 for the class and 0 for the others, so that a margin of 1 is that of a perfect fit.
    """
    classes, count = len(numbers), len(which)
    weight = count / (classes * np.bincount(which)[which])
    targets = (which[:, np.newaxis] == np.arange(classes)).astype(np.float64)
    centre, mean = weight @ directions / count, weight @ targets / count
    root = np.sqrt(weight)[:, np.newaxis]
    x, y = (directions - centre) * root, (targets - mean) * root
    # Of the two forms the one with the smaller matrix. einsum would be slow here, and threads of the linear algebra
    # library wait for each other: the caller limits them
    gram = x @ x.T if count <= x.shape[1] else x.T @ x
    penalty = max(RIDGE * float(np.trace(gram)) / len(gram), 1e-12)
    system = gram + penalty * np.eye(len(gram))
    weights = x.T @ np.linalg.solve(system, y) if count <= x.shape[1] else np.linalg.solve(system, x.T @ y)
    bias = mean - centre @ weights
    sure = np.ones((classes, classes), np.float32)
    return Scorer("ridge", weights.T.astype(np.float32), bias.astype(np.float32), sure, numbers)


class Place(NamedTuple):
    """A pixel to label.

    Attributes:
        col: of the grid.
        row: of the grid.
        margin: of its class, 0 (not sure) to 255.
    """

    col: int
    row: int
    margin: int


class LiveMap(NamedTuple):
    """A map of classes, and what to do next.

    Attributes:
        classified: (height, width, 2) uint8, see `Scorer.classify`; of the embeddings that were searched.
        method: `mean` or `ridge`.
        enough: whether there are labels of two classes or more.
        pixels: of each class of the label document.
        next: the pixels to label next, at full resolution; none where there isn't enough.
    """

    classified: NDArray[np.uint8]
    method: str
    enough: bool
    pixels: list[int]
    next: list[Place]


def live_map(
    found: Document, full: Embeddings, searched: Embeddings, report: Progress | None = None
) -> LiveMap:
    """Give each pixel its class, as far as a few labels tell.

    Args:
        found: the labels.
        full: the output at full resolution, on whose grid the labels lie.
        searched: the same, or an overview of it; its arrays are in memory or mapped.
        report: called with pixels done and in all; may raise to stop.

    Raises:
        InputError: no label lies on a pixel with data.
        MissingExtra: shapely isn't installed.
        TesseraError: a file can't be read.
    """
    laid = labelled_pixels(found, full.grid)
    pixels, classes = laid.pixels, laid.classes
    if len(pixels) > MOST_LABELS:
        drawn = np.sort(np.random.default_rng(SEED).choice(len(pixels), MOST_LABELS, replace=False))
        pixels, classes = pixels[drawn], classes[drawn]
    cols, rows = pixels % full.grid.width, pixels // full.grid.width
    embeddings = full.pixels(cols, rows)
    scorer = learn(embeddings, classes)
    if scorer is None:
        raise InputError("no label lies on a pixel with data; label some pixels")
    classified = _classify(scorer, searched, report)
    counts = count_classes(classified, len(found.classes))
    telling: list[Place] = []
    if scorer.enough:
        known = np.isfinite(embeddings).all(axis=1)
        labels = Known(len(found.labels), np.stack([cols, rows], axis=1)[known], embeddings[known])
        telling = _next(classified, searched, labels, full)
    return LiveMap(classified, scorer.method, scorer.enough, counts, telling)


def _classify(scorer: Scorer, searched: Embeddings, report: Progress | None) -> NDArray[np.uint8]:
    height, width, dim = searched.grid.height, searched.grid.width, searched.dim
    classified = np.empty((height, width, 2), np.uint8)
    if searched.distinct_values:
        _classify_distinct(scorer, searched, classified, report)
        return classified
    stored = searched.read_stored()
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        part = slice(top, top + rows)
        values = stored.values[part].reshape(-1, dim)
        scales = None if stored.scales is None else stored.scales[part].reshape(-1)
        classified[part] = scorer.classify(values, scales).reshape(-1, width, 2)
        if report is not None:
            report(min(top + rows, height) * width, height * width)
    return classified


def _classify_distinct(
    scorer: Scorer, searched: Embeddings, classified: NDArray[np.uint8], report: Progress | None
) -> None:
    """Each different embedding once."""
    done = 0
    for window in searched.tiles(searched.distinct_values):
        distinct = searched.read_distinct(window)
        assert distinct is not None
        of_each = np.zeros((len(distinct.vectors) + 1, 2), np.uint8)
        of_each[:-1] = scorer.classify(distinct.vectors, None)
        classified[window.slices] = of_each[distinct.which]  # no data is -1, the last one
        done += window.pixels
        if report is not None:
            report(done, searched.grid.window.pixels)


def _next(
    classified: NDArray[np.uint8], searched: Embeddings, labels: Known, full: Embeddings
) -> list[Place]:
    height, width = classified.shape[:2]
    sizes = np.array([full.grid.width / width, full.grid.height / height])
    if searched.distinct_values:
        may, scene = (Vectors(each, searched.pixels(each.cols, each.rows)) for each in candidates(classified))
    else:  # codes have the direction of their embeddings
        values = searched.read_stored().values
        may, scene = (
            Vectors(each, values[each.rows, each.cols].astype(np.float32)) for each in candidates(classified)
        )
    thinned = slice(None, None, -(-len(labels.places) // SUGGESTING_LABELS))
    near = (labels.places[thinned] / sizes).astype(np.int64)
    chosen = suggest(may, scene, Known(labels.labels, near, labels.vectors[thinned]), max(height, width))
    cols, rows, margins = (each[chosen].tolist() for each in may.pixels)
    places = [Place(*each) for each in zip(cols, rows, margins, strict=True)]
    if (height, width) == (full.grid.height, full.grid.width):
        return places
    return [_at_full(place, sizes) for place in places]


def _at_full(place: Place, sizes: NDArray[np.float64]) -> Place:
    """The pixel at full resolution that an overview's pixel is, by the rule of `tessera_engine.view.levels`."""
    col, row = np.floor(0.5 + np.array([place.col, place.row]) * sizes).astype(int)
    return place._replace(col=int(col), row=int(row))


def count_classes(classified: NDArray[np.uint8], classes: int) -> list[int]:
    """Pixels of each class of the label document, in its order.

    Args:
        classified: (..., 2) as `Scorer.classify` gives it.
        classes: how many the document has.
    """
    counts = np.bincount(classified[..., 0].reshape(-1), minlength=classes + 1)
    return [int(count) for count in counts[1 : classes + 1]]
