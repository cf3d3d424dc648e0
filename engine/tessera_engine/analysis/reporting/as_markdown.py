"""A report as Markdown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

from tessera_engine.analysis.reporting.document import (
    Block,
    Document,
    Facts,
    Figure,
    Heading,
    Notes,
    Paragraph,
    Table,
)
from tessera_engine.errors import plain

_SPECIAL = re.compile(r"([\\`*\[\]<|])")
"""Characters that Markdown takes for markup within a line, in names. Underscores within words are none."""


def to_markdown(document: Document, folder: Path | None = None) -> str:
    """The whole report, with a line break at its end.

    Args:
        document: the report.
        folder: in which it will lie, with its figures in it or below; None: all figures lie beside it.
    """
    parts = [f"# {_text(document.title)}", *(_block(block, folder) for block in document.blocks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block, folder: Path | None) -> str:
    if isinstance(block, Heading):
        return f"## {_text(block.text)}"
    if isinstance(block, Paragraph):
        return _text(block.text)
    if isinstance(block, Notes):
        return "\n".join(f"Note: {_text(line)}." for line in block.lines)
    if isinstance(block, Figure):
        return f"![{_text(block.alt)}]({_link(block.path, folder)})"
    if isinstance(block, Facts):
        return _table(Table(("fact", "value"), block.rows))
    return _table(block)


def _link(figure: Path, folder: Path | None) -> str:
    return quote(figure.name if folder is None else figure.relative_to(folder).as_posix())


def _table(table: Table) -> str:
    lines = [_row(table.header), "|---" * len(table.header) + "|", *map(_row, table.rows)]
    return "\n".join([*([_text(table.caption), ""] if table.caption else []), *lines])


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(map(_text, cells))} |"


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", plain(text))
