"""Small staged results for the tests of everything that reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from made_up import CRS, ORIGIN
from numpy.typing import NDArray

from tessera_engine.files.staging import CODE_NODATA, Staging
from tessera_engine.scene import Grid


def landscape(height: int, width: int, dim: int = 16, seed: int = 0) -> NDArray[np.float32]:
    """(height, width, dim) smooth embeddings with noise; a corner and single pixels have no data (NaN)."""
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[:height, :width]
    waves = [
        np.sin(row / rng.uniform(8, 40) + rng.uniform(0, 6)) * np.cos(col / rng.uniform(8, 40))
        for _ in range(6)
    ]
    embedding = np.stack(waves, axis=-1) @ rng.normal(size=(6, dim)) + 0.1 * rng.normal(
        size=(height, width, dim)
    )
    embedding[: height // 5, : width // 4] = np.nan
    embedding[rng.random((height, width)) < 0.01] = np.nan
    return embedding.astype(np.float32)


def stage(
    folder: Path,
    embedding: NDArray[np.float32],
    stored_as: str = "int8",
    grid: Grid | None = None,
    colours: NDArray[np.uint16] | None = None,
) -> Staging:
    """Stage embeddings whole, on a grid in UTM unless another one is given, and true colours where they are given."""
    folder.mkdir(parents=True, exist_ok=True)
    height, width, dim = embedding.shape
    grid = grid or Grid(width, height, CRS, ORIGIN)
    staging = Staging.create(folder, grid, dim, stored_as, colours is not None)
    if staging.colours is not None:
        staging.colours.write(grid.window, colours)
    valid = np.isfinite(embedding[..., 0])
    counts = np.zeros((height, width, 2), np.uint16)
    counts[valid] = np.random.default_rng(1).integers(1, 300, (valid.sum(), 2))
    staging.observations.write(grid.window, counts)
    if staging.scales is None:
        staging.embeddings.write(grid.window, embedding)
        return staging
    scales = np.abs(embedding).max(axis=-1) / np.float32(127)
    codes = np.nan_to_num(np.rint(embedding / scales[..., None]), nan=CODE_NODATA).astype(np.int8)
    staging.embeddings.write(grid.window, codes)
    staging.scales.write(grid.window, scales)
    return staging
