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


SHARPNESS = 8
"""Power of the cosine: how fast a label says less about pixels that are less similar to it."""

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
    similar = np.maximum(whole @ _directions(may.vectors).T, 0) ** SHARPNESS
    covered = np.zeros(len(whole), np.float32)
    if len(labelled_vectors):
        known = np.maximum(whole @ _directions(labelled_vectors).T, 0) ** SHARPNESS
        covered = known.max(axis=1)
    doubt = 1 - candidate.margins / np.float32(255)
    weight = 1 - sample.margins / np.float32(255)
    chosen: list[Place] = []
    while len(chosen) < COUNT and allowed.any():
        gain = np.maximum(similar - covered[:, np.newaxis], 0).T @ weight
        value = np.where(allowed, (gain + 1e-6) * (doubt + LEAST_DOUBT), -1)
        best = int(value.argmax())
        chosen.append(
            Place(int(candidate.cols[best]), int(candidate.rows[best]), int(candidate.margins[best]))
        )
        covered = np.maximum(covered, similar[:, best])
        allowed &= np.hypot(*(places - places[best]).T) >= near
    return chosen


def _directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: NDArray[np.float32] = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return found
