"""A font that has all letters of a text: Pillow's own, or one that is installed on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

PREFERRED = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf")
"""Tried before other installed fonts, which may be ornaments or narrow faces."""

SUFFIXES = (".ttf", ".ttc", ".otf")

UNASSIGNED = "\U0010fffe"
"""Never a letter, so a font draws what it draws in place of a letter that it lacks."""


def font_for(text: str, size: int) -> Any | None:
    """A Pillow font of that size that has all letters of a text; None where no installed font has."""
    path = _font_with(frozenset(letter for letter in text if not letter.isspace()))
    return None if path is None else _load(path, size)


def _load(path: str, size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)


@cache
def _font_with(letters: frozenset[str]) -> str | None:
    """The file of a font with these letters; empty for Pillow's own."""
    from PIL import features

    if all(letter.isascii() for letter in letters):
        return ""
    # Without Raqm, Pillow draws Arabic and Indic letters apart and out of order
    if any(_is_joined(letter) for letter in letters) and not features.check("raqm"):
        return None
    for path in ("", *PREFERRED, *_installed()):
        try:
            if _has(_load(path, 16), letters):
                return path
        except OSError:
            continue
    return None


def _has(font: Any, letters: frozenset[str]) -> bool:
    missing = _drawn(font, UNASSIGNED)
    return all(_drawn(font, letter) != missing for letter in letters)


def _drawn(font: Any, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


def _is_joined(letter: str) -> bool:
    """Whether letters of this script change their form or order beside others: Hebrew to Khmer, less Ethiopic."""
    return "\u0590" <= letter <= "\u109f" or "\u1780" <= letter <= "\u17ff" or "\ufb1d" <= letter <= "\ufeff"


@cache
def _installed() -> tuple[str, ...]:
    """Files of the fonts of this machine, regular faces first."""
    found = [str(path) for folder in _folders() for path in _fonts_in(folder)]
    return tuple(sorted(set(found), key=lambda path: ("regular" not in path.lower(), path)))


def _folders() -> list[Path]:
    home = Path("~").expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", "")
        return [
            Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts",
            Path(local) / "Microsoft/Windows/Fonts",
        ]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    return [
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        home / ".fonts",
        home / ".local/share/fonts",
    ]


def _fonts_in(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where) / name for name in names if name.lower().endswith(SUFFIXES))
