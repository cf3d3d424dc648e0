"""The record of a published result: which command made it, and what it looks like.

It lies in `<target>.partial`. When nothing but that folder is left to remove, it moves beside it as
`<target>.partial.done`, and goes last, by one step. So wherever the process was killed before that step, the same
command given again knows that its result is there. A result that needs no record gets an empty one then, which says
that the folder is ours even when it is empty.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tessera_engine.errors import InputError
from tessera_engine.files.durable import held
from tessera_engine.files.publish import rewritten
from tessera_engine.files.text import write_text

RECORD = "record"

WAIT_SECONDS = 2.0
"""A living process needs far less from the moment when its record lies beside the folder."""

_LARGEST = 1 << 20


class Record:
    """The record of one target.

    Attributes:
        path: where it lies while there is work in the folder.
        beside: where it lies while the folder is removed.
    """

    def __init__(self, folder: Path) -> None:
        """The record in a folder `<target>.partial`, which needn't exist."""
        self.path = folder / RECORD
        self.beside = folder.with_name(f"{folder.name}.done")

    @property
    def exists(self) -> bool:
        """Whether there is one, in either place."""
        return self.path.is_file() or os.path.isfile(self.beside)  # noqa: PTH113 - pathlib fails on long names

    def write(self, identity: Mapping[str, str], figures: Mapping[str, Any], made: Path) -> None:
        """Write it to the disk.

        Args:
            identity: names and values of everything that the result depends on.
            figures: what the command says about its result, as JSON values.
            made: the result.

        Raises:
            OSError: the disk failed.
        """
        with rewritten(self.path) as path:
            write_text(path, _text(identity, figures, signature(made)))

    def read(self, out: Path) -> dict[str, Any] | None:
        """Its `identity` and `figures`, if it is of what stands at a target; else None."""
        found = _parsed(self.path)
        try:
            if found is None or found["identity"] is None or found["signature"] != signature(out):
                return None
            return {name: dict(found[name]) for name in ("identity", "figures")}
        except (OSError, KeyError, TypeError, ValueError):
            return None

    def remove(self) -> None:
        """Remove it from the folder."""
        self.path.unlink(missing_ok=True)

    def is_alien(self, users: set[int]) -> bool:
        """Whether something lies beside the folder that isn't a record, or not of these users."""
        try:
            status = self.beside.lstat()
        except OSError:  # nothing is there
            return False
        ours = stat.S_ISREG(status.st_mode) and status.st_uid in users
        return not ours or (_parsed(self.beside) is None and self.beside.exists())

    def is_held(self) -> bool:
        """Whether a living process removes the folder just now."""
        if not os.path.isfile(self.beside):  # noqa: PTH113 - pathlib fails on long names
            return False
        with held(self.beside) as ours:
            return not ours

    def take_back(self) -> None:
        """Move it into the folder again, from where a process left it that ended. For who holds the folder's lock.

        Raises:
            InputError: that process lives.
            OSError: it couldn't be renamed.
        """
        until = time.monotonic() + WAIT_SECONDS
        while self.beside.exists():
            with held(self.beside) as ours:
                if ours and self.path.exists():
                    self.beside.unlink()
                elif ours:
                    self.beside.rename(self.path)
            if not ours and time.monotonic() > until:
                raise InputError(
                    f"another run is removing {self.path.parent}; wait for it, or choose another out="
                )
            if not ours:
                time.sleep(WAIT_SECONDS / 100)

    @contextmanager
    def last(self) -> Iterator[None]:
        """Let it lie beside the folder while the block removes that, and remove it afterwards.

        Raises:
            OSError: it couldn't be written or renamed.
        """
        if not self.path.exists():
            write_text(self.path, _text(None, {}, ""))
        with held(self.path):
            self.path.rename(self.beside)
            yield
            self.beside.unlink()


def _text(identity: Mapping[str, str] | None, figures: Mapping[str, Any], signature: str) -> str:
    named = None if identity is None else dict(identity)
    return json.dumps({"identity": named, "figures": dict(figures), "signature": signature})


def _parsed(path: Path) -> dict[str, Any] | None:
    """The record in a file; None where it isn't one."""
    try:
        if path.stat().st_size > _LARGEST:
            return None
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and {"identity", "signature"} <= found.keys() else None


def signature(path: Path) -> str:
    """Hex sha256 of the names, sizes and times of the files at a path. It stays the same when the path is renamed.

    Raises:
        OSError: nothing is there.
    """
    digest = hashlib.sha256()
    for name, status in sorted(_statuses(path)):
        digest.update(f"{name!r} {status.st_size} {status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _statuses(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    if not path.is_dir():
        yield "", path.stat()
        return
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            yield file.relative_to(path).as_posix(), file.stat()
