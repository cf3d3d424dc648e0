"""Completion marks: a small file for each finished cell, written last, which says what the cell is.

What is left to do follows from the marks alone. A mark has a checksum of itself and those of all files of its cell, so
a torn mark and a damaged cell are found; and what computed the cell, so that cells of other results are too.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.cluster.cells import cell_name
from tessera_engine.files.checksums import file_sha256
from tessera_engine.files.document import Count, Damaged, Sha256, Size, check_fields, checked, parse
from tessera_engine.files.durable import sync_folder
from tessera_engine.running.run import Computed
from tessera_engine.scene import Window

SUFFIX = ".mark"

MOST_BYTES = 16 << 20
"""Of a mark; one has some kilobytes."""

_FIELDS: dict[str, Any] = {
    "token": str,
    "cell": tuple[Count, Count, Size, Size],
    "pixels": Count,
    "with_data": list[Count],
    "few_clear": list[Count],
    "files": dict[str, Sha256],
    "window_pixels": Size,
    "read": Sha256,
    "computed": tuple[str, str, str],
    "probe": Sha256,
    "host": str,
    "seconds": float,
}


@dataclass(frozen=True)
class Mark:
    """A finished cell.

    Attributes:
        token: of the run.
        cell: its pixels, counted from the corner of the output.
        pixels: how many of them were to be embedded.
        with_data: those that have an embedding, for each period.
        few_clear: those that are flagged for their few clear dates, for each period.
        files: path in the run's folder -> hex sha256.
        window_pixels: the size of the windows that it was read in.
        read: hex sha256 over the checksums of all observations that the cell was computed from.
        computed: what computed it.
        probe: hex sha256 of what that computes of made-up pixels, see `tessera_engine.cluster.probe`.
        host: the machine.
        seconds: that it took.
    """

    token: str
    cell: Window
    pixels: int
    with_data: list[int]
    few_clear: list[int]
    files: Mapping[str, str]
    window_pixels: int
    read: str
    computed: Computed
    probe: str
    host: str
    seconds: float

    def damage(self, folder: Path) -> str | None:
        """Which file of the cell isn't as it was written, in words; None where all are.

        Args:
            folder: of the run.
        """
        for name, expected in self.files.items():
            try:
                found = file_sha256(folder / name)
            except OSError as error:
                return f"{folder / name} can't be read: {error.strerror}"
            if found != expected:
                return f"{folder / name} has changed since it was written"
        return None


def mark_path(folder: Path, cell: Window) -> Path:
    """The file of a cell's mark in the folder of the run's staged files."""
    return folder / f"{cell_name(cell)}{SUFFIX}"


def write_mark(folder: Path, mark: Mark) -> None:
    """Write a mark to the disk, in one step, when all files of its cell are there.

    Raises:
        OSError: it couldn't be written.
    """
    record = {name: getattr(mark, name) for name in _FIELDS}
    text = json.dumps(record, sort_keys=True).encode()
    fresh = folder / f"{cell_name(mark.cell)}.{uuid.uuid4().hex}.new"
    with fresh.open("wb") as file:
        file.write(hashlib.sha256(text).hexdigest().encode() + b" " + text + b"\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(mark_path(folder, mark.cell))
    sync_folder(folder)


def read_mark(folder: Path, cell: Window) -> Mark | None:
    """The mark of a cell; None where it has none.

    Raises:
        Damaged: there is one that isn't as it was written.
    """
    try:
        with mark_path(folder, cell).open("rb") as file:
            content = file.read(MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(error.strerror or str(error)) from None
    checksum, _, text = content.removesuffix(b"\n").partition(b" ")
    if hashlib.sha256(text).hexdigest().encode() != checksum:
        raise Damaged("it was cut short or changed")
    record = checked(parse(text), dict[str, Any])
    check_fields(record, _FIELDS)
    known = {name: record[name] for name in _FIELDS}
    mark = Mark(**known | {"cell": Window(*record["cell"]), "computed": Computed(*record["computed"])})
    if mark.cell != cell:
        raise Damaged(f"it is of the cell {tuple(mark.cell)}")
    return mark


class Checksums:
    """The checksums of millions of files, 40 bytes each; for `tessera_engine.files.checksums.folder_sha256`."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.uint8]] = []
        self._keys, self._values = np.empty(0, np.uint64), np.empty((0, _SHA256_BYTES), np.uint8)

    def add(self, files: Mapping[str, str]) -> None:
        """Remember files by their paths, each once."""
        rows = b"".join(_key(name) + bytes.fromhex(sha256) for name, sha256 in files.items())
        self._parts.append(np.frombuffer(rows, np.uint8).reshape(-1, _KEY_BYTES + _SHA256_BYTES))

    def __len__(self) -> int:
        return len(self._keys) + sum(map(len, self._parts))

    def __call__(self, name: str) -> str | None:
        """The hex sha256 of a file; None for one that isn't known."""
        if self._parts:
            self._sort()
        key = np.frombuffer(_key(name), "<u8")[0]
        at = int(np.searchsorted(self._keys, key))
        if at == len(self._keys) or self._keys[at] != key:
            return None
        digest: str = self._values[at].tobytes().hex()
        return digest

    def _sort(self) -> None:
        table = np.concatenate(self._parts)
        keys = np.concatenate([self._keys, np.ascontiguousarray(table[:, :_KEY_BYTES]).view("<u8")[:, 0]])
        order = np.argsort(keys)
        self._keys, self._parts = keys[order].astype(np.uint64), []
        self._values = np.concatenate([self._values, table[:, _KEY_BYTES:]])[order]
        if (self._keys[1:] == self._keys[:-1]).any():
            raise ValueError("two files have one key")


_KEY_BYTES, _SHA256_BYTES = 8, 32


def _key(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=_KEY_BYTES).digest()


def read_marks(folder: Path, cells: Sequence[Window]) -> Iterator[Mark]:
    """The marks of finished cells.

    Raises:
        Damaged: one isn't as it was written.
    """
    for cell in cells:
        mark = read_mark(folder, cell)
        if mark is None:
            raise Damaged(f"the mark of the cell {tuple(cell)} has gone")
        yield mark
