"""Which pixels to label next: at first those that are like much of the scene, later those of which a map isn't sure."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

COUNT = 20
"""Pixels that are suggested."""

FEW_LABELS = 40
"""Below so many labels the margins of a map say little: labels are placed where they cover the most of the scene."""

CANDIDATES_ACROSS = 40
"""The scene is divided into this many cells across its longer side; the least sure pixel of each is a candidate, so
that candidates lie everywhere. The pixels that stand for the scene are candidates too: the least sure ones often lie on
the borders of fields."""

SAMPLES_ACROSS = 32
"""Cells across of which the middle pixels stand for the whole scene."""

LEAST_DISTANCE = 0.03
"""Of two suggestions, and of a suggestion and a label, in longer sides of the scene."""

ALIKE = 0.05
"""Share of the scene that a label is to say something about: similarities are cosines to the power of 2**n, with that n
with which about this share of all pairs of pixels has 0.5 or more."""

MOST_DOUBLINGS = 6
"""The cosine is squared so many times at most."""

LEAST_DOUBT = 0.3
"""Added to a candidate's own doubt: a sure pixel that is like many unsure ones is worth a label too."""


class Pixels(NamedTuple):
    """Pixels with data.

    Attributes:
        cols: (N,) int64 columns.
        rows: (N,) int64 rows.
        margins: (N,) uint8, how sure the map is of each: 0 (a tie) to 255.
    """

    cols: NDArray[np.int64]
    rows: NDArray[np.int64]
    margins: NDArray[np.uint8]


class Vectors(NamedTuple):
    """Pixels with their embeddings.

    Attributes:
        pixels: N of them.
        vectors: (N, K) float32 of any length: only directions are compared.
    """

    pixels: Pixels
    vectors: NDArray[np.float32]


class Known(NamedTuple):
    """What is labelled already.

    Attributes:
        labels: points and polygons, however many pixels they cover.
        places: (L, 2) columns and rows of labelled pixels.
        vectors: (L, K) float32 their embeddings.
    """

    labels: int
    places: NDArray[np.int64]
    vectors: NDArray[np.float32]


def candidates(classified: NDArray[np.uint8]) -> tuple[Pixels, Pixels]:
    """The pixels that may be suggested, and those that stand for the scene.

    Args:
        classified: (height, width, 2): a class, 0 for no data; and the margin, 0 (a tie) to 255.
    """
    height, width = classified.shape[:2]
    cell = max(1, -(-max(height, width) // CANDIDATES_ACROSS))
    least_sure = []
    for top in range(0, height, cell):
        for left in range(0, width, cell):
            # Cell by cell: of a large scene all doubts would take a hundred MB
            part = classified[top : top + cell, left : left + cell]
            doubt = np.where(part[..., 0] > 0, 255 - part[..., 1].astype(np.int16), -1)
            at = int(doubt.argmax())
            if doubt.flat[at] >= 0:
                least_sure.append((left + at % doubt.shape[1], top + at // doubt.shape[1]))
    step = max(1, max(height, width) // SAMPLES_ACROSS)
    rows, cols = np.nonzero(classified[step // 2 :: step, step // 2 :: step, 0])
    cols, rows = cols * step + step // 2, rows * step + step // 2
    middles = np.stack([cols, rows], axis=1)
    found = np.concatenate([np.array(least_sure, np.int64).reshape(-1, 2), middles])
    return _pixels(classified, found), _pixels(classified, middles)


def _pixels(classified: NDArray[np.uint8], places: NDArray[np.int64]) -> Pixels:
    cols, rows = places.T
    return Pixels(cols, rows, classified[rows, cols, 1])


def suggest(may: Vectors, scene: Vectors, known: Known, side: int, count: int = COUNT) -> NDArray[np.int64]:
    """The pixels to label next, in the order in which they help; the same input gives the same pixels.

    Each choice is the pixel that covers most of the scene: how much more similar its pixels are to the choice than to
    every label and earlier choice, summed (facility location; Wei, Iyer and Bilmes 2015, "Submodularity in data subset
    selection and active learning", ICML). With few labels all pixels of the scene count the same (as in Hacohen, Dekel
    and Weinshall 2022, "Active learning on a budget", ICML: typical ones first). From `FEW_LABELS` on they count by
    their doubt, and the candidate's own doubt is a factor.

    Similar is a large cosine after the mean direction of the scene is subtracted, a large part that all embeddings
    share.

    Args:
        may: the pixels that may be chosen, see `candidates`.
        scene: the pixels that stand for the scene.
        known: what is labelled.
        side: pixels of the longer side of the scene.
        count: suggestions at most. There are fewer where all other candidates are too near to labels or choices.

    Returns:
        (at most count,) int64 indices of `may`.
    """
    near = max(2.0, LEAST_DISTANCE * side)
    candidate, sample = may.pixels, scene.pixels
    places = np.stack([candidate.cols, candidate.rows], axis=1).astype(np.float64)
    allowed = np.ones(len(places), bool)
    for place in known.places:
        allowed &= np.hypot(*(places - place).T) >= near
    if not len(places) or not len(sample.cols):
        return np.empty(0, np.int64)
    centre = _directions(scene.vectors).mean(axis=0)
    whole, others, labelled = (
        _directions(_directions(each) - centre) for each in (scene.vectors, may.vectors, known.vectors)
    )
    doublings = _doublings(whole)
    similar = _sharp(whole @ others.T, doublings)
    covered = np.zeros(len(whole), np.float32)
    if len(labelled):
        covered = _sharp(whole @ labelled.T, doublings).max(axis=1)
    weight: NDArray[Any] = np.ones(len(whole), np.float32)
    doubt: NDArray[Any] = np.ones(len(places), np.float32)
    if known.labels >= FEW_LABELS:
        weight = 1 - sample.margins / np.float32(255)
        doubt = 1 - candidate.margins / np.float32(255) + np.float32(LEAST_DOUBT)

    def value(of: NDArray[np.float32]) -> NDArray[np.float32]:
        gain: NDArray[np.float32] = weight @ np.maximum(of - covered[:, np.newaxis], 0)
        return gain + np.float32(1e-6)

    # A choice only lowers the values of the others, so an old value is a bound of the new one (Minoux 1978,
    # "Accelerated greedy algorithms for maximizing submodular set functions"): few are computed again
    bounds = np.where(allowed, value(similar) * doubt, -1)
    chosen: list[int] = []
    while len(chosen) < count and allowed.any():
        best = int(bounds.argmax())
        bound = float(bounds[best])
        bounds[best] = float(value(similar[:, best : best + 1])[0]) * doubt[best]
        if bounds[best] < bound and int(bounds.argmax()) != best:
            continue
        chosen.append(best)
        covered = np.maximum(covered, similar[:, best])
        allowed &= np.hypot(*(places - places[best]).T) >= near
        bounds[~allowed] = -1
    return np.array(chosen, np.int64)


def _doublings(directions: NDArray[np.float32]) -> int:
    """How often cosines are squared, see `ALIKE`."""
    cosine = float(np.quantile(directions @ directions.T, 1 - ALIKE))
    if not 0 < cosine < 1:
        return 0 if cosine <= 0 else MOST_DOUBLINGS
    return int(np.clip(np.rint(np.log2(np.log(0.5) / np.log(cosine))), 0, MOST_DOUBLINGS))


def _sharp(cosines: NDArray[np.float32], doublings: int) -> NDArray[np.float32]:
    """Cosines squared so many times, in place; 0 for negative ones."""
    np.maximum(cosines, 0, out=cosines)
    for _ in range(doublings):
        np.multiply(cosines, cosines, out=cosines)
    return cosines


def _directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: NDArray[np.float32] = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return found
