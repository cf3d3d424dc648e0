"""Notices when kernels are compiled, so that users can be told what they are waiting for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba.core import event


class _Listener(event.Listener):
    def __init__(self, first: Callable[[], None]) -> None:
        self._first: Callable[[], None] | None = first

    def on_start(self, event: object) -> None:
        if self._first is not None:
            first, self._first = self._first, None
            first()

    def on_end(self, event: object) -> None:
        pass


@contextmanager
def when_compiling(first: Callable[[], None]) -> Iterator[None]:
    """Call `first` once if a kernel is compiled within the with-block instead of loaded from the cache on disk."""
    with event.install_listener("numba:compile", _Listener(first)):
        yield
