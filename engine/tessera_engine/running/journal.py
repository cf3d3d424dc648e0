"""The journal of a run: what the run is and which windows are finished, so that it can be resumed.

A text file with one record a line: a checksum and the record as JSON. The first record describes the run. Each other
record says that a window's staged bytes are on the disk, the last one that the output is complete. A power cut while a
record is written leaves a torn last line, which is ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tessera_engine.errors import TesseraError, quoted
from tessera_engine.files.document import Count, Damaged, Sha256, Size, check_fields, checked, parse
from tessera_engine.files.durable import sync_folder
from tessera_engine.scene import Window

FORMAT = 2
"""Of the file; other formats are refused. 1 had no checksums of what was read."""

FIRST: dict[str, Any] = {"identity": dict[str, str], "window_pixels": Size, "files": str}
WINDOW: dict[str, Any] = {
    "window": tuple[Count, Count, Size, Size],
    "with_data": Count,
    "sha256": Sha256,
    "read": dict[str, str],
}
COMPLETE: dict[str, Any] = {"item_sha256": Sha256}
"""The records: the first one, one of a finished window, and the last one."""

_CHECKSUM_DIGITS = 16

Sums = Mapping[str, str]
"""Checksums of what was read for a window, by sensor; see `tessera_engine.running.changes`."""


@dataclass(frozen=True)
class Finished:
    """A finished window.

    Attributes:
        with_data: its pixels that have an embedding.
        sha256: hex, of its staged bytes, see `tessera_engine.files.staging.checksum`.
        read: checksums of the observations that it was computed from.
    """

    with_data: int
    sha256: str
    read: Sums


@dataclass
class Journal:
    """A run's records, in memory and on disk.

    Attributes:
        path: the file.
        identity: what the run is: names and values. Runs that differ in any of them can't be mixed.
        window_pixels: the size that windows were cut to.
        files: the state of the scene's files when it was last compared with the finished windows, see
            `tessera_engine.running.changes`; empty before.
        finished: the finished windows.
        item_sha256: hex sha256 of the item.json of the complete output, which only has to get its name; empty until
            then.
        damaged: numbers of lines that couldn't be read when the journal was opened; their windows aren't finished.
    """

    path: Path
    identity: Mapping[str, str]
    window_pixels: int
    files: str = ""
    finished: dict[Window, Finished] = field(default_factory=dict)
    item_sha256: str = ""
    damaged: list[int] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Read a journal.

        Raises:
            TesseraError: its first record is damaged, or it isn't of this format.
        """
        lines = path.read_bytes().split(b"\n")
        first = _record(lines[0])
        try:
            if first is None:
                raise Damaged("it was cut short or changed")
            if first.get("format") != FORMAT:
                raise TesseraError(
                    f"{path} was begun by another version of tessera-engine (format {quoted(first.get('format'))}, "
                    f"expected {FORMAT}); finish it with that version, or give restart=True to start again"
                )
            check_fields(first, FIRST)
        except Damaged as error:
            raise TesseraError(
                f"{path} does not say which run it belongs to: its first line is damaged ({error}); give restart=True "
                "to start again"
            ) from None
        journal = cls(path, first["identity"], first["window_pixels"], first["files"])
        for number, line in enumerate(lines[1:], 2):
            record = _record(line)
            if record is not None and journal._take(record):
                continue
            if number < len(lines):  # after the last line's end there is nothing, or a record cut short
                journal.damaged.append(number)
        return journal

    def _take(self, record: dict[str, Any]) -> bool:
        """Whether this is a record as this class writes it."""
        try:
            if "item_sha256" in record:
                check_fields(record, COMPLETE)
                self.item_sha256 = record["item_sha256"]
            else:
                check_fields(record, WINDOW)
                window = Window(*record["window"])
                self.finished[window] = Finished(record["with_data"], record["sha256"], record["read"])
        except Damaged:
            return False
        return True

    def save(self) -> None:
        """Write all records again, in one step."""
        first = {
            "format": FORMAT,
            "identity": dict(self.identity),
            "window_pixels": self.window_pixels,
            "files": self.files,
        }
        lines = [_line(first)]
        lines += [_window_line(window, finished) for window, finished in self.finished.items()]
        fresh = self.path.with_name(f"{self.path.name}.new")
        with fresh.open("wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        sync_folder(self.path.parent)

    def add(self, window: Window, finished: Finished) -> None:
        """Record a window whose staged bytes are on the disk."""
        self._append(_window_line(window, finished))
        self.finished[window] = finished

    def add_complete(self, item_sha256: str) -> None:
        """Record that the output is complete and on the disk; its item.json has this hex sha256."""
        self._append(_line({"item_sha256": item_sha256}))
        self.item_sha256 = item_sha256

    def _append(self, line: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def _window_line(window: Window, finished: Finished) -> bytes:
    return _line(
        {
            "window": list(map(int, window)),
            "with_data": int(finished.with_data),
            "sha256": finished.sha256,
            "read": dict(finished.read),
        }
    )


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, sort_keys=True).encode()
    return _checksum(text) + b" " + text + b"\n"


def _record(line: bytes) -> dict[str, Any] | None:
    """None for a line that isn't complete."""
    checksum, _, text = line.partition(b" ")
    if checksum != _checksum(text):
        return None
    try:
        return checked(parse(text), dict[str, Any])
    except Damaged:
        return None


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:_CHECKSUM_DIGITS].encode()
