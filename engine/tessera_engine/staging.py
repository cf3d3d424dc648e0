"""Staging: where finished windows lie until the writers turn them into the output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from tessera_engine.scene import Grid, Window

CODE_NODATA = -128
"""int8 code of a pixel without any observation; codes of data are -127..127."""


class RasterFile:
    """A (height, width, ...) array in an .npy file, read and written by windows.

    Plain file access, not a memory map: pages of a map count as this process's memory, and the staged arrays
    are as large as the scene.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self._pixel = self.dtype.itemsize * int(np.prod(shape[2:], dtype=np.int64))

    @classmethod
    def create(cls, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], fill: float) -> RasterFile:
        """Make the file, filled with `fill`."""
        raster = cls(path, shape, dtype)
        with path.open("wb") as file:
            header = {"descr": npy.dtype_to_descr(raster.dtype), "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(file, header)
            row = np.full(shape[1:], fill, raster.dtype).tobytes()
            for _ in range(shape[0]):
                file.write(row)
        return raster

    def _start(self) -> int:
        with self.path.open("rb") as file:
            npy.read_magic(file)
            npy.read_array_header_1_0(file)
            return file.tell()

    def write(self, window: Window, block: NDArray[Any]) -> None:
        """Put a (height, width, ...) block in its place."""
        block = np.ascontiguousarray(block, self.dtype)
        start = self._start()
        with self.path.open("r+b") as file:
            for i in range(window.height):
                file.seek(start + ((window.row + i) * self.shape[1] + window.col) * self._pixel)
                file.write(block[i].tobytes())

    def read(self, window: Window) -> NDArray[Any]:
        """The (height, width, ...) block of a window."""
        block = np.empty((window.height, window.width, *self.shape[2:]), self.dtype)
        start = self._start()
        with self.path.open("rb") as file:
            for i in range(window.height):
                file.seek(start + ((window.row + i) * self.shape[1] + window.col) * self._pixel)
                block[i] = np.frombuffer(file.read(window.width * self._pixel), self.dtype).reshape(
                    block.shape[1:]
                )
        return block


@dataclass(frozen=True)
class Staging:
    """The staged arrays of one run.

    Attributes:
        grid: the output's grid.
        embeddings: (height, width, K) int8 codes (nodata `CODE_NODATA`) or float32 (nodata NaN).
        scales: (height, width) float32, NaN = nodata; None when float32 is stored.
        observations: (height, width, 2) uint16, clear S2 and valid S1 observations of the pixel.
    """

    grid: Grid
    embeddings: RasterFile
    scales: RasterFile | None
    observations: RasterFile

    @classmethod
    def create(cls, folder: Path, grid: Grid, dim: int, store: str) -> Staging:
        """Make the staged arrays in `folder`, all nodata. `store` is `int8` or `float32`."""
        size = (grid.height, grid.width)
        int8 = store == "int8"
        return cls(
            grid,
            RasterFile.create(
                folder / "embeddings.npy",
                (*size, dim),
                np.dtype(store),
                CODE_NODATA if int8 else np.nan,
            ),
            RasterFile.create(folder / "scales.npy", size, np.dtype(np.float32), np.nan) if int8 else None,
            RasterFile.create(folder / "observations.npy", (*size, 2), np.dtype(np.uint16), 0),
        )

    @property
    def dim(self) -> int:
        """Length of the stored embedding."""
        return self.embeddings.shape[2]

    def read_embeddings(self, window: Window) -> NDArray[np.float32]:
        """(height, width, K) float32, dequantised where codes are stored; NaN = nodata."""
        block = self.embeddings.read(window).astype(np.float32)
        if self.scales is not None:
            block *= self.scales.read(window)[..., None]
        return block
