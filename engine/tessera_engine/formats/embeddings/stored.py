"""What a format of embeddings gives: a `Source`, which reads blocks as they are stored."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tessera_engine.files.staging import CODE_NODATA, Staging
from tessera_engine.scene import Grid, Window


class StoredBlock(NamedTuple):
    """A window as it is stored; nodata is the code -128 with the scale NaN, or NaN in float32.

    Attributes:
        values: (height, width, K) int8 codes or float32.
        scales: (height, width) float32, embedding = code * scale; None where float32 is stored.
    """

    values: NDArray[Any]
    scales: NDArray[np.float32] | None

    @classmethod
    def without_data(cls, window: Window, dim: int, stored_as: str) -> StoredBlock:
        """A window of `dim` dimensions in which no pixel has data, to be filled."""
        size = (window.height, window.width)
        if stored_as == "int8":
            return cls(np.full((*size, dim), CODE_NODATA, np.int8), np.full(size, np.nan, np.float32))
        return cls(np.full((*size, dim), np.nan, np.float32), None)

    @classmethod
    def staged(cls, staging: Staging, window: Window) -> StoredBlock:
        """A window of staged arrays."""
        scales = None if staging.scales is None else staging.scales.read(window)
        return cls(staging.embeddings.read(window), scales)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(height, width), True where there is an embedding."""
        return np.isfinite(self.values[..., 0] if self.scales is None else self.scales)

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """(height, width, K) float32, NaN = nodata."""
        if self.scales is None:
            return self.values.astype(np.float32, copy=False)
        embeddings: NDArray[np.float32] = self.values * self.scales[..., None]
        return embeddings


class Source(Protocol):
    """One format of embeddings on disk."""

    @property
    def grid(self) -> Grid:
        """The grid whose windows `read` takes."""
        ...

    @property
    def dim(self) -> int:
        """Length of the stored embedding."""
        ...

    @property
    def stored_as(self) -> str:
        """`int8` or `float32`."""
        ...

    @property
    def block(self) -> int:
        """Pixels across what is decoded as a whole, a tile or a chunk; 1 where any window is read equally fast."""
        ...

    def read(self, window: Window, dim: int) -> StoredBlock:
        """The first `dim` dimensions of a window, see `StoredBlock`."""
        ...

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """(height, width, 2) clear S2 and valid S1 observations; 0 where that isn't known."""
        ...


class Distinct(NamedTuple):
    """A window in which many pixels have the same embedding.

    Attributes:
        vectors: (M, K) float32, all that occur.
        which: (height, width) int32, each pixel's one of them; -1 = no data.
    """

    vectors: NDArray[np.float32]
    which: NDArray[np.int32]


@runtime_checkable
class HasDistinct(Protocol):
    """A source that may have few different embeddings: what is computed of one is true of all its pixels."""

    @property
    def most_distinct(self) -> int:
        """Different embeddings of a tile at most; 0 where each pixel has one of its own."""
        ...

    def read_distinct(self, window: Window, dim: int) -> Distinct | None:
        """The first `dim` dimensions of a window; None where each pixel has an embedding of its own."""
        ...


@runtime_checkable
class QualitySource(Protocol):
    """A source that may have a quality layer."""

    def read_quality(self, window: Window) -> NDArray[np.uint16] | None:
        """(height, width, bands), see `tessera_engine.formats.layers.QUALITY_BANDS`; None where it has none."""
        ...


@runtime_checkable
class HasOverviews(Protocol):
    """A source whose files hold thinned copies of themselves."""

    def overview(self, level: int) -> Source | None:
        """A grid of ceil(width / 2**level) x ceil(height / 2**level) pixels; None where the files don't hold it.

        Its i-th column is column int(0.5 + i * width / ceil(width / 2**level)) of the full resolution, and rows
        likewise: the nearest pixel, never an average.
        """
        ...


@runtime_checkable
class HasPrefixes(Protocol):
    """A source that stores some prefixes by themselves: reading one doesn't decode the rest."""

    @property
    def prefixes(self) -> tuple[int, ...]:
        """Their lengths, rising, all below `Source.dim`."""
        ...
