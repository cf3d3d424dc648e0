"""What the parser of the command line refuses, in one line of our own form.

Typer shows its usage errors as several lines: the usage, a hint and the message. What an error holds is enough to say
what came and what was expected. The classes are those that click documents; typer has a copy of them, without names to
import, so they are told apart by their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tessera_engine.cli.wording import argument_in_usage, arguments_of, spelled
from tessera_engine.errors import quoted
from tessera_engine.files.nearby import nearest

PROGRAM = "tessera-engine"

_EXPECTED = (
    ("int", "a whole number"),
    ("float", "a number"),
    ("greater_than_equal", "at least {ge}"),
    ("less_than_equal", "at most {le}"),
)
"""How the kinds of pydantic's errors begin -> what was expected, with the values that the error names."""


def is_help(error: Any) -> bool:
    """Whether this is no mistake: a group of commands without a command shows its help."""
    return type(error).__name__ == "NoArgsIsHelpError"


def in_one_line(error: Any, words: Sequence[str], path: Sequence[str], command: Any) -> str:
    """What is wrong with a command line.

    Args:
        error: what typer raised.
        words: what was typed.
        path: the first of them, which name the command.
        command: it, as click sees it.
    """
    given = " ".join([PROGRAM, *path])
    match type(error).__name__:
        case "NoSuchOption":
            return _no_option(error.option_name, words, given, command)
        case "BadOptionUsage":
            return _wrong_count(error.option_name, command)
        case "MissingParameter":
            return _missing(error.param, given, command)
        case "BadParameter":
            return _bad_value(error)
    return _in_words(error.format_message(), given, command)


def _no_option(name: str, words: Sequence[str], given: str, command: Any) -> str:
    if len(name) == 2:  # with one dash, typer reads each letter as an option
        name = next((word for word in words if word.startswith(name)), name)
    near = nearest(name, [each for parameter in command.params for each in parameter.opts])
    hint = f"did you mean {near}?" if near else f"'{given} --help' lists the options"
    return f"{given} has no option {name}; {hint}"


def _wrong_count(name: str, command: Any) -> str:
    (option,) = (each for each in command.params if name in each.opts)
    if option.is_flag:
        return f"{name} takes no value; leave out what follows the ="
    if option.nargs == 1:
        return f"{name} has no value; expected {name} {_value(option)}"
    return f"{name} has fewer than {option.nargs} values; expected {name} {_value(option)}"


def _missing(parameter: Any, given: str, command: Any) -> str:
    expected = f"expected {given} {_synopsis(command)}"
    if parameter.param_type_name == "argument" and len(arguments_of(command)) > 1:
        # The words that are there may be taken for the last arguments, and the first be named as missing
        return f"an argument is missing; {expected}"
    about = (parameter.help or "").partition(". ")[0].removesuffix(".")
    if about[1:2].islower() or about[1:2] == " ":
        about = about[0].lower() + about[1:]
    return f"{spelled(parameter)} is missing ({about}); {expected}"


def _bad_value(error: Any) -> str:
    name = spelled(error.param) if error.param is not None else "a value"
    # Typer checks values with pydantic, whose errors hold what came
    causes: list[Any] = getattr(error.__cause__, "errors", list)()
    if not causes:
        return f"{name}: {error.message}"
    return f"{name} {quoted(causes[0]['input'])} can't be used; expected {_expected(causes[0])}"


def _expected(cause: Mapping[str, Any]) -> str:
    for kind, expected in _EXPECTED:
        if str(cause["type"]).startswith(kind):
            limits = {name: _number(limit) for name, limit in cause.get("ctx", {}).items()}
            return expected.format_map(limits)
    if "does not match the format" in cause["msg"]:
        return "a day like 2024-03-31"  # all days have one form
    return str(cause["msg"])


def _number(limit: float) -> str:
    return f"{limit:,.0f}" if limit == int(limit) else f"{limit:g}"


def _in_words(message: str, given: str, command: Any) -> str:
    """Mistakes of which the error holds nothing but a text."""
    found = re.match(r"No such command (['\"])(.*?)\1", message, re.DOTALL)
    if found:
        near = nearest(found[2], command.commands)
        hint = f"did you mean '{near}'?" if near else f"'{given} --help' lists the commands"
        return f"{given} has no command {found[1]}{found[2]}{found[1]}; {hint}"
    found = re.match(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", message, re.DOTALL)
    if found:
        arguments = " ".join(map(argument_in_usage, arguments_of(command)))
        takes = f"{arguments} only; put a name with spaces in quotes" if arguments else "no arguments"
        return f"{found[1]} is more than {given} takes: {takes}"
    return f"{message[:1].lower()}{message[1:].removesuffix('.')}; see '{given} --help'"


def _synopsis(command: Any) -> str:
    """Arguments and required options, as a command line has them."""
    options = [
        f"{spelled(each)} {_value(each)}"
        for each in command.params
        if each.param_type_name == "option" and each.required
    ]
    return " ".join([*map(argument_in_usage, arguments_of(command)), *options])


def _value(option: Any) -> str:
    return option.metavar or str(option.name).upper()
