"""A mistyped name: the one that was most likely meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from tessera_engine.errors import InputError


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The known name that is most like a mistyped one; capital letters, `-`, `_`, `.` and spaces don't count.

    Args:
        name: what was given.
        names: what there is.

    Returns:
        One of `names`; None where none is alike.
    """
    plain: dict[str, str] = {}
    for each in names:
        plain.setdefault(_plain(each), each)
    found = get_close_matches(_plain(name), plain, n=1, cutoff=0.7)
    return plain[found[0]] if found else None


def no_such_folder(path: Path) -> InputError:
    """The error for a folder that doesn't exist; it names the most similar folder beside it."""
    try:
        beside = sorted(each.name for each in path.absolute().parent.iterdir() if each.is_dir())
    except OSError:  # the folder above is missing too, or can't be read
        beside = []
    meant = nearest(path.name, beside)
    hint = f"; did you mean {path.with_name(meant)}?" if meant is not None and path.name else ""
    return InputError(f"no such folder: {path}{hint}")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter not in "-_. ")
