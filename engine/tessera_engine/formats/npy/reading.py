"""Reading the published layout, memory-mapped: windows are views, not copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import TesseraError, reason
from tessera_engine.files.npy_header import bytes_of, read_npy_header
from tessera_engine.formats.embeddings.base import StoredBlock, asset_path, item_grid
from tessera_engine.scene import Grid, Window


@dataclass(frozen=True)
class NpySource:
    """The three mapped arrays of an output."""

    grid: Grid
    dim: int
    stored_as: str
    embeddings: NDArray[Any]
    scales: NDArray[np.float32] | None
    observations: NDArray[np.uint16]
    block: int = 1

    def read(self, window: Window, dim: int) -> StoredBlock:
        """See `tessera_engine.formats.embeddings.base.Source`; a view of the file."""
        part = _part(window)
        return StoredBlock(
            self.embeddings[part][..., :dim], None if self.scales is None else self.scales[part]
        )

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """See `tessera_engine.formats.embeddings.base.Source`."""
        return self.observations[_part(window)]


def open_source(path: Path, item: Mapping[str, Any]) -> NpySource:
    """Map the arrays of an output."""
    grid, dim = item_grid(item), int(item["properties"]["tessera:dim"])
    stored_as = item["properties"]["tessera:store"]
    size = (grid.height, grid.width)
    return NpySource(
        grid,
        dim,
        stored_as,
        mapped(asset_path(path, item, "embeddings"), (*size, dim), stored_as),
        mapped(asset_path(path, item, "scales"), size, "float32") if stored_as == "int8" else None,
        mapped(asset_path(path, item, "observations"), (*size, 2), "uint16"),
    )


def mapped(path: Path, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """The array of a file, mapped into memory.

    Raises:
        TesseraError: it isn't an array of that shape and dtype.
    """
    try:
        with path.open("rb") as file:
            found, kind, start = read_npy_header(file)
        if (found, kind) != (shape, np.dtype(dtype)):
            raise TesseraError(
                f"{path} has {kind} {found}, expected {dtype} {shape}; make or copy the output again"
            )
        if path.stat().st_size < start + bytes_of(shape, kind):
            raise ValueError("it was cut short")
        # A plain array on the mapping: numpy.memmap's own bookkeeping takes longer than reading a small window
        return np.asarray(np.memmap(path, kind, "r", start, shape))
    except (ValueError, OSError) as error:
        raise TesseraError(f"can't read {path}: {reason(error)}; make or copy the output again") from None


def _part(window: Window) -> tuple[slice, slice]:
    return slice(window.row, window.row + window.height), slice(window.col, window.col + window.width)
