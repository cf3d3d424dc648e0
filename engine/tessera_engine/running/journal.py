"""The journal of a run: what it is, and which windows are finished, so that it can go on after any interruption.

A text file with a line a record: a checksum and the record as JSON. The first record says what the run is, each other
one that a window's staged bytes are on the disk. A record counts once it is on the disk itself; power that goes while
it is written leaves a torn last line, which is as if it hadn't been written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tessera_engine.errors import TesseraError
from tessera_engine.files.durable import sync_folder
from tessera_engine.scene import Window

FORMAT = 1
"""Of the file; another one isn't read."""

_CHECKSUM_DIGITS = 16


@dataclass(frozen=True)
class Finished:
    """A finished window.

    Attributes:
        with_data: its pixels that have an embedding.
        sha256: hex, of its staged bytes, see `tessera_engine.files.staging.Staging.checksum`.
    """

    with_data: int
    sha256: str


@dataclass
class Journal:
    """A run's records, in memory and on disk.

    Attributes:
        path: the file.
        identity: what the run is, a word and a value each; runs that differ in any can't be mixed.
        window_pixels: the size that windows were cut to.
        finished: the windows that are.
        complete: whether the output was made and only had to be given its name.
        damaged: numbers of lines that couldn't be read when the journal was opened; their windows aren't finished.
    """

    path: Path
    identity: Mapping[str, str]
    window_pixels: int
    finished: dict[Window, Finished] = field(default_factory=dict)
    complete: bool = False
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
            if first is None or first["format"] != FORMAT:
                raise ValueError
            identity = {str(word): str(value) for word, value in first["identity"].items()}
            journal = cls(path, identity, int(first["window_pixels"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise TesseraError(
                f"{path} doesn't say which run it is of (its first line is damaged or of another version); "
                "give --restart to begin anew"
            ) from None
        for number, line in enumerate(lines[1:], 2):
            record = _record(line)
            if record is not None and journal._take(record):
                continue
            if number < len(lines):  # what follows the last line's end is nothing, or a record cut short
                journal.damaged.append(number)
        return journal

    def _take(self, record: dict[str, Any]) -> bool:
        """Whether it is a record as this class writes it."""
        try:
            if record.get("complete") is True:
                self.complete = True
            else:
                window = Window(*(int(n) for n in record["window"]))
                self.finished[window] = Finished(int(record["with_data"]), str(record["sha256"]))
        except (KeyError, TypeError, ValueError):
            return False
        return True

    def save(self) -> None:
        """Write all records anew, in one step."""
        lines = [
            _line({"format": FORMAT, "identity": dict(self.identity), "window_pixels": self.window_pixels})
        ]
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

    def add_complete(self) -> None:
        """Record that the output is made, and on the disk."""
        self._append(_line({"complete": True}))
        self.complete = True

    def _append(self, line: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def _window_line(window: Window, finished: Finished) -> bytes:
    return _line(
        {"window": list(map(int, window)), "with_data": int(finished.with_data), "sha256": finished.sha256}
    )


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, sort_keys=True).encode()
    return _checksum(text) + b" " + text + b"\n"


def _record(line: bytes) -> dict[str, Any] | None:
    """None for a line that isn't whole."""
    checksum, _, text = line.partition(b" ")
    if checksum != _checksum(text):
        return None
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:_CHECKSUM_DIGITS].encode()
