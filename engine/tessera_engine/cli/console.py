"""What the command line prints: messages and progress to stderr, results to stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from tessera_engine.cli.wording import in_options
from tessera_engine.progress import Progress, shown


def plain(text: str) -> str:
    """Text that names files or quotes their content, with control characters spelled out: they could do anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def say(message: str, quiet: bool = False) -> None:
    """One line to stderr, in the words of the command line."""
    if not quiet:
        print(plain(in_options(message)), file=sys.stderr)


def print_json(values: Any) -> None:
    """A result to stdout, for programs."""
    print(json.dumps(values, indent=2))


def print_table(rows: Sequence[tuple[Any, ...]], header: tuple[str, ...] | None = None) -> None:
    """A result to stdout, for people; without a header, names on the left and values on the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_header=header is not None, pad_edge=False)
    for i, name in enumerate(header or rows[0]):
        table.add_column(str(name), overflow="fold", style="bold" if i == 0 else "")
    for row in rows:
        first = str(row[0]).replace("_", " ") if header is None else str(row[0])
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
        return "\n".join(f"{key}: {_readable(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(each, str) and " " in each for each in value):
            return "\n".join(map(plain, value))
        return " ".join(_readable(each) for each in value) or "-"
    return plain(str(value))


def progress_bar(title: str, quiet: bool, unit: str) -> AbstractContextManager[Progress]:
    """Progress on stderr, see `tessera_engine.progress.shown`."""
    return shown(not quiet, title, unit)
