"""Labelled pixels of a grid, and a fair draw where there are too many."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.places.losses import Cause, Losses, in_words

SEED = 0


class NoLabels(InputError):
    """A file of labels can be used, but none labels a pixel of these embeddings."""


@dataclass(frozen=True)
class LabelSource:
    """Where labels come from, as the user said.

    Attributes:
        path: a raster, a file with points or polygons, or a table.
        field: the field or column with the labels; not used for a raster.
        layer: the layer of a file with several; None: the only one that has the field.
        crs: the CRS of the coordinates; None: what the file says.
        band: the band of a raster with several, from 1; None: the only one.
        nodata: the number that is no label; None: what a raster declares.
    """

    path: Path
    field: str | None = None
    layer: str | None = None
    crs: str | None = None
    band: int | None = None
    nodata: float | None = None


@dataclass(frozen=True)
class Labels:
    """Labelled pixels of a grid, each once.

    Attributes:
        cols: (N,) columns of the grid.
        rows: (N,) rows of the grid.
        values: (N,) class names (str) or, for regression, float64.
        lost: what labels no pixel, by its cause.
        remarks: what else was unusual, a line each.
        seen: how many there were before some were drawn.
    """

    cols: NDArray[np.int64]
    rows: NDArray[np.int64]
    values: NDArray[Any]
    lost: Losses = field(default_factory=Losses)
    remarks: tuple[str, ...] = ()
    seen: int = 0

    def __len__(self) -> int:
        return len(self.cols)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was unusual, a line each: all losses in one, then the remarks."""
        lost = in_words(self.lost)
        return (*((f"left out: {lost}",) if lost else ()), *self.remarks)


class Draw:
    """Takes labelled pixels in any order and keeps some of them at random, each with the same probability.

    Args:
        most: the largest number to keep.
    """

    def __init__(self, most: int) -> None:
        self.most, self.seen = most, 0
        self._generator = np.random.default_rng(SEED)
        self._pixels = np.zeros(0, np.int64)
        self._values: NDArray[Any] = np.zeros(0, object)
        self._keys = np.zeros(0)

    def add(self, pixels: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Take more labels, of pixels that weren't there before.

        Args:
            pixels: (N,) row * width + column.
            values: (N,).
        """
        self.seen += len(pixels)
        keys = self._generator.random(len(pixels))
        if len(pixels) > self.most:  # before they are copied
            chosen = np.argpartition(keys, self.most)[: self.most]
            pixels, values, keys = pixels[chosen], values[chosen], keys[chosen]
        values = values if not len(self._values) else np.concatenate([self._values, values])
        pixels, keys = np.concatenate([self._pixels, pixels]), np.concatenate([self._keys, keys])
        if len(pixels) > self.most:
            chosen = np.argpartition(keys, self.most)[: self.most]
            pixels, values, keys = pixels[chosen], values[chosen], keys[chosen]
        self._pixels, self._values, self._keys = pixels, values, keys

    def labels(self, width: int, lost: Losses, remarks: tuple[str, ...] = ()) -> Labels:
        """What was kept, row by row.

        Args:
            width: of the grid.
            lost: what labels no pixel.
            remarks: what else was unusual.
        """
        order = np.argsort(self._pixels)
        pixels, values = self._pixels[order], self._values[order]
        if self.seen > self.most:
            remarks = (*remarks, f"{self.most:,} of {self.seen:,} labelled pixels are used, drawn at random")
        return Labels(pixels % width, pixels // width, values, lost, remarks, self.seen)


def with_embeddings(labels: Labels, source: Embeddings) -> tuple[Labels, NDArray[np.float32]]:
    """The labels of pixels that have an embedding, and their embeddings (N, K).

    Args:
        labels: of pixels of the source's grid.
        source: embeddings.

    Raises:
        NoLabels: none of the pixels has an embedding.
    """
    x = source.pixels(labels.cols, labels.rows)
    valid = np.isfinite(x[:, 0])
    if not valid.any():
        raise NoLabels(f"none of the {len(labels):,} labelled pixels has an embedding in {source.path}")
    missing = int((~valid).sum())
    if missing:
        lost = labels.lost + Losses({Cause.NO_EMBEDDING: missing})
        labels = replace(
            labels, cols=labels.cols[valid], rows=labels.rows[valid], values=labels.values[valid], lost=lost
        )
    return labels, x[valid]
