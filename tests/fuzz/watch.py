"""What is watched while a parser has an input: its messages, what it prints, where it writes, its time and memory."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tessera_engine.cli.console import keep_libraries_plain
from tessera_engine.errors import TesseraError, plain

SECONDS, GROWTH = 5.0, 200.0
"""Longest that an input may take, of CPU time or waiting; MB that the process may grow by one."""

LONGEST = 2000
"""Characters of a message."""

KINDS = ("traceback", "crash", "hang", "growth", "control", "outside", "wrong")
"""What may go wrong, in the order of the table; `wrong`: accepted or refused against what is promised."""


_OUR_PROGRAMS = (os.path.basename(sys.executable), "uname")
"""What may be started: the process in which foreign cubes are read, and what Python asks the system with."""


class Broke(Exception):
    """A parser did what it mustn't.

    Attributes:
        kind: one of `KINDS`.
    """

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


@dataclass
class Place:
    """Where a parser works: folders of its own.

    Attributes:
        made: what `surroundings.make` made; only read.
        inputs: the input is put here. From `ready` on nothing may be written here.
        out: results may be written here.
    """

    made: Path
    inputs: Path
    out: Path
    there: set[str] | None = None

    def ready(self) -> None:
        """The input is in its place; what comes now is the engine's."""
        self.there = _paths(self.inputs)


def _paths(folder: Path) -> set[str]:
    return {f"{place}/{name}" for place, folders, files in os.walk(folder) for name in (*folders, *files)}


def each(*steps: Callable[[], Any]) -> None:
    """Do all of it, whatever refuses the input; the first refusal counts."""
    refused = None
    for step in steps:
        try:
            step()
        except TesseraError as error:
            check_message(error)
            refused = refused or error
    if refused:
        raise refused


def check_message(error: TesseraError) -> None:
    """Make sure that a message is one plain line."""
    text = str(error)
    if plain(text) != text:
        raise Broke("control", f"the message isn't plain: {text[:300]!r}") from error
    if not text or len(text) > LONGEST:
        raise Broke("control", f"the message has {len(text):,} characters: {text[:300]!r}") from error


class Watch:
    """Watches a process from inside. Made once in a process, which it changes for good."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._inputs, self._out = (str(each.resolve()) for each in (place.inputs, place.out))
        self._outside: list[str] = []
        self._printed = os.open(
            place.out.parent / f"printed-{os.getpid()}", os.O_RDWR | os.O_CREAT | os.O_TRUNC
        )
        sys.addaudithook(self._audit)
        keep_libraries_plain()  # as the command line does

    def attempt(self, parse: Callable[[], None]) -> bool:
        """Let a parser try; whether it accepted the input.

        Raises:
            Broke: it did what it mustn't.
        """
        self._outside.clear()
        before, cpu, start = _resident(reset=True), time.process_time(), time.monotonic()
        self._place.there = None
        accepted = True
        with self._printing() as printed:
            try:
                parse()
            except TesseraError as error:
                check_message(error)
                accepted = False
            except Broke:
                raise
            except AssertionError:
                raise Broke("wrong", traceback.format_exc()) from None
            except Exception:
                raise Broke("traceback", traceback.format_exc()) from None
        text = printed().decode("utf-8", "surrogateescape")
        if any(plain(line) != line for line in text.split("\n")):
            raise Broke("control", f"was printed: {text[:300]!r}")
        if self._outside:
            raise Broke("outside", "; ".join(self._outside[:3]))
        assert self._place.there is not None or not accepted, "the parser never said that it is ready"
        if new := _paths(self._place.inputs) - (self._place.there or set()):
            raise Broke("outside", f"{sorted(new)} appeared beside the input")
        took = max(time.process_time() - cpu, 0.0)
        if took > SECONDS or time.monotonic() - start > 4 * SECONDS:
            raise Broke("hang", f"{took:.1f} s of CPU time")
        if (grown := _peak() - before) > GROWTH:
            raise Broke("growth", f"{grown:.0f} MB")
        return accepted

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or not (flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                return
            self._check(event, path)
        elif event in ("os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod"):
            self._check(event, arguments[0], arguments[-1])
        elif event in ("os.rename", "os.link", "os.symlink"):
            self._check(event, arguments[1])
            if event == "os.rename":
                self._check(event, arguments[0])
        elif event == "subprocess.Popen" and os.path.basename(arguments[0]) in _OUR_PROGRAMS:
            return
        elif event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec"):
            self._outside.append(f"{event} {arguments[:2]!r}")

    def _check(self, event: str, path: Any, folder: Any = -1) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        text = os.fsdecode(path)
        if not os.path.isabs(text):
            start = (
                os.getcwd()
                if not isinstance(folder, int) or folder < 0
                else os.readlink(f"/proc/self/fd/{folder}")
            )
            text = os.path.join(start, text)
        text = os.path.normpath(text)
        writable = (self._out,) if self._place.there is not None else (self._out, self._inputs)
        harmless = ("/dev/", "/proc/self/", *writable)
        if text and not text.startswith(harmless) and "__pycache__" not in text and "numba" not in text:
            self._outside.append(f"{event} {text!r}")

    @contextmanager
    def _printing(self) -> Iterator[Callable[[], bytes]]:
        """stdout and stderr of Python and of C libraries into a file; gives what was written."""
        kept = os.dup(1), os.dup(2)
        os.ftruncate(self._printed, 0)
        os.lseek(self._printed, 0, os.SEEK_SET)
        for number in (1, 2):
            os.dup2(self._printed, number)
        try:
            yield lambda: os.pread(self._printed, 100_000, 0)
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            for number, old in zip((1, 2), kept, strict=True):
                os.dup2(old, number)
                os.close(old)


def _resident(reset: bool = False) -> float:
    """MB in memory now; `reset` forgets the peak."""
    if reset:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(name):
                return int(line.split()[1]) / 1024
    return 0.0
