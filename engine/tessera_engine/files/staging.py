"""Staging: arrays on the disk that hold finished windows until they are written as the output."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from tessera_engine.errors import TesseraError
from tessera_engine.files.durable import sync_file
from tessera_engine.files.npy_header import read_npy_header
from tessera_engine.scene import Grid, Window

Block = dict[str, NDArray[Any]]
"""One window of each staged array, by the array's name: (height, width, ...)."""

CODE_NODATA = -128
"""int8 code of a pixel without any observation; codes of data are -127..127."""


ROW_VALUES = 1 << 20
"""Pixels that are read at a time where single values of all pixels are counted."""


class RasterFile:
    """A (height, width, ...) array in an .npy file, read and written by windows.

    It uses plain file access, not a memory map: mapped pages count as this process's memory, and the arrays are as
    large as the scene; and where a mapped file is cut short or its drive unplugged, the system ends the process.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        # Plain ints: numpy's would be written to the .npy header as "np.int64(7)", which nothing can read.
        self.path, self.shape, self.dtype = path, tuple(int(n) for n in shape), np.dtype(dtype)
        self._pixel = self.dtype.itemsize * int(np.prod(self.shape[2:], dtype=np.int64))

    @classmethod
    def create(cls, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], fill: float) -> RasterFile:
        """Make the file, filled with `fill`."""
        raster = cls(path, shape, dtype)
        with path.open("wb") as file:
            raster._fill(file, 0, fill)
        return raster

    @classmethod
    def mend(cls, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], fill: float) -> RasterFile:
        """Reuse a file that a run left: write its header again, and fill what is missing at its end."""
        if not path.exists():
            return cls.create(path, shape, dtype, fill)
        raster = cls(path, shape, dtype)
        with path.open("r+b") as file:
            rows = (file.seek(0, os.SEEK_END) - raster._header_bytes) // (raster._pixel * raster.shape[1])
            file.seek(0)
            raster._fill(file, min(max(0, rows), raster.shape[0]), fill)
            file.truncate()
        return raster

    @property
    def _header_bytes(self) -> int:
        header = io.BytesIO()
        self._write_header(header)
        return header.tell()

    def _write_header(self, file: BinaryIO) -> None:
        header = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": self.shape}
        npy.write_array_header_1_0(file, header)

    def _fill(self, file: BinaryIO, first: int, fill: float) -> None:
        """Write the header, and `fill` into row `first` and all rows after it."""
        self._write_header(file)
        row = np.full(self.shape[1:], fill, self.dtype).tobytes()
        file.seek(first * len(row), os.SEEK_CUR)
        for _ in range(first, self.shape[0]):
            file.write(row)

    def check(self) -> None:
        """Make sure that the file is this array, and whole.

        Raises:
            TesseraError: it isn't, or can't be read.
        """
        expected = self._pixel * self.shape[0] * self.shape[1]
        try:
            with self.path.open("rb") as file:
                there = -self._data_start(file) + file.seek(0, os.SEEK_END)
        except OSError as error:
            raise TesseraError(f"can't read {self.path}: {error}; make or copy it again") from None
        if there < expected:
            raise TesseraError(
                f"{self.path} has {there:,} bytes of data, expected {expected:,}: it was cut short; make or copy it "
                "again"
            )

    def sync(self) -> None:
        """Wait until everything that was written is on the disk."""
        sync_file(self.path)

    def write(self, window: Window, block: NDArray[Any]) -> None:
        """Write a (height, width, ...) block at its place.

        Raises:
            ValueError: the window lies outside, or the block has another shape.
            TesseraError: the file isn't the one that was created.
        """
        self._check_inside(window)
        expected = (window.height, window.width, *self.shape[2:])
        if block.shape != expected:
            raise ValueError(f"a block of shape {block.shape} can't fill {window}, which takes {expected}")
        block = np.ascontiguousarray(block, self.dtype)
        with _named(self.path), self.path.open("r+b") as file:
            start = self._data_start(file)
            for i in range(window.height):
                file.seek(start + ((window.row + i) * self.shape[1] + window.col) * self._pixel)
                file.write(block[i])

    def read(self, window: Window, step: int = 1) -> NDArray[Any]:
        """Read the block of a window, or every `step`-th row and column of it from the upper left corner.

        Returns:
            (ceil(height / step), ceil(width / step), ...) in the file's dtype.

        Raises:
            ValueError: the window lies outside.
            TesseraError: the file isn't the one that was created, was cut short, or can't be read.
        """
        self._check_inside(window)
        size = (-(-window.height // step), -(-window.width // step))
        block = np.empty((*size, *self.shape[2:]), self.dtype)
        try:
            with self.path.open("rb", buffering=0) as file:
                start = self._data_start(file)
                if step == 1 and window.width == self.shape[1]:  # one run of bytes
                    self._read_run(file, start, window, 0, block)
                    return block
                row = np.empty((window.width, *self.shape[2:]), self.dtype)
                for i in range(size[0]):
                    self._read_run(file, start, window, i * step, row if step > 1 else block[i])
                    if step > 1:
                        block[i] = row[::step]
        except OSError as error:
            raise TesseraError(f"can't read {self.path}: {error.strerror}; make or copy it again") from None
        return block

    def _read_run(self, file: BinaryIO, start: int, window: Window, i: int, out: NDArray[Any]) -> None:
        """Fill an array, contiguous in memory, with the values from row `i` of a window on."""
        file.seek(start + ((window.row + i) * self.shape[1] + window.col) * self._pixel)
        filled, parts = 0, out.reshape(-1).view(np.uint8)
        while filled < len(parts):
            got = file.readinto(parts[filled:].data)  # type: ignore[attr-defined]
            if not got:
                row = window.row + i + filled // (window.width * self._pixel)
                raise TesseraError(
                    f"{self.path} ends within row {row} of {self.shape[0]}: it was cut short; make or copy it again"
                )
            filled += got

    def _check_inside(self, window: Window) -> None:
        height, width = self.shape[:2]
        if (
            min(window.col, window.row) < 0
            or window.col + window.width > width
            or window.row + window.height > height
        ):
            raise ValueError(f"{window} lies outside {self.path}, which has {width} x {height} pixels")

    def _data_start(self, file: BinaryIO) -> int:
        try:
            shape, dtype, start = read_npy_header(file)
        except ValueError as error:
            raise TesseraError(f"{self.path} is damaged ({error}); make or copy it again") from None
        if (shape, dtype) != (self.shape, self.dtype):
            raise TesseraError(
                f"{self.path} has {dtype} {shape}, expected {self.dtype} {self.shape}; make or copy it again"
            )
        return start


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of an open file don't say which file it is."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@dataclass(frozen=True)
class Staging:
    """The staged arrays of one run.

    Attributes:
        grid: the output's grid.
        embeddings: (height, width, K) int8 codes (nodata `CODE_NODATA`) or float32 (nodata NaN).
        scales: (height, width) float32, NaN = nodata; None when float32 is stored.
        observations: (height, width, 2) uint16, clear S2 and valid S1 observations of the pixel.
        colours: (height, width, 3) uint16, the land in true colour: red, green and blue reflectance * 10000, 0 =
            never clear; None where no picture needs it.
        quality: (height, width, bands) uint16, see `tessera_engine.formats.layers.QUALITY_BANDS`; 0 where no window of
            the run was; None where it isn't known.
    """

    grid: Grid
    embeddings: RasterFile
    scales: RasterFile | None
    observations: RasterFile
    colours: RasterFile | None = None
    quality: RasterFile | None = None

    @classmethod
    def create(
        cls,
        folder: Path,
        grid: Grid,
        dim: int,
        stored_as: str,
        colours: bool = False,
        quality: int = 0,
        name: str = "",
    ) -> Staging:
        """Create the staged arrays in `folder`, all nodata.

        Args:
            folder: where their files lie.
            grid: the output's.
            dim: length of the stored embedding.
            stored_as: `int8` or `float32`.
            colours: whether true colours are staged.
            quality: bands of the quality layer; 0: none is staged.
            name: what the files' names begin with, where several stagings lie in a folder.
        """
        return cls._make(RasterFile.create, (folder, name), grid, dim, stored_as, colours, quality)

    @classmethod
    def mend(
        cls,
        folder: Path,
        grid: Grid,
        dim: int,
        stored_as: str,
        colours: bool = False,
        quality: int = 0,
        name: str = "",
    ) -> Staging:
        """Reuse the staged arrays that a run left in `folder`, see `create`; missing parts become nodata."""
        return cls._make(RasterFile.mend, (folder, name), grid, dim, stored_as, colours, quality)

    @classmethod
    def _make(
        cls,
        make: Callable[..., RasterFile],
        place: tuple[Path, str],
        grid: Grid,
        dim: int,
        stored_as: str,
        colours: bool,
        quality: int,
    ) -> Staging:
        folder, name = place
        folder.mkdir(exist_ok=True)
        size = (grid.height, grid.width)
        int8 = stored_as == "int8"
        fill = CODE_NODATA if int8 else np.nan
        return cls(
            grid,
            make(folder / f"{name}embeddings.npy", (*size, dim), np.dtype(stored_as), fill),
            make(folder / f"{name}scales.npy", size, np.dtype(np.float32), np.nan) if int8 else None,
            make(folder / f"{name}observations.npy", (*size, 2), np.dtype(np.uint16), 0),
            make(folder / f"{name}colours.npy", (*size, 3), np.dtype(np.uint16), 0) if colours else None,
            make(folder / f"{name}quality.npy", (*size, quality), np.dtype(np.uint16), 0)
            if quality
            else None,
        )

    @property
    def _rasters(self) -> dict[str, RasterFile]:
        rasters = {
            "embeddings": self.embeddings,
            "scales": self.scales,
            "observations": self.observations,
            "colours": self.colours,
            "quality": self.quality,
        }
        return {key: raster for key, raster in rasters.items() if raster is not None}

    @property
    def keys(self) -> list[str]:
        """The names of the arrays."""
        return list(self._rasters)

    def write_block(self, window: Window, block: Block) -> None:
        """Write a block at its place, and wait until it is on the disk."""
        for key, raster in self._rasters.items():
            raster.write(window, block[key])
            raster.sync()

    def read_block(self, window: Window) -> Block:
        """Read the block of a window."""
        return {key: raster.read(window) for key, raster in self._rasters.items()}

    @property
    def dim(self) -> int:
        """Length of the stored embedding."""
        return self.embeddings.shape[2]

    def read_embeddings(self, window: Window, step: int = 1) -> NDArray[np.float32]:
        """Read the embeddings of a window, dequantised where codes are stored; NaN = nodata.

        Returns:
            (ceil(height / step), ceil(width / step), K) float32, see `RasterFile.read`.
        """
        block = self.embeddings.read(window, step).astype(np.float32, copy=False)
        if self.scales is not None:
            block *= self.scales.read(window, step)[..., None]
        return block


def count_with_data(staging: Staging) -> int:
    """Pixels that have an embedding."""
    found, width = 0, staging.grid.width
    for window in staging.grid.window.blocks(width, max(1, ROW_VALUES // width)):
        found += int(staging.observations.read(window).any(axis=2).sum())
    return found


def checksum(block: Block) -> str:
    """Hex sha256 of a block."""
    digest = hashlib.sha256()
    for key in sorted(block):
        digest.update(f"{key} {block[key].dtype.str} {block[key].shape}\n".encode())
        digest.update(np.ascontiguousarray(block[key]))
    return digest.hexdigest()


def checksum_of_all(checksums: Sequence[str]) -> str:
    """The checksum of the blocks of one window in several stagings: of one, its own."""
    if len(checksums) == 1:
        return checksums[0]
    return hashlib.sha256(" ".join(checksums).encode("ascii")).hexdigest()
