"""Names of files and folders: that of a result where none was given, and those that can't be used."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.files.windows import too_long, unusable_part


def is_utf8(path: str | os.PathLike[str]) -> bool:
    """Whether a path is text. Python has the bytes of names that aren't as lone surrogates, which GDAL doesn't take."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def check_utf8(path: str | os.PathLike[str]) -> None:
    """Make sure that a path is text, wherever it is relative to.

    Raises:
        InputError: it isn't.
    """
    whole = Path(path).absolute()  # the current folder may be the one
    if not is_utf8(whole):
        raise InputError(f"the name {whole} is not UTF-8, so it can't be used; rename that file or folder")


def check_new(path: str | os.PathLike[str], deeper: int = 0) -> None:
    """Make sure that a path is one that this system can write.

    Args:
        path: of a file or folder to make.
        deeper: characters of the longest name below it.

    Raises:
        InputError: it isn't text; or Windows can't have it, or would write something else.
    """
    check_utf8(path)
    wrong = unusable_part(Path(path)) if sys.platform == "win32" else None
    reason = wrong or too_long(os.fspath(path), deeper)
    if reason is not None:
        raise InputError(f"{path} can't be written: {reason}; choose another out=")


def default_out(path: Path, ending: str) -> Path:
    """`<name>.<ending>` in the current folder, where `<name>.embeddings` or `<name>` is the folder of embeddings."""
    return Path(f"{path.absolute().name.removesuffix('.embeddings')}.{ending}")
