"""The words of a command line. Knows nothing of QGIS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def command_line(command: str, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[str]:
    """The words after the program's name.

    Args:
        command: like `embed`.
        inputs: arguments.
        options: `--name` -> value. None, False and an empty text leave the option out, True gives it without a value,
            a tuple is several values of one option, and a list gives the option once for each of its members.
    """
    words = [command, *map(str, inputs)]
    for name, value in options.items():
        if value is True:
            words.append(name)
        elif isinstance(value, list):
            for each in value:
                words += _option(name, each)
        elif value is not None and value is not False and value != "":
            words += _option(name, value)
    return [*words, "--json"]


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, tuple):
        return [name, *map(str, value)]
    return [f"{name}={value}"]  # a value that begins with - is no option


def shown(words: Sequence[str]) -> str:
    """A command line to read."""
    return " ".join(f'"{word}"' if " " in word or not word else word for word in words)
