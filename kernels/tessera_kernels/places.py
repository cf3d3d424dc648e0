"""Where compiled kernels are kept: beside the code, else in the user's cache folder, else only in this process.

They are pickles, which can run code. So a folder that belongs to another user, or that others can write, isn't used.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numba
from platformdirs import user_cache_path

from tessera_kernels.private import not_private

config: Any = numba.config  # numba adds its settings at run time, where mypy can't see them

PACKAGE = Path(__file__).parent

KEPT = re.compile(r"(?P<function>.+)-(?P<sources>[0-9a-f]{12})-[0-9a-f]{24}\.nbc")
"""Names of the files, see `tessera_kernels.cache`."""

_FULL = (errno.ENOSPC, errno.EDQUOT)

_ADVICE = "set NUMBA_CACHE_DIR to a folder of your own"

log = logging.getLogger("tessera_kernels")
"""Gets each notice for the user: one line."""


def user_cache() -> Path:
    """The user's cache folder for kernels (on Linux ~/.cache/tessera-engine/kernels); it may not exist yet."""
    return user_cache_path("tessera-engine", appauthor=False) / "kernels"


@cache
def kernels_folder() -> Path | None:
    """The folder where this process keeps compiled kernels, which exists; None where no folder can be used."""
    passed = []
    for base, place in _places():
        reason = _unusable(base, place)
        if reason is None:
            return place
        # Beside the code this is common, and the next place is as good; but what was kept there is missed
        if place == base and _holds_kernels(place):
            log.warning("compiled kernels are not used, because they could be anybody's code: %s; delete those in it",
                        reason)  # fmt: skip
        passed.append(reason)
    log.warning("compiled kernels can't be kept, so that every run compiles them: %s; %s",
                "; ".join(passed) or "there is no home folder", _ADVICE)  # fmt: skip
    return None


def in_words() -> str:
    """Where compiled kernels are kept, to show to people."""
    return str(kernels_folder() or f"not kept; {_ADVICE}")


def _places() -> Iterator[tuple[Path, Path]]:
    """Folders to try, each with the folder in it for this installation's kernels; beside the code they are the same."""
    installation = f"{PACKAGE.name}-{hashlib.sha256(str(PACKAGE).encode()).hexdigest()[:12]}"
    if config.CACHE_DIR:
        chosen = Path(config.CACHE_DIR).absolute()
        yield chosen, chosen / installation
        return
    beside = PACKAGE / "__pycache__"
    yield beside, beside
    users = user_cache()
    if users.is_absolute():  # without a home folder it begins with "~"
        yield users, users / installation


def _unusable(base: Path, place: Path) -> str | None:
    """Why kernels can't be kept in a folder, in words; makes it where it doesn't exist."""
    try:
        # __pycache__ is everybody's to read
        base.mkdir(0o777 if place == base else 0o700, parents=True, exist_ok=True)
        place.mkdir(0o700, exist_ok=True)
        for folder in (base, place):
            reason = not_private(folder, sticky=folder != place)
            if reason is not None:
                return f"{folder} {reason}"
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as error:
        # What a full disk holds can still be loaded
        if error.errno in _FULL and place.is_dir():
            return None
        return f"{base} can't be written ({error.strerror})"


def _holds_kernels(folder: Path) -> bool:
    try:
        return any(KEPT.fullmatch(path.name) for path in folder.iterdir())
    except OSError:
        return False
