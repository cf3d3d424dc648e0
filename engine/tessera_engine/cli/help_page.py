"""The help of a command: arguments and options as messages name them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

from tessera_engine.cli.wording import argument_in_usage, arguments_of

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS = "Options"


class Command(TyperCommand):
    """A command with its arguments, and then its options."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What follows the command's name in the line of its usage."""
        return [self.options_metavar or "", *map(argument_in_usage, arguments_of(self))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, and then each group of options; those without a heading come last."""
        arguments = [(argument_in_usage(each), each.get_help_record(ctx)[1]) for each in arguments_of(self)]
        groups: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is not None and option.param_type_name == "option":
                # Of a value, its type: limits follow the help, and one that may be repeated is shown once
                name = re.sub(r"<(?:list\[)?(\w+)(?:\]| range)>", r"<\1>", record[0])
                groups.setdefault(self.heading_of(option), []).append((name, record[1]))
        last = groups.pop(OPTIONS)  # --help is always there
        for heading, records in [("Arguments", arguments), *groups.items(), (OPTIONS, last)]:
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def heading_of(self, option: Any) -> str:
        """The heading under which an option is listed."""
        return OPTIONS


class Grouped(Command):
    """A command with so many options that they are listed under the headings that they name (`rich_help_panel`)."""

    def heading_of(self, option: Any) -> str:
        """The heading that the option names."""
        return option.rich_help_panel or OPTIONS


class Application(typer.Typer):
    """An application whose commands have such a help."""

    def command(self, *given: Any, **settings: Any) -> Callable[[Function], Function]:
        """Register a command, as `typer.Typer` does."""
        return super().command(*given, **{"cls": Command, **settings})
