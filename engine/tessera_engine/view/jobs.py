"""Work in the background, and the events by which the page learns of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from tessera_engine.errors import TesseraError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tessera_engine.progress import Progress

Event = dict[str, Any]
"""What the page is told: see `docs/view.md`."""

Work = Callable[["Progress"], Any]
"""A job: takes a function to report progress to, and returns what the page is told when it is done."""

MOST_WAITING = 1000
"""Events kept for a page that doesn't fetch them; then its connection ends, and it asks again."""


class Cancelled(BaseException):
    """The job was cancelled. No `Exception`, so that no handler of errors takes it for one."""


class Events:
    """Hands events to every page that listens. Any thread may publish."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[tuple[asyncio.AbstractEventLoop, asyncio.Queue[Event | None]]] = []
        self._closed = False

    def publish(self, event: Event | None) -> None:
        """Give an event to all who listen; None ends their listening."""
        with self._lock:
            listeners = list(self._listeners)
        for loop, queue in listeners:
            with suppress(RuntimeError):  # the loop has just been closed
                loop.call_soon_threadsafe(_put, queue, event)

    def close(self) -> None:
        """End all listening, now and later."""
        self._closed = True
        self.publish(None)

    async def listen(self, seconds: float) -> AsyncIterator[Event | None]:
        """The events from now on, until `close`; None after so many seconds without one."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        listener = (asyncio.get_running_loop(), queue)
        with self._lock:
            self._listeners.append(listener)
        try:
            while not self._closed:
                try:
                    event = await asyncio.wait_for(queue.get(), seconds)
                except (asyncio.TimeoutError, TimeoutError):
                    yield None
                    continue
                if event is None:
                    return
                yield event
        finally:
            with self._lock:
                self._listeners.remove(listener)


def _put(queue: asyncio.Queue[Event | None], event: Event | None) -> None:
    queue.put_nowait(event if queue.qsize() < MOST_WAITING else None)


class _Job:
    """One job.

    Attributes:
        cancelled: set when it is to end.
        ended: set when it has.
        replaced: whether another of its name has taken its place, so that nobody waits for its result.
    """

    def __init__(self) -> None:
        self.cancelled, self.ended = threading.Event(), threading.Event()
        self.replaced = False


class Jobs:
    """At most one job of a name at a time for each output: a new one ends its predecessor first.

    Attributes:
        events: gets progress and results.
    """

    def __init__(self, events: Events) -> None:
        self.events = events
        self._lock = threading.Lock()
        self._jobs: dict[tuple[str, int], _Job] = {}
        self._closed = False

    def start(self, name: str, work: Work, kind: str = "done", output: int = 0) -> threading.Event:
        """Run work in a thread of its own; gives what is set when it has ended.

        Args:
            name: what the page knows it by, such as `unpack`.
            work: what is done. The page is told of its result, unless that is None.
            kind: of the event that has the result: `done` or `refined`.
            output: the number of the output that it is about.
        """
        key, job = (name, output), _Job()
        about = {"job": name, "output": output}
        with self._lock:
            before = self._replace(key)
            if self._closed:
                job.ended.set()
                return job.ended
            self._jobs[key] = job

        def run() -> None:
            try:
                if before is not None:
                    before.ended.wait()
                with _told(self.events, about, job):
                    result = work(self._progress(about, job))
                    if result is not None:
                        self.events.publish({"kind": kind, **about, "result": result})
            finally:
                with self._lock:
                    if self._jobs.get(key) is job:
                        del self._jobs[key]
                job.ended.set()

        # A daemon: the end of the process doesn't wait for a library that can't be interrupted
        threading.Thread(target=run, name=f"tessera-{name}", daemon=True).start()
        return job.ended

    def drop(self, name: str, output: int = 0) -> None:
        """End a job whose result nobody waits for any more, without a word to the page."""
        with self._lock:
            self._replace((name, output))

    def _replace(self, key: tuple[str, int]) -> _Job | None:
        job = self._jobs.get(key)
        if job is not None:
            job.replaced = True
            job.cancelled.set()
        return job

    def running(self, name: str, output: int = 0) -> threading.Event | None:
        """What is set when a job has ended; None where there is none."""
        with self._lock:
            job = self._jobs.get((name, output))
        return None if job is None else job.ended

    def cancel(self, name: str) -> bool:
        """Let the jobs of a name end soon; whether there were any."""
        with self._lock:
            jobs = [job for (each, _), job in self._jobs.items() if each == name]
        for job in jobs:
            job.cancelled.set()
        return bool(jobs)

    def close(self, seconds: float) -> list[str]:
        """Cancel all jobs, start no more, and wait for their ends for a while; gives the names of those cut short."""
        with self._lock:
            self._closed = True
            jobs = dict(self._jobs)
        for job in jobs.values():
            job.cancelled.set()
        for job in jobs.values():
            job.ended.wait(seconds)
        return [name for name, _ in jobs]

    def _progress(self, about: Event, job: _Job) -> Progress:
        last = -1

        def report(done: int, total: int) -> None:
            nonlocal last
            if job.cancelled.is_set():
                raise Cancelled
            percent = 100 * done // max(1, total)
            if percent != last:  # a hundred events are enough
                last = percent
                self.events.publish({"kind": "progress", **about, "done": done, "total": total})

        return report


@contextmanager
def _told(events: Events, about: Event, job: _Job) -> Iterator[None]:
    """Tell the page of a job's failure."""
    failed = {"kind": "failed", **about}
    try:
        if job.cancelled.is_set():
            raise Cancelled
        yield
    except Cancelled:
        if not job.replaced:
            events.publish(failed | {"error": "cancelled"})
    except (TesseraError, OSError, MemoryError) as error:
        events.publish(failed | {"error": in_words(error)})
    except Exception as error:
        events.publish(failed | {"error": f"an unexpected error: {error!r}"[:300]})
        raise


def in_words(error: BaseException) -> str:
    """An expected error in one line."""
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{f' ({error.filename})' if error.filename else ''}"
    return str(error)
