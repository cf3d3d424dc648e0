"""What a signal ends: a process whose result isn't there yet, or one that has published it and is tidying up.

Signals that come while a result gets its name wait until it has it. So the process can say which of the two is true,
and whatever it says, the same command given again finishes: beside a published result lies a record of the command that
made it. Once that record goes, the command is done, and signals are ignored.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum


class Stage(Enum):
    """Where the making of a result stands."""

    WORKING = "working"
    PUBLISHED = "published"
    DONE = "done"


class _State:
    """Of this process.

    Attributes:
        gate: held while the stage changes, and for good by a signal that ends the process.
        stage: of the latest result.
        ending: a signal ends the process.
        waiting: a signal that came while the stage changed.
    """

    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.stage = Stage.WORKING
        self.ending = False
        self.waiting: int | None = None


_state = _State()


def begin() -> None:
    """A result is going to be made."""
    if not _state.ending:
        _state.stage = Stage.WORKING


@contextmanager
def last_step(whole: bool) -> Iterator[None]:
    """Hold signals back while a result gets its name. Never returns in a thread of a process that a signal ends.

    Args:
        whole: it isn't only a part of a result.
    """
    with _changing():
        yield
        if whole:
            _state.stage = Stage.PUBLISHED


def is_ending() -> bool:
    """Whether a signal is ending the process."""
    return _state.ending


def done() -> bool:
    """The record of a published result is about to go. False: it has to stay, because a signal ends the process."""
    if _state.ending:
        return False
    with _changing():
        _state.stage = Stage.DONE
    return True


def end(number: int) -> Stage | None:
    """For the handler of a signal, in the main thread: the stage at which the process ends; None: it goes on.

    Args:
        number: of the signal. If the stage is just changing, the signal is raised again afterwards.
    """
    if not _state.gate.acquire(blocking=False):
        _state.waiting = number
        return None
    if _state.stage is Stage.DONE:
        _state.gate.release()
        return None
    _state.ending = True
    return _state.stage


@contextmanager
def _changing() -> Iterator[None]:
    _state.gate.acquire()
    try:
        yield
    finally:
        _state.gate.release()
        number, _state.waiting = _state.waiting, None
        if number is not None:
            signal.raise_signal(number)
