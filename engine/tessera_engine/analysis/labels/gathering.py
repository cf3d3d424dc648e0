"""The labelled pixels of one or several outputs, with their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.pixels import (
    SEED,
    Labels,
    LabelSource,
    NoLabels,
    with_embeddings,
)
from tessera_engine.analysis.labels.reading import read_labels
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.geo import to_pixels
from tessera_engine.places.losses import Cause, Losses, in_words
from tessera_engine.scene import Grid

OF_THE_FILE = (Cause.NO_GEOMETRY, Cause.BROKEN)
"""Losses that are the same wherever the file is read to."""

ELSEWHERE = (Cause.BESIDE, Cause.OUT_OF_PROJECTION)
"""What is lost for one of several outputs may label another."""


@dataclass(frozen=True)
class Gathered:
    """Labelled pixels of outputs, each place once.

    Attributes:
        labels: of each output, in their order; without pixels where none has a label.
        x: (N, K) float32 embeddings, output by output.
        notes: what was unusual, a line each.
    """

    labels: tuple[Labels, ...]
    x: NDArray[np.float32]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.x)

    @property
    def values(self) -> NDArray[Any]:
        """(N,) class names (str) or, for regression, float64."""
        return np.concatenate([each.values for each in self.labels])

    @property
    def output(self) -> NDArray[np.int64]:
        """(N,) number of the output of each."""
        return np.repeat(np.arange(len(self.labels)), [len(each) for each in self.labels])

    def read(self, outputs: Sequence[Embeddings]) -> NDArray[np.float32]:
        """(N, K) the embeddings of the same pixels in other outputs of the same grids; NaN without data."""
        pairs = zip(self.labels, outputs, strict=True)
        return np.concatenate([each.pixels(labels.cols, labels.rows) for labels, each in pairs])


def gather(source: LabelSource, outputs: Sequence[Embeddings], regression: bool, most: int) -> Gathered:
    """Read labels onto outputs, and the embeddings there.

    Where outputs overlap, a place is labelled in the first that has data there.

    Args:
        source: see `tessera_engine.analysis.labels.reading.read_labels`.
        outputs: of one model.
        regression: the values are numbers, not classes.
        most: the largest number of labels; of more labels, some are drawn at random.

    Raises:
        InputError: the file or field can't be used, or no label is left.
        MissingExtra: a library that reads the file isn't installed.
        TesseraError: embeddings can't be read.
    """
    found: list[Labels] = []
    vectors: list[NDArray[np.float32]] = []
    nothing: NoLabels | None = None
    for number, output in enumerate(outputs):
        try:
            labels, x = with_embeddings(read_labels(source, output.grid, regression, most), output)
        except NoLabels as error:
            nothing = nothing or error
            labels, x = _none(regression), np.empty((0, output.dim), np.float32)
        kept = ~_known(labels, output.grid, outputs[:number])
        found.append(_some(labels, kept))
        vectors.append(x[kept])
    if nothing is not None and not any(map(len, found)):
        raise nothing
    return _drawn(found, vectors, most, outputs)


def _known(labels: Labels, grid: Grid, earlier: Sequence[Embeddings]) -> NDArray[np.bool_]:
    """(N,) which labelled pixels of a grid have data in an earlier output too."""
    from rasterio.warp import transform

    known = np.zeros(len(labels), bool)
    x, y = grid.transform @ np.stack([labels.cols + 0.5, labels.rows + 0.5])
    for other in earlier:
        left = np.flatnonzero(~known)
        if not len(left):
            break
        east, north = x[left], y[left]
        if other.grid.crs != grid.crs:
            east, north = map(np.asarray, transform(grid.crs, other.grid.crs, east, north))
        with np.errstate(invalid="ignore"):
            cols, rows = map(np.floor, to_pixels(other.grid, east, north))
            inside = (cols >= 0) & (rows >= 0) & (cols < other.grid.width) & (rows < other.grid.height)
        at = cols[inside].astype(np.int64), rows[inside].astype(np.int64)
        known[left[inside]] = np.isfinite(other.pixels(*at)[:, 0])
    return known


def _drawn(
    found: list[Labels], vectors: list[NDArray[np.float32]], most: int, outputs: Sequence[Embeddings]
) -> Gathered:
    """Not more labels than wanted, with the same probability for each, and what is to be said of them."""
    seen = sum(each.seen for each in found)
    several = len(outputs) > 1
    if several and sum(map(len, found)) > most:
        generator = np.random.default_rng(SEED)
        for i, labels in enumerate(found):
            count = min(len(labels), max(1, round(most * labels.seen / seen))) if len(labels) else 0
            kept = np.zeros(len(labels), bool)
            kept[generator.choice(len(labels), count, replace=False)] = True
            found[i], vectors[i] = _some(labels, kept), vectors[i][kept]
    if not several:
        return Gathered(tuple(found), vectors[0], found[0].notes)
    lost, remarks = Losses(), list(dict.fromkeys(remark for each in found for remark in each.remarks))
    for cause in Cause:
        if cause not in ELSEWHERE:
            counts = [each.lost[cause] for each in found]
            lost[cause] = max(counts) if cause in OF_THE_FILE else sum(counts)
    words = in_words(lost)
    places = ", ".join(
        f"{len(each)} of {output.path.name}" for each, output in zip(found, outputs, strict=True)
    )
    notes = [*([f"left out: {words}"] if words else []), *remarks, f"labelled pixels: {places}"]
    return Gathered(tuple(found), np.concatenate(vectors), tuple(notes))


def _none(regression: bool) -> Labels:
    nowhere = np.empty(0, np.int64)
    return Labels(nowhere, nowhere, np.empty(0, np.float64 if regression else object))


def _some(labels: Labels, kept: NDArray[np.bool_]) -> Labels:
    if kept.all():
        return labels
    return replace(labels, cols=labels.cols[kept], rows=labels.rows[kept], values=labels.values[kept])
