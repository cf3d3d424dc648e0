"""The command line: parses, calls, prints. Whatever is heavy is imported by the command that needs it.

It sits above all rooms: its commands may call the export room, which the engine below never imports.
"""

# Importing a module registers its commands, in the order that --help lists them
from tessera_engine.cli import embed, convert, compare, maps, evaluate, look, verify, bench, models, training  # noqa: F401  # isort: skip
from tessera_engine.cli.app import app, main

__all__ = ["app", "main"]
