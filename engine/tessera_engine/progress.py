"""How long work reports what it does, and how that is shown."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from tessera_engine.errors import plain

Progress = Callable[[int, int], None]
"""Called with what is done and what there is in all, in one unit: pixels, bytes or steps."""

ShowProgress = Progress | bool | None
"""What functions take as `progress`: a function to call; True to show it, False not to; None: show it in terminals and
notebooks."""

Announce = Callable[[str], None]
"""Called with one line for the user."""

LINE_SECONDS = 30.0
"""Between two lines in a log."""

NOTEBOOK_SECONDS = 0.5
"""Between two changes of the line in a notebook."""


@contextmanager
def shown(progress: ShowProgress, title: str, unit: str) -> Iterator[Progress]:
    """Show progress on stderr: a bar in a terminal, a line that changes in a notebook, else a line each half minute.

    Args:
        progress: see `ShowProgress`; a function is given back as it is.
        title: what is done, like "embedding"; it may quote a name.
        unit: of what is counted, like "px".
    """
    if callable(progress):
        yield progress
        return
    title = plain(title)
    notebook, terminal = _in_notebook(), sys.stderr.isatty()
    if progress is None:
        progress = notebook or terminal
    if not progress:
        yield lambda done, total: None
    elif terminal and not notebook:
        with _bar(title, unit) as update:
            yield update
    else:
        with _lines(title, unit, notebook) as update:
            yield update


def part_of(report: Progress, before: int, total: int) -> Progress:
    """The report of a part of some work.

    Args:
        report: of all of it.
        before: what was done before the part.
        total: what there is in all.
    """
    return lambda done, _: report(before + done, total)


class Pace:
    """How fast work goes, counted from its first report: what an earlier run did says nothing about this one."""

    def __init__(self, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._unit, self._clock = unit, clock
        self._first: tuple[int, float] | None = None

    def report(self, done: int, total: int) -> tuple[str, str]:
        """Speed and time left, in words; empty where nothing can be said yet."""
        now = self._clock()
        if self._first is None:
            self._first = done, now
        before, start = self._first
        if done <= before or now <= start:
            return "", ""
        speed = (done - before) / (now - start)
        return f"{speed:,.0f} {self._unit}/s", f"{timedelta(seconds=round((total - done) / speed))} left"


def _in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


@contextmanager
def _lines(title: str, unit: str, rewritten: bool) -> Iterator[Progress]:
    """One line after another, or one line that is written again and again."""
    pace = Pace(unit)
    every = NOTEBOOK_SECONDS if rewritten else LINE_SECONDS
    last, width = time.monotonic(), 0

    def update(done: int, total: int) -> None:
        nonlocal last, width
        speed, left = pace.report(done, total)
        now = time.monotonic()
        if now - last < every and not (rewritten and done == total):
            return
        last = now
        facts = ", ".join(fact for fact in (f"{done:,} of {total:,} {unit}", speed, left) if fact)
        line = f"{title}: {facts}"
        print(
            f"\r{line:{width}}" if rewritten else line,
            end="" if rewritten else "\n",
            file=sys.stderr,
            flush=True,
        )
        width = len(line)

    try:
        yield update
    finally:
        if width and rewritten:
            print(file=sys.stderr)


@contextmanager
def _bar(title: str, unit: str) -> Iterator[Progress]:
    """A bar with what is done, its speed and the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}", markup=False),  # of a name, [x] is no markup
        BarColumn(),
        TextColumn(f"{{task.completed:,.0f}}/{{task.total:,.0f}} {unit}"),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[left]}"),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    pace = Pace(unit)
    with bar:
        task = bar.add_task(title, total=1, speed="", left="")

        def update(done: int, total: int) -> None:
            speed, left = pace.report(done, total)
            bar.update(task, completed=done, total=total, speed=speed, left=left)

        try:
            yield update
        except BaseException:
            # A bar that never moved would only stand before the line that says why
            if not bar.tasks[0].completed:
                bar.live.transient = True
                bar.live.stop()
                bar.disable = True  # stopping it again would print an empty line
            raise
