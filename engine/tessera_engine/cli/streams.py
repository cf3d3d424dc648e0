"""The streams of a process: messages that can't be written don't end the work, results that can't be written do."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tessera_engine.errors import TesseraError


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


class _Results:
    """Standard output, written at once: what can't be written there is an error that names it."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._failed = stream, False

    def write(self, text: str) -> int:
        with self._named():
            written: int = self._stream.write(text)
            if text:
                self._stream.flush()
        return written

    def flush(self) -> None:
        if not self._failed:  # Python flushes once more when the process ends
            with self._named():
                self._stream.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:  # whoever reads it has enough, such as `head`
            raise
        except OSError as error:
            self._failed = True
            why = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise TesseraError(
                f"standard output can't be written: {why}; send it to another file or program"
            ) from None

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
            # The lowest number that is free. Nothing can be written to standard output, so that its loss is noticed
            os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", newline="\n", closefd=False)  # noqa: SIM115 - until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8", newline="\n")  # noqa: SIM115, PTH123 - until the process ends
    elif not isinstance(sys.stderr, _Heedless):
        sys.stderr = _Heedless(sys.stderr)  # what it lacks it takes from the stream
    if not isinstance(sys.stdout, _Results):
        sys.stdout = _Results(sys.stdout)
