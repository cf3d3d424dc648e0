"""From embeddings to colours: by their principal components, or by their nearest cluster.

A palette is fitted to a sample of one scene. Kept in a file, it gives the same colours to the same embeddings in any
other scene that the same model embedded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tessera_engine.pictures.clusters import find_centres, nearest
from tessera_engine.pictures.colours import PALETTE
from tessera_engine.pictures.legend import Legend, Swatch, Swatches

STRETCH = (2, 98)
"""Percentiles of the sample that become black and full colour."""

BLOCK_ROWS = 1024
"""Rows of the sample that are converted to float64 at a time."""


class Palette(Protocol):
    """Gives embeddings their colours."""

    @property
    def legend(self) -> Legend | None:
        """Of the colours; None where they have no names."""
        ...

    def paint(self, embeddings: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(N, K) -> (N, 3) RGB."""
        ...


@dataclass(frozen=True)
class Projection:
    """The first three principal components as red, green and blue.

    Attributes:
        axes: (K, 3) float32, unit length, by falling variance.
        low: (3,) float32, the projection that is painted as 0.
        span: (3,) float32, the distance from there to 255; 0 where a component doesn't vary.
    """

    axes: NDArray[np.float32]
    low: NDArray[np.float32]
    span: NDArray[np.float32]

    def __post_init__(self) -> None:
        # Fitted or read from a file, they lie alike in memory: some CPUs round products otherwise in another order
        object.__setattr__(self, "axes", np.ascontiguousarray(self.axes))

    @property
    def legend(self) -> None:
        """Mixtures of three components have no names."""
        return None

    def paint(self, embeddings: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(N, K) -> (N, 3) RGB."""
        above = embeddings @ self.axes - self.low
        share = np.full_like(above, 0.5)
        np.divide(above, self.span, out=share, where=self.span > 0)
        colours: NDArray[np.uint8] = np.rint(share.clip(0, 1) * 255).astype(np.uint8)
        return colours


@dataclass(frozen=True)
class Clusters:
    """One colour for each cluster of embeddings.

    Attributes:
        centres: (C, K) float32, C at most the number of distinct colours.
    """

    centres: NDArray[np.float32]

    @property
    def legend(self) -> Legend:
        """Of the clusters, the largest first."""
        return Swatches([Swatch(f"cluster {i + 1}", PALETTE[i]) for i in range(len(self.centres))])

    def paint(self, embeddings: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(N, K) -> (N, 3) RGB."""
        return np.array(PALETTE, np.uint8)[nearest(embeddings, self.centres)]


def fit_projection(sample: NDArray[np.float32]) -> Projection:
    """The projection that shows most of what varies in a sample (N, K), N >= 1."""
    mean = sample.mean(axis=0, dtype=np.float64)
    centred = (block - mean for block in _blocks(sample))
    _, vectors = np.linalg.eigh(sum(block.T @ block for block in centred))
    axes = vectors[:, :-4:-1]
    # The sign of an eigenvector is arbitrary. Its largest element is made positive, so that colours don't depend on the
    # linear algebra library.
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, range(axes.shape[1])])
    projected = np.concatenate([block @ axes for block in _blocks(sample)])
    low, high = np.percentile(projected, STRETCH, axis=0)
    # Differences between equal embeddings are rounding, which must not be stretched to full colour.
    rounding = 1e-5 * np.abs(sample).max()
    span = np.where(high - low > rounding, high - low, 0.0)
    return Projection(axes.astype(np.float32), low.astype(np.float32), span.astype(np.float32))


def fit_clusters(sample: NDArray[np.float32]) -> Clusters:
    """Clusters of a sample (N, K), N >= 1, one for each distinct colour."""
    return Clusters(find_centres(sample, len(PALETTE)))


def _blocks(sample: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    """The sample in float64, some rows at a time, because a whole copy would be the largest array of the run."""
    for start in range(0, len(sample), BLOCK_ROWS):
        yield sample[start : start + BLOCK_ROWS].astype(np.float64)


FITS: Mapping[str, Callable[[NDArray[np.float32]], Palette]] = {
    "pca": fit_projection,
    "clusters": fit_clusters,
}
"""For each kind of picture of embeddings, the function that fits its palette to a sample (N, K), N >= 1."""
