"""The commands of the command line: those of the engine, one module a line, and then those of other packages.

A module of commands registers them with `tessera_engine.cli.app.app` when it is imported. Another package adds its own
by an entry point of the group `tessera_engine.commands` that names such a module:

    [project.entry-points."tessera_engine.commands"]
    anything = "their_package.their_commands"
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from tessera_engine.cli.console import say

GROUP = "tessera_engine.commands"

MODULES = (
    "embed",
    "convert",
    "sample",
    "compare",
    "maps",
    "areas",
    "suggest",
    "evaluate",
    "segment",
    "view",
    "look",
    "verify",
    "bench",
    "models",
    "kit",
    "docs",
)
"""Modules of `tessera_engine.cli`, in the order in which `--help` lists their commands."""


def register_commands() -> None:
    """Import every module of commands. If another package's can't be imported, warn, and register the others."""
    for name in MODULES:
        import_module(f"tessera_engine.cli.{name}")
    for entry in sorted(entry_points(group=GROUP)):
        try:
            entry.load()
        except ImportError as error:
            say(f"warning: the commands of '{entry.name}' are not available: {error}")
