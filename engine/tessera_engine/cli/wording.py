"""The library's messages in the words of the command line: `overwrite=True` becomes `--overwrite`.

The library names its parameters as `name=value`, `name=True` and `name=`. A command's function has parameters of the
same names, so its options are all that is needed to translate them.
"""

from __future__ import annotations

import re
from typing import Any

_NAMED = re.compile(r"\b([a-z][a-z0-9_]*)=((?:True\b|None\b|False\b|'[^']*'|\"[^\"]*\"|[^\s,;:()'\"]+)?)")


_spelled: dict[str, str] = {}
"""Parameter of the given command -> how the command line spells it. A process runs one command."""


def speak_for(command: Any) -> None:
    """Translate into the options of this click command from now on."""
    _spelled.clear()
    for parameter in command.params:
        # `view` takes `--until` twice as `untils`; a message names one of them
        _spelled.update({name.lstrip("-").replace("-", "_"): spelled(parameter) for name in parameter.opts})
    _spelled.update({str(parameter.name): spelled(parameter) for parameter in command.params})
    for parameter in command.params:
        # A message names one of several values
        if parameter.nargs != 1 or getattr(parameter, "multiple", False):
            _spelled.setdefault(str(parameter.name).removesuffix("s"), spelled(parameter))
    if "folder" in _spelled:  # what `simulate` and `kit` make is an argument; who writes it knows it as `out`
        _spelled.setdefault("out", _spelled["folder"])


def in_options(message: str) -> str:
    """A message of the library with the command's options and arguments in the place of parameters."""

    def replace(match: re.Match[str]) -> str:
        name, value = match.groups()
        if name not in _spelled:
            return match[0]
        return _spelled[name] if value in ("", "True") else f"{_spelled[name]} {value}"

    return _NAMED.sub(replace, message)


def spelled(parameter: Any) -> str:
    """How the command line names a parameter of click: `--out`, `SCENE`."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name).upper()
    return str(max(parameter.opts, key=len))


def arguments_of(command: Any) -> list[Any]:
    """The arguments of a command of click, in their order."""
    return [each for each in command.params if each.param_type_name == "argument"]


def argument_in_usage(argument: Any) -> str:
    """An argument as a usage has it: `SCENE`, `OUTPUTS...`, `[MODEL]`."""
    name = f"{spelled(argument)}{'...' * (argument.nargs == -1)}"
    return name if argument.required else f"[{name}]"
