"""Text files with the same bytes on every system: UTF-8, and lines that end with a line feed."""

from __future__ import annotations

from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a text file. Windows would write another encoding and other line ends, which change checksums.

    Raises:
        OSError: it can't be written.
    """
    path.write_text(text, encoding="utf-8", newline="\n")
