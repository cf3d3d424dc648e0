"""The commands of the command line, as click sees them."""

from __future__ import annotations

from itertools import chain
from typing import Any

from typer.main import get_command

from tessera_engine.cli import app


def commands_below(command: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """A command and all below it, each with the words that name it."""
    subs = getattr(command, "commands", {})
    return [
        (path, command),
        *chain.from_iterable(commands_below(each, (*path, name)) for name, each in subs.items()),
    ]


COMMANDS = commands_below(get_command(app))
SINGLE = [(path, command) for path, command in COMMANDS if not hasattr(command, "commands")]
"""Without those that only group others."""
