"""The command line: parses, calls, prints. Each command imports what is heavy when it runs."""

from tessera_engine.cli.app import app, main
from tessera_engine.cli.registry import register_commands

register_commands()

__all__ = ["app", "main"]
