"""Reading windows of .npy files, whose headers are checked first.

Plain reads, not memory maps: with a map, a truncated file or an unplugged drive ends the process with SIGBUS, and the
mapped pages count as the process's memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.files.npy_header import bytes_of, read_npy_header
from tessera_engine.scene import Window


class NpyRaster:
    """A (T, H, W, ...) array in an .npy file, read by windows."""

    def __init__(self, path: Path, dtypes: tuple[str, ...], trailing: tuple[int, ...]) -> None:
        """Open the file's header and check it.

        Args:
            path: the file.
            dtypes: names of the allowed dtypes.
            trailing: how the shape must continue after (T, H, W).

        Raises:
            InputError: the file is missing, not an .npy file, truncated, or has another dtype or shape.
        """
        self.path = path
        self.shape, self.dtype, self._start = _read_header(path)
        if self.dtype.name not in dtypes or self.dtype.byteorder == ">":
            raise InputError(
                f"{path} has dtype {self.dtype}, expected {' or '.join(dtypes)}: "
                "TESSERA needs the original integer values, not floats"
                if self.dtype.kind == "f"
                else f"{path} has dtype {self.dtype}, expected {' or '.join(dtypes)}"
            )
        if len(self.shape) != 3 + len(trailing) or self.shape[3:] != trailing:
            expected = ", ".join(["dates", "height", "width", *map(str, trailing)])
            raise InputError(f"{path} has shape {self.shape}, expected ({expected})")
        self._pixel = self.dtype.itemsize * int(np.prod(self.shape[3:], dtype=np.int64))

    def read(self, window: Window, steps: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """The window at every date, or at some: (T, height, width, ...), of the file's dtype.

        Args:
            window: which pixels.
            steps: (T,) which of the file's dates; None: all.

        Raises:
            InputError: the file has become shorter since it was opened.
        """
        every, height, width = self.shape[:3]
        chosen = range(every) if steps is None else steps.tolist()
        block = np.empty((len(chosen), window.height, window.width, *self.shape[3:]), self.dtype)
        if block.size == 0:
            return block
        rows_at_once = window.height if window.width == width else 1
        # One run of bytes for each date and each group of rows that are adjacent in the file
        runs = block.reshape(len(chosen), window.height // rows_at_once, -1).view(np.uint8)
        with self.path.open("rb", buffering=0) as file:
            for t, step in enumerate(chosen):
                for i in range(runs.shape[1]):
                    row = window.row + i * rows_at_once
                    file.seek(self._start + ((step * height + row) * width + window.col) * self._pixel)
                    if file.readinto(runs[t, i].data) != runs.shape[2]:
                        raise InputError(
                            f"{self.path} became shorter while it was being read; copy the scene again"
                        )
        return block


def _read_header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, dtype and the byte at which the data begin."""
    if not path.is_file():
        raise InputError(f"{path} is missing")
    try:
        with path.open("rb") as file:
            shape, dtype, start = read_npy_header(file)
    except ValueError as error:
        raise InputError(
            f"{path} is not a NumPy .npy file of plain numbers: {error}; save it with numpy.save"
        ) from None
    expected = start + bytes_of(shape, dtype)
    size = path.stat().st_size
    if size != expected:
        raise InputError(
            f"{path} has {size:,} bytes, expected {expected:,} from its header: it is "
            f"{'truncated' if size < expected else 'damaged'}; copy it again"
        )
    return shape, dtype, start


def read_doys(path: Path, steps: int, of: Path) -> NDArray[np.int32]:
    """Read days of year and check them: (T,) int32 in 1..366.

    Args:
        path: the .npy file.
        steps: expected number of days.
        of: the file with that number of dates, for messages.

    Raises:
        InputError: the file is missing, has another length, or has values that are not whole numbers or out of range.
    """
    shape, dtype, start = _read_header(path)
    if dtype.kind not in "iuf":
        raise InputError(f"{path} has dtype {dtype}, expected days of year as whole numbers")
    if shape != (steps,):
        raise InputError(f"{path} has shape {shape}, expected ({steps},) for the {steps} dates of {of.name}")
    values: NDArray[Any] = np.fromfile(path, dtype, steps, offset=start)
    bad = ~((values >= 1) & (values <= 366) & (values == np.floor(values)))  # NaN fails every comparison
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{path} has day of year {values[at]} at position {at}, expected whole numbers from 1 to 366"
        )
    days: NDArray[np.int32] = values.astype(np.int32)
    return days
