"""Help in groups: a command whose options are listed under the headings that they name as `rich_help_panel`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


class Grouped(TyperCommand):
    """A command with many options. Those without a heading come last, as "Options"."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, and then each group of options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or kind, []).append(record)
        last = groups.pop("Options", None)
        for heading, records in [*groups.items(), *([("Options", last)] if last else [])]:
            with formatter.section(heading):
                formatter.write_dl(records)
