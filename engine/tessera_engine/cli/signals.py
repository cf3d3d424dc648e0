"""Signals that end a command at once, with one last line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from tessera_engine.cli import console
from tessera_engine.files import last_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_CLOSED = getattr(signal, "SIGHUP", None)
"""The terminal was closed, or the connection to it was lost. `nohup` lets a process go on."""

SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    *filter(None, [getattr(signal, "SIGBREAK", None)]),
    *([_CLOSED] if _CLOSED and signal.getsignal(_CLOSED) is not signal.SIG_IGN else []),
)
"""Which ask a process to end. Windows raises SIGBREAK for Ctrl-Break and when the window is closed."""

LISTEN_SECONDS = 0.2
"""Seconds between two looks for Ctrl-C: on Windows a waiting thread gets the signal only when it wakes up."""

PUBLISHED = "the new result is there; give the same command again to remove what is left of the work on it"


def exit_code_of(number: int) -> int:
    """The exit code of a process that a signal of `SIGNALS` ends; Ctrl-Break counts as Ctrl-C."""
    return 128 + (number if number in (signal.SIGTERM, _CLOSED) else signal.SIGINT)


class _Stop(BaseException):
    """The process received a signal that asks it to end."""

    def __init__(self, number: int, published: bool) -> None:
        self.exit_code = exit_code_of(number)
        self.published = published


@contextmanager
def interruptible(advice: str, published: str = PUBLISHED) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal end the process at once, with exit code 130, 143 or 129.

    A signal that comes when everything is done is ignored, see `tessera_engine.files.last_step`.

    Args:
        advice: what the last line says after "interrupted" if no result was published: what is left, and how to
            continue.
        published: what it says if one was.
    """

    def stop(number: int, frame: object) -> None:
        stage = last_step.end(number)
        if stage is None:
            return
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # a second signal must not disturb the last line
        raise _Stop(number, stage is last_step.Stage.PUBLISHED)

    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        yield
    except BaseException as error:
        # What a signal interrupts may fail while it is tidied up; it is removed by the next command then
        stopped: BaseException | None = error
        while stopped is not None and not isinstance(stopped, _Stop):
            stopped = stopped.__context__
        if stopped is None:
            raise
        console.say(f"interrupted: {published if stopped.published else advice}")
        with suppress(OSError):  # the terminal may be gone
            sys.stdout.flush()
            sys.stderr.flush()
        # Not sys.exit, which waits for threads that may be deep in a kernel. Everything to keep is on the disk already.
        os._exit(stopped.exit_code)
    finally:
        # Only the end of the process is left. A signal now must not make a finished run look interrupted
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)


def aside(work: Callable[[], T]) -> T:
    """Run `work` in another thread and return its result. This thread stays free for signals meanwhile."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    thread = threading.Thread(target=run, name="tessera-work", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(LISTEN_SECONDS)
    return result.result()
