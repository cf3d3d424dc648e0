"""The folder `<out>.partial`, in which an output is made until it appears complete under its name.

Its steps, for a run:

    nothing -> journal and staging -> output/ -> journal says "complete" -> output/ becomes <out> -> nothing

A process may end after any of these steps; the same command takes the next one.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from tessera_engine.errors import InputError
from tessera_engine.files import document
from tessera_engine.files.durable import Lock, sync_all, sync_folder
from tessera_engine.files.naming import check_utf8
from tessera_engine.files.publish import (
    JOURNAL,
    LOCK,
    MADE,
    REPLACED,
    STAGING,
    SWAP,
    finish_or_undo,
    partial_folder,
    publish,
    settle,
)

ITEM = "item.json"

MOST_BYTES = 16 << 20
"""Of an item.json. One has about ten kilobytes; that of a product with a thousand files has less than a megabyte."""

_FILES = (LOCK, JOURNAL, f"{JOURNAL}.new", SWAP)
_FOLDERS = (STAGING, MADE, REPLACED)


class PartialOutput:
    """The folder beside an output, in which one process at a time can work.

    Attributes:
        out: where the output will appear.
        folder: `<out>.partial`.
        journal: the file for `tessera_engine.running.journal.Journal`.
        staging: the folder for the staged arrays.
        made: the folder in which the output is made.
    """

    def __init__(self, out: Path) -> None:
        """Take the folder, and complete a replacement of the output that was interrupted.

        Raises:
            InputError: another process works there, the folder isn't ours, or the place can't be written.
        """
        # A link stays; what it points to is replaced
        check_utf8(out)
        self.out = Path(os.path.realpath(out))
        if not self.out.name:
            raise InputError(f"{self.out} is the root of the file system; choose another out=")
        self.folder = partial_folder(self.out)
        self.journal = self.folder / JOURNAL
        self.staging = self.folder / STAGING
        self.made = self.folder / MADE
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            _check_ours(self.folder)
            self._lock = Lock(self.folder / LOCK)
        except OSError as error:
            raise InputError(
                f"can't write to {self.out.parent}: {error.strerror}; choose another out="
            ) from None
        try:
            settle(self.out)
        except BaseException:
            self._lock.release(remove=False)
            raise

    @property
    def begun(self) -> bool:
        """Whether a run left its journal here."""
        return self.journal.exists()

    def check_target(self, overwrite: bool) -> None:
        """Make sure that the output may appear.

        Raises:
            InputError: something stands there that mustn't be replaced; see `check_target`.
        """
        check_target(self.out, overwrite)

    def clear(self) -> None:
        """Remove what a process left here, except the lock."""
        # The journal goes first: it must not name what no longer exists.
        self.journal.unlink(missing_ok=True)
        self._remove(_FILES[2:], _FOLDERS)

    def _remove(self, files: tuple[str, ...], folders: tuple[str, ...]) -> None:
        for name in folders:
            if (self.folder / name).exists():
                shutil.rmtree(self.folder / name)
        for name in files:
            (self.folder / name).unlink(missing_ok=True)

    def remove_made(self) -> None:
        """Remove an output that isn't complete."""
        self._remove((), (MADE,))

    def make_output(self) -> Path:
        """An empty folder to make the output in."""
        self.remove_made()
        self.made.mkdir()
        return self.made

    def sync_output(self) -> None:
        """Wait until the output that was made is on the disk."""
        sync_all(self.made)
        sync_folder(self.folder)

    def publish(self, replace: bool) -> None:
        """Let the output that was made appear under its name.

        Raises:
            InputError: something has appeared there meanwhile that mustn't be replaced; it is left as it is.
        """
        if replace:
            self.check_target(overwrite=True)
        publish(self.made, self.out, replace)

    def close(self, keep: bool) -> None:
        """Release the folder; without `keep`, nothing of ours stays in it."""
        if keep:
            self._lock.release(remove=False)
            return
        # The journal goes last: until then it says that the output is complete and that only this is left to do.
        self._remove(_FILES[2:], _FOLDERS)
        self.journal.unlink(missing_ok=True)
        self._lock.release(remove=True)
        with suppress(OSError):  # another process may have begun in it
            self.folder.rmdir()


def _check_ours(folder: Path) -> None:
    """Make sure that a folder holds only what this engine puts there.

    Raises:
        InputError: it is a link or a file, or holds something else.
    """
    if not os.path.lexists(folder):
        return
    alien = _alien(folder)
    if alien is not None:
        raise InputError(
            f"the work is done in {folder}, {alien}: it is not a folder of tessera-engine and is left as it is; "
            "rename it, or choose another out="
        )


def _alien(folder: Path) -> str | None:
    """What shows that a folder isn't ours, in words; None where nothing does."""
    if not stat.S_ISDIR(folder.lstat().st_mode):
        return "which is not a folder"
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        ours = (entry.name in _FILES and entry.is_file(follow_symlinks=False)) or (
            entry.name in _FOLDERS and entry.is_dir(follow_symlinks=False)
        )
        if not ours or (entry.name == LOCK and not _is_lock(Path(entry.path))):
            return f"which holds '{entry.name}'"
        if entry.name == STAGING:
            for staged in os.scandir(entry.path):
                if not staged.is_file(follow_symlinks=False):
                    return f"which holds '{STAGING}/{staged.name}'"
    # Every process takes the lock before it writes anything else
    if any(folder.iterdir()) and not (folder / LOCK).exists():
        return "which has no lock"
    return None


def _is_lock(path: Path) -> bool:
    """Whether it holds the number of a process, or nothing: its process ended before it could write that."""
    text = path.read_bytes()[:32].strip()
    return not text or text.isdigit()


def check_target(out: Path, overwrite: bool) -> None:
    """Make sure that an output may appear somewhere.

    Raises:
        InputError: something stands there and `overwrite` isn't given, or it isn't an output of this engine.
    """
    if not os.path.lexists(out):
        return
    if not overwrite:
        raise InputError(f"{out} exists already; give overwrite=True to replace it, or choose another out=")
    if not is_output(out):
        raise InputError(
            f"{out} is not an output of tessera-engine, so overwrite=True does not replace it; choose another out="
        )


def is_output(folder: Path) -> bool:
    """Whether the folder is an output of this engine, by its item.json.

    Everything that reads outputs asks this first, so an interrupted replacement of the folder is completed here.

    Raises:
        InputError: see `finish_or_undo`.
    """
    finish_or_undo(folder)
    try:
        properties = read_json_item(folder)["properties"]
    except (OSError, document.Damaged):
        return False
    return any(key.startswith("tessera:") for key in properties)


def read_json_item(folder: Path) -> dict[str, Any]:
    """The item.json of a folder: an object with an object `properties`. Nothing else is checked.

    Raises:
        Damaged: it isn't that.
        OSError: there is none, or it can't be read.
    """
    item = document.checked(document.read(folder / ITEM, MOST_BYTES), dict[str, Any])
    document.check_fields(item, {"properties": dict[str, Any]})
    return item
