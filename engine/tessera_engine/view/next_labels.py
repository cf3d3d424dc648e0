"""Which pixels to label next: those whose labels say most about pixels of which the map isn't sure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

COUNT = 20
"""Pixels that are suggested."""

CANDIDATES_ACROSS = 40
"""The scene is divided into this many cells across its longer side; the least sure pixel of each is a candidate, so
that candidates lie everywhere. The pixels that stand for the scene are candidates too: the least sure ones often lie on
the borders of fields."""

SAMPLES_ACROSS = 32
"""Cells across of which the middle pixels stand for the whole scene."""

LEAST_DISTANCE = 0.03
"""Of two suggestions, and of a suggestion and a label, in longer sides of the scene."""


DOUBLINGS = 3
"""The cosine is taken to the power of 2**3 = 8: a label says little about pixels that are less similar to it."""

LEAST_DOUBT = 0.3
"""Added to a candidate's own doubt: a sure pixel that is like many unsure ones is worth a label too."""


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


class Pixels(NamedTuple):
    """Pixels with data, by which others are judged.

    Attributes:
        cols: (N,) columns.
        rows: (N,) rows.
        margins: (N,) uint8.
    """

    cols: NDArray[np.int64]
    rows: NDArray[np.int64]
    margins: NDArray[np.uint8]


class Vectors(NamedTuple):
    """Pixels with their embeddings.

    Attributes:
        pixels: N of them.
        vectors: (N, K) float32 of any length.
    """

    pixels: Pixels
    vectors: NDArray[np.float32]


def candidates(classified: NDArray[np.uint8]) -> tuple[Pixels, Pixels]:
    """The pixels that may be suggested, and those that stand for the scene.

    Args:
        classified: (height, width, 2) as `tessera_engine.view.classes.Scorer.classify` gives it.
    """
    height, width = classified.shape[:2]
    there = classified[..., 0] > 0
    doubt = np.where(there, 255 - classified[..., 1].astype(np.int16), -1)
    cell = max(1, -(-max(height, width) // CANDIDATES_ACROSS))
    least_sure = []
    for top in range(0, height, cell):
        for left in range(0, width, cell):
            part = doubt[top : top + cell, left : left + cell]
            at = int(part.argmax())
            if part.flat[at] >= 0:
                least_sure.append((left + at % part.shape[1], top + at // part.shape[1]))
    step = max(1, max(height, width) // SAMPLES_ACROSS)
    rows, cols = np.nonzero(there[step // 2 :: step, step // 2 :: step])
    cols, rows = cols * step + step // 2, rows * step + step // 2
    middles = np.stack([cols, rows], axis=1)
    found = np.concatenate([np.array(least_sure, np.int64).reshape(-1, 2), middles])
    return _pixels(classified, found), _pixels(classified, middles)


def _pixels(classified: NDArray[np.uint8], places: NDArray[np.int64]) -> Pixels:
    cols, rows = places.T
    return Pixels(cols, rows, classified[rows, cols, 1])


def suggest(
    may: Vectors,
    scene: Vectors,
    labelled: NDArray[np.int64],
    labelled_vectors: NDArray[np.float32],
    side: int,
) -> list[Place]:
    """The pixels to label next, the most telling first; the same input gives the same pixels.

    Each choice is the pixel that adds most: its own doubt, times the doubt of all pixels of the scene that it is more
    similar to than every label and earlier choice is (facility location; Wei, Iyer and Bilmes 2015, "Submodularity in
    data subset selection and active learning", ICML). So a choice is unsure itself, unlike what is labelled, and like
    much of the scene.

    Args:
        may: the pixels that may be chosen.
        scene: the pixels that stand for the scene.
        labelled: (L, 2) columns and rows of labelled pixels.
        labelled_vectors: (L, K) their embeddings.
        side: pixels of the longer side of the scene.
    """
    near = max(2.0, LEAST_DISTANCE * side)
    candidate, sample = may.pixels, scene.pixels
    places = np.stack([candidate.cols, candidate.rows], axis=1).astype(np.float64)
    allowed = np.ones(len(places), bool)
    for place in labelled:
        allowed &= np.hypot(*(places - place).T) >= near
    if not len(places) or not len(sample.cols):
        return []
    whole = _directions(scene.vectors)
    similar = _sharp(whole @ _directions(may.vectors).T)
    covered = np.zeros(len(whole), np.float32)
    if len(labelled_vectors):
        covered = _sharp(whole @ _directions(labelled_vectors).T).max(axis=1)
    doubt = 1 - candidate.margins / np.float32(255) + np.float32(LEAST_DOUBT)
    weight = 1 - sample.margins / np.float32(255)

    def value(of: NDArray[np.float32]) -> NDArray[np.float32]:
        gain: NDArray[np.float32] = weight @ np.maximum(of - covered[:, np.newaxis], 0)
        return gain + np.float32(1e-6)

    # A choice only lowers the values of the others, so an old value is a bound of the new one (Minoux 1978,
    # "Accelerated greedy algorithms for maximizing submodular set functions"): few are computed again
    bounds = np.where(allowed, value(similar) * doubt, -1)
    chosen: list[Place] = []
    while len(chosen) < COUNT and allowed.any():
        best = int(bounds.argmax())
        bound = float(bounds[best])
        bounds[best] = float(value(similar[:, best : best + 1])[0]) * doubt[best]
        if bounds[best] < bound and int(bounds.argmax()) != best:
            continue
        chosen.append(
            Place(int(candidate.cols[best]), int(candidate.rows[best]), int(candidate.margins[best]))
        )
        covered = np.maximum(covered, similar[:, best])
        allowed &= np.hypot(*(places - places[best]).T) >= near
        bounds[~allowed] = -1
    return chosen


def _sharp(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines squared `DOUBLINGS` times, in place; 0 for negative ones."""
    np.maximum(cosines, 0, out=cosines)
    for _ in range(DOUBLINGS):
        np.multiply(cosines, cosines, out=cosines)
    return cosines


def _directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: NDArray[np.float32] = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return found
