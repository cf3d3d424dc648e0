"""A mistyped name: the one that was most likely meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


def unknown(name: str, value: object, known: Iterable[str], meant: str | None = None) -> InputError:
    """The error for a value that is none of the known ones.

    Args:
        name: of the parameter.
        value: what was given.
        known: what could be given.
        meant: the one that was most likely meant; None: the most similar one, if one is alike.
    """
    known = list(known)
    meant = meant or nearest(str(value), known)
    hint = f"; did you mean '{meant}'?" if meant is not None else ""
    shown = value if str(value).strip("'").isalnum() else repr(value)
    return InputError(f"{name}={shown} is unknown; choose one of {', '.join(known)}{hint}")


def no_such_folder(path: Path) -> InputError:
    """The error for a folder that doesn't exist; it names the most similar folder beside it."""
    return InputError(f"no such folder: {path}{_beside(path, Path.is_dir)}")


def no_such_file(path: Path) -> InputError:
    """The error for a file that doesn't exist; it names the most similar file beside it."""
    return InputError(f"no such file: {path}{_beside(path, Path.is_file)}")


def _beside(path: Path, kind: Callable[[Path], bool]) -> str:
    """What was meant, for messages; empty where nothing beside a path is alike."""
    try:
        beside = sorted(each.name for each in path.absolute().parent.iterdir() if kind(each))
    except OSError:  # the folder above is missing too, or can't be read
        beside = []
    meant = nearest(path.name, beside) if path.name else None
    return f"; did you mean {path.with_name(meant)}?" if meant is not None else ""


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter not in "-_. ")
