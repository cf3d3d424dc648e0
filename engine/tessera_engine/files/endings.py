"""The ending of a file's name, which says what a file that is to be written will be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.files.nearby import nearest


def check_ending(name: str, path: Path, endings: Iterable[str], what: str) -> str:
    """Make sure, before anything is computed, that the name of a file to write fits what it will be.

    Args:
        name: the parameter that gave the file.
        path: the file.
        endings: what its name may end with, such as `.csv`; capital letters don't count.
        what: the file will be, such as "a table".

    Returns:
        The ending, in small letters.

    Raises:
        InputError: it ends with none of them.
    """
    known = list(endings)
    ending = path.suffix.lower()
    if ending in known:
        return ending
    meant = known[0] if len(known) == 1 else nearest(ending, known)
    hint = f"; did you mean {path.with_suffix(meant)}?" if meant and path.name else ""
    *others, last = known
    expected = f"{', '.join(others)} or {last}" if others else last
    raise InputError(f"{name}={path} is not the name of {what}; expected one that ends with {expected}{hint}")
