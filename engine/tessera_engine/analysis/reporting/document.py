"""What a report says, before it is Markdown or a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True)
class Heading:
    """The title of a section.

    Attributes:
        text: plain.
    """

    text: str


@dataclass(frozen=True)
class Paragraph:
    """A few sentences.

    Attributes:
        text: plain.
    """

    text: str


@dataclass(frozen=True)
class Notes:
    """What is worth knowing, a line each.

    Attributes:
        lines: plain texts, without a full stop.
    """

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        header: a title for each column.
        rows: cells; the first of each row is its name.
        caption: what the table shows; empty where the text says it.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        path: of a PNG that lies beside the report, or in a folder beside it.
        alt: what it shows, for people who can't see it.
    """

    path: Path
    alt: str


@dataclass(frozen=True)
class Facts:
    """Names with their values, which may be long.

    Attributes:
        rows: names and values.
    """

    rows: tuple[tuple[str, str], ...]


Block: TypeAlias = Heading | Paragraph | Notes | Table | Figure | Facts


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: of the whole.
        blocks: in their order.
    """

    title: str
    blocks: tuple[Block, ...]
