"""The embeddings of the pixels that shapes take, in a file: memory doesn't follow their number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.files.staging import CODE_NODATA
from tessera_engine.places.pixels import PixelSet
from tessera_engine.scene import Window

CHUNK = 8192
"""Pixels that are read at a time. Sums are made chunk by chunk of a shape's pixels, so this is part of their
definition: nothing else that depends on memory changes their last bits."""


class Pixels(NamedTuple):
    """The embeddings of N pixels.

    Attributes:
        embeddings: (N, K) float32, NaN = nodata.
        observations: (N, 2) uint16, clear S2 and valid S1 observations.
    """

    embeddings: NDArray[np.float32]
    observations: NDArray[np.uint16]


class Runs(NamedTuple):
    """Pixels of a shape, as runs of neighbours in the file.

    Attributes:
        first: (R,) number of the first pixel of each run.
        length: (R,) pixels of each run.
    """

    first: NDArray[np.int64]
    length: NDArray[np.int64]

    @classmethod
    def of(cls, numbers: NDArray[np.int64]) -> Runs:
        """Rising numbers of pixels, each once."""
        begins = np.flatnonzero(np.diff(numbers, prepend=-2) != 1)
        return cls(numbers[begins], np.diff(np.append(begins, len(numbers))))

    @property
    def pixels(self) -> int:
        """How many pixels."""
        return int(self.length.sum())

    def chunks(self) -> Iterator[Runs]:
        """The same pixels, `CHUNK` at a time."""
        end = np.cumsum(self.length)
        begin = end - self.length
        for start in range(0, self.pixels, CHUNK):
            low, high = np.maximum(begin, start), np.minimum(end, start + CHUNK)
            kept = low < high
            yield Runs((self.first + low - begin)[kept], (high - low)[kept])


class Spool:
    """A file with a record for each pixel of a set, in the set's order.

    Args:
        path: of the file, which is made unless one of this size is there.
        pixels: the set.
        dim: length of an embedding.
        stored_as: `int8` or `float32`.
    """

    def __init__(self, path: Path, pixels: PixelSet, dim: int, stored_as: str) -> None:
        self.path, self.pixels, self.dim = path, pixels, dim
        self._record = np.dtype(
            [("values", stored_as, (dim,)), ("scale", np.float32), ("observations", np.uint16, (2,))]
        )
        self.valid = np.zeros(len(pixels), bool)
        size = len(pixels) * self._record.itemsize
        if not path.exists() or path.stat().st_size != size:
            with path.open("wb") as file:
                file.truncate(size)

    @property
    def stored_as(self) -> str:
        """`int8` or `float32`."""
        return str(self._record["values"].base.name)

    def write(
        self,
        window: Window,
        values: NDArray[Any],
        scales: NDArray[np.float32] | None,
        observations: NDArray[np.uint16],
    ) -> None:
        """Keep the set's pixels of a window.

        Args:
            window: of the set's grid.
            values: (height, width, K) codes or float32.
            scales: (height, width), NaN = nodata; None where float32 is stored.
            observations: (height, width, 2).
        """
        mask, numbers = self._of(window)
        if not len(numbers):
            return
        records = np.empty(len(numbers), self._record)
        records["values"] = values[mask]
        records["scale"] = 1 if scales is None else scales[mask]
        records["observations"] = observations[mask]
        self._mark(numbers, records)
        at = 0
        with self.path.open("r+b") as file:
            for first, length in zip(*(each.tolist() for each in Runs.of(numbers)), strict=True):
                file.seek(first * self._record.itemsize)
                file.write(records[at : at + length].tobytes())
                at += length

    def read_back(
        self, window: Window
    ) -> tuple[NDArray[Any], NDArray[np.float32] | None, NDArray[np.uint16]]:
        """What was written of a window by an earlier process: values, scales and observations, as `write` takes them.

        Pixels that aren't in the set have no data.
        """
        mask, numbers = self._of(window)
        records = self._records(Runs.of(numbers))
        self._mark(numbers, records)
        size, codes = (window.height, window.width), self.stored_as == "int8"
        values = np.full((*size, self.dim), CODE_NODATA if codes else np.nan, self.stored_as)
        scales = np.full(size, np.nan, np.float32) if codes else None
        observations = np.zeros((*size, 2), np.uint16)
        values[mask], observations[mask] = records["values"], records["observations"]
        if scales is not None:
            scales[mask] = records["scale"]
        return values, scales, observations

    def _of(self, window: Window) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """(height, width) which pixels of a window are in the set, and their numbers."""
        mask = self.pixels.mask(window)
        row, col = np.nonzero(mask)
        return mask, self.pixels.ranks(row + window.row, col + window.col) if len(row) else row

    def _mark(self, numbers: NDArray[np.int64], records: NDArray[Any]) -> None:
        """Note which pixels have data."""
        first = records["scale"] if self.stored_as == "int8" else records["values"][:, 0]
        self.valid[numbers] = np.isfinite(first)

    def _records(self, runs: Runs) -> NDArray[Any]:
        records = np.empty(runs.pixels, self._record)
        at = 0
        with self.path.open("rb", buffering=0) as file:
            for first, length in zip(*(each.tolist() for each in runs), strict=True):
                file.seek(first * self._record.itemsize)
                records[at : at + length] = np.frombuffer(
                    file.read(length * self._record.itemsize), self._record
                )
                at += length
        return records

    def read(self, runs: Runs) -> Pixels:
        """The pixels of runs, one after the other."""
        records = self._records(runs)
        pairs = zip(*(each.tolist() for each in runs), strict=True)
        valid = np.concatenate(
            [np.zeros(0, bool), *(self.valid[first : first + length] for first, length in pairs)]
        )
        embeddings = records["values"] * records["scale"][:, None]
        embeddings = np.where(valid[:, None], embeddings, np.float32(np.nan)).astype(np.float32, copy=False)
        return Pixels(embeddings, records["observations"])
