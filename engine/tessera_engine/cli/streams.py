"""The streams of a process that nobody reads any more: messages that can't be written don't end the work."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class _Heedless:
    """A stream to which writing never fails: the log's disk is full, the terminal was closed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            written: int = self._stream.write(text)
        except OSError:
            return len(text)
        return written

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def prepare_streams() -> None:
    """Make the standard streams usable, however the process was started.

    A closed one (`2>&-`) is opened as nothing: otherwise the next file that is opened takes its number, and what a
    library writes to stderr ends up in that file. A terminal that can't show every character shows the others.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8", newline="\n")  # noqa: SIM115, PTH123 - until the process ends
    elif not isinstance(sys.stderr, _Heedless):
        sys.stderr = _Heedless(sys.stderr)  # what it lacks it takes from the stream
