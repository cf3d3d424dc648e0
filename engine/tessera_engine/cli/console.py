"""What the command line prints: messages and progress to stderr, results to stdout."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from tessera_engine.cli.wording import in_options
from tessera_engine.errors import plain
from tessera_engine.progress import Progress, ShowProgress, shown


def keep_libraries_plain() -> None:
    """Let what libraries warn of or log pass as our own messages do: one line each, without control characters."""
    warnings.formatwarning = _warning  # type: ignore[assignment]  # it takes more, by position
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Plain())


def _warning(message: Warning | str, *_: Any) -> str:
    return plain(f"warning: {message}") + "\n"


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain(f"{record.levelname.lower()}: {record.getMessage()}")


def say(message: str, quiet: bool = False) -> None:
    """One line to stderr, in the words of the command line."""
    if not quiet:
        print(plain(in_options(message)), file=sys.stderr)


def say_json(values: Mapping[str, Any]) -> None:
    """An event to stderr, for programs: one line of JSON in ASCII."""
    print(json.dumps(values), file=sys.stderr, flush=True)


def print_line(value: Any) -> None:
    """A result to stdout in one line: a path, a number, a text."""
    print(plain(str(value)))


def print_text(text: str) -> None:
    """A result to stdout in several lines."""
    print("\n".join(map(plain, text.removesuffix("\n").split("\n"))))


def print_json(values: Any) -> None:
    """A result to stdout, for programs, in ASCII: JSON spells out the rest."""
    print(json.dumps(values, indent=2))


def print_table(rows: Sequence[tuple[Any, ...]], header: tuple[str, ...] | None = None) -> None:
    """A result to stdout, for people; without a header, names on the left and values on the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_header=header is not None, pad_edge=False)
    for i, name in enumerate(header or rows[0]):
        table.add_column(plain(str(name)), overflow="fold", style="bold" if i == 0 else "")
    for row in rows:
        first = plain(str(row[0]))
        first = first.replace("_", " ") if header is None else first
        table.add_row(first, *map(_readable, row[1:]))
    # Values quote files: rich would take [extra] for markup and :name: for an emoji
    Console(highlight=False, markup=False, emoji=False).print(table)


def _readable(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        # Northings have seven digits
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e9 else f"{value:.6g}"
    if isinstance(value, Mapping):
        return "\n".join(f"{plain(str(key))}: {_readable(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(each, str) and " " in each for each in value):
            return "\n".join(map(plain, value))
        return " ".join(_readable(each) for each in value) or "-"
    return plain(str(value))


def progress_for(quiet: bool, json: bool) -> ShowProgress:
    """What a command gives a function as `progress`.

    Args:
        quiet: whether nothing is shown.
        json: whether a program reads what is printed. Unless stderr is a terminal, it gets progress as events.
    """
    return _progress_events() if json and not quiet and not sys.stderr.isatty() else not quiet


def progress_bar(title: str, quiet: bool, unit: str, json: bool = False) -> AbstractContextManager[Progress]:
    """Progress on stderr, see `progress_for` and `tessera_engine.progress.shown`."""
    return shown(progress_for(quiet, json), title, unit)


def _progress_events() -> Progress:
    """Progress that says `done` and `total` in an event at each percent."""
    last = -1

    def report(done: int, total: int) -> None:
        nonlocal last
        percent = 100 * done // max(total, 1)
        if percent != last:
            last = percent
            say_json({"event": "progress", "done": int(done), "total": int(total)})

    return report
