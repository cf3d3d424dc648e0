"""The folder `<target>.partial`, in which something is made until it appears complete under its name.

    lock       held by the process that works there; the system releases it when the process ends
    journal    what an interrupted run has finished
    staging/   its arrays
    cells/     what the workers of a cluster write, until all of it is finished
    output     the file or folder that will become the target
    record     which command made it, and what it looks like: whether it has become the target already
    replaced/  what stood at the target, for a moment
    read/      what stood at the target while another process still reads it
    swap       exists while a folder is being replaced in two steps

The record goes last, from `<target>.partial.done` (see `tessera_engine.files.record`).

Whoever looks at a target calls `finish_or_undo` first. It removes what a process left that ended, except an unfinished
run, and except the record, by which the same command knows that it is done. Nothing is removed that isn't in this list.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files import last_step
from tessera_engine.files.durable import FAILED_DISK, Lock, is_read
from tessera_engine.files.naming import check_new
from tessera_engine.files.publish import MADE, REPLACED, SWAP, partial_folder, publish, settle, sync_made
from tessera_engine.files.record import RECORD, Record
from tessera_engine.files.windows import patiently

LOCK, READ = "lock", "read"

WAIT_SECONDS = 2.0
"""A living process needs far less for its two renames, and a reader for tidying up."""


class Partial:
    """`<target>.partial`, in which one process at a time can work.

    Attributes:
        out: the file or folder that will appear.
        folder: `<out>.partial`.
        made: the file or folder in which it is made.
    """

    journal_name = "journal"
    """The file that says that an unfinished run can be resumed."""

    files: tuple[str, ...] = ("journal.new",)
    """More files of the work, besides the journal."""

    folders: tuple[str, ...] = ("staging",)
    """Folders of the work that hold files."""

    trees: tuple[str, ...] = ("cells",)
    """Folders of the work that hold folders too."""

    deepest = len(".partial/output.tmp")
    """Characters by which paths of the work are longer than the target's, at most."""

    def __init__(self, out: Path) -> None:
        """Take the folder, and complete a replacement of the target that was interrupted.

        Raises:
            InputError: another process works there, the folder isn't ours, or the place can't be written.
            TesseraError: the disk is full, or fails.
        """
        check_new(out, self.deepest)
        # A link stays; what it points to is replaced
        self.out = Path(os.path.realpath(out))
        if not self.out.name:
            raise InputError(f"{self.out} is the root of the file system; choose another out=")
        self.folder = partial_folder(self.out)
        self.journal = self.folder / self.journal_name
        self.made = self.folder / MADE
        self._record = Record(self.folder)
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                self.out.lstat()  # a name that no file can have is found now, not at the end
            self._check_ours()
            self._lock: Lock | None = _wait_for_lock(self.folder / LOCK)
        except OSError as error:
            failed = TesseraError if error.errno in FAILED_DISK else InputError
            raise failed(f"can't write to {self.out.parent}: {error.strerror}; choose another out=") from None
        try:
            self._record.take_back()
            settle(self.out)
        except BaseException:
            self._release(remove=False)
            raise

    @property
    def begun(self) -> bool:
        """Whether a run left its journal here."""
        return self.journal.exists()

    @property
    def published(self) -> bool:
        """Whether a process ended after it had given what was made here its name."""
        return self._record.read(self.out) is not None

    def published_by(self, identity: Mapping[str, str]) -> bool:
        """Whether that process did what `identity` says: names and values of everything that the result depends on."""
        record = self._record.read(self.out)
        return record is not None and record["identity"] == dict(identity)

    def figures(self) -> dict[str, Any]:
        """What that process would have said about its result, as JSON values; empty where it recorded nothing."""
        record = self._record.read(self.out)
        return {} if record is None else record["figures"]

    def clear(self) -> None:
        """Remove what a process left here, except the lock and what is still read."""
        # The journal goes first: it must not name what no longer exists.
        self.journal.unlink(missing_ok=True)
        self._remove_work()
        self._record.remove()

    def _remove_work(self) -> None:
        for name in (*self.folders, *self.trees, MADE, REPLACED):
            self._drop(name)
        for name in (*self.files, SWAP, f"{RECORD}.new"):
            (self.folder / name).unlink(missing_ok=True)
        if (self.folder / READ).exists():
            for old in (self.folder / READ).iterdir():
                if not is_read(old):
                    _remove(old)
            with suppress(OSError):  # something in it is still read
                (self.folder / READ).rmdir()

    def tidy(self) -> None:
        """Remove what a process left here, except what the command needs that is given again; release the folder."""
        unfinished, published = self.begun, self.published
        if published:
            self._remove_work()
        self.close(keep=published or unfinished)

    def _drop(self, name: str) -> None:
        """Remove a file or folder; a folder that is still read moves to `read/`."""
        path = self.folder / name
        if not path.is_dir():
            patiently(lambda: path.unlink(missing_ok=True))
        elif not is_read(path):
            _remove(path)
        else:
            (self.folder / READ).mkdir(exist_ok=True)
            path.rename(self.folder / READ / str(time.time_ns()))

    def remove_made(self) -> None:
        """Remove something made here that isn't complete."""
        self._drop(MADE)

    def make_output(self) -> Path:
        """An empty folder to make the output in."""
        self.remove_made()
        self.made.mkdir()
        return self.made

    def publish(
        self,
        replace: bool,
        identity: Mapping[str, str] | None = None,
        figures: Mapping[str, Any] | None = None,
    ) -> None:
        """Let what was made appear under its name.

        Args:
            replace: take the place of what stands there.
            identity: see `published_by`; None for a part of a result, which the same command uses as it is.
            figures: see `figures`.

        Raises:
            InputError: something has appeared there meanwhile that mustn't be replaced; it is left as it is.
            OSError: the disk failed; the target is as it was.
        """
        self.make_ready(identity, figures)
        with last_step.last_step(whole=identity is not None):
            self.take_name(replace)

    def make_ready(self, identity: Mapping[str, str] | None, figures: Mapping[str, Any] | None) -> None:
        """Bring what was made, and the record of it, to the disk: the first half of `publish`."""
        sync_made(self.made)
        self._drop(REPLACED)
        if identity is not None:
            self._record.write(identity, figures or {}, self.made)

    def take_name(self, replace: bool) -> None:
        """Let what is ready appear under its name, while signals wait: the second half of `publish`."""
        publish(self.made, self.out, replace)

    def close(self, keep: bool) -> None:
        """Release the folder; without `keep`, nothing of ours stays in it but what is still read."""
        alone = False
        try:
            if not keep:
                self._remove_work()
            keep = keep or (self.published and not last_step.done())
            if not keep:
                # These go last: until then they say that the result is complete and that only this is left to do
                self.journal.unlink(missing_ok=True)
                # Threads of an interrupted process may write after this, and without a lock nobody would know that
                # it is ours. Then the next command removes it
                busy = last_step.is_ending() and threading.active_count() > 1
                alone = not busy and not (self.folder / READ).exists()
            if not keep and not alone:
                self._record.remove()
            with self._record.last() if alone else nullcontext():
                self._release(remove=alone)
        finally:
            self._release(remove=False)

    def _release(self, remove: bool) -> None:
        """Release the lock, once; `remove` removes it and the folder."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        lock.release(remove)
        if remove:
            with suppress(OSError):  # another process may have begun in it
                self.folder.rmdir()

    def _check_ours(self) -> None:
        """Make sure that the folder holds only what this engine puts there.

        Raises:
            InputError: it is a link or a file, holds something else, or belongs to another user.
        """
        alien = self.alien(self.folder)
        if alien is not None:
            raise InputError(
                f"the work is done in {self.folder}, {alien}: it is not a folder of tessera-engine and is left as it "
                "is; rename it, or choose another out="
            )

    @classmethod
    def alien(cls, folder: Path) -> str | None:
        """What shows that a folder isn't ours, in words; None where nothing does, or where there is none."""
        users = _users(folder)
        record = Record(folder)
        if record.is_alien(users):
            return f"and '{record.beside.name}' lies beside it"
        try:
            status = folder.lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(status.st_mode):
            return "which is not a folder"
        if status.st_uid not in users:
            return "which belongs to another user"
        try:
            return cls._alien_inside(folder, users)
        except FileNotFoundError:  # its process has just removed that
            return None

    @classmethod
    def _alien_inside(cls, folder: Path, users: set[int]) -> str | None:
        files = (LOCK, cls.journal_name, *cls.files, SWAP, RECORD, f"{RECORD}.new", MADE)
        folders = (*cls.folders, *cls.trees, MADE, REPLACED, READ)
        locked = (folder / LOCK).exists()
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        for entry in entries:
            ours = (entry.name in files and entry.is_file(follow_symlinks=False)) or (
                entry.name in folders and entry.is_dir(follow_symlinks=False)
            )
            if not ours or (entry.name == LOCK and not _is_lock(Path(entry.path))):
                return f"which holds '{entry.name}'"
            if entry.stat(follow_symlinks=False).st_uid not in users:
                return f"in which '{entry.name}' belongs to another user"
            if entry.name in cls.folders:
                for inside in os.scandir(entry.path):
                    if not inside.is_file(follow_symlinks=False):
                        return f"which holds '{entry.name}/{inside.name}'"
        # Every process takes the lock before it writes anything else, and removes it last
        if entries and not locked and all(entry.name != LOCK for entry in entries):
            return "which has no lock"
        others = [entry.name for entry in entries if entry.name != LOCK]
        if others and _is_empty(folder / LOCK):
            return f"which holds '{others[0]}' beside an empty lock"
        return None


def _remove(folder: Path) -> None:
    """Remove a folder in which another thread of an interrupted process may still write."""
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.01)
    patiently(lambda: shutil.rmtree(folder))


def _users(folder: Path) -> set[int]:
    """Whose files in a folder can be trusted: this user's, and those of whoever owns the place of the folder.

    The latter could replace anything there. On some network shares every file belongs to one user.
    """
    if sys.platform == "win32":
        return {folder.parent.lstat().st_uid}
    return {os.geteuid(), folder.parent.stat().st_uid}


def _is_lock(path: Path) -> bool:
    """Whether it holds the number of a process, or nothing: its process ended before it could write that."""
    with path.open("rb") as file:
        text = file.read(32).strip()
    return not text or text.isdigit()


def _is_empty(lock: Path) -> bool:
    """Whether its process ended before it wrote anything."""
    try:
        return lock.stat().st_size == 0
    except FileNotFoundError:  # removed meanwhile
        return False


def _wait_for_lock(path: Path) -> Lock:
    """Take a lock. A reader holds it for a moment while it tidies up."""
    until = time.monotonic() + WAIT_SECONDS / 4
    while True:
        try:
            return Lock(path)
        except InputError:
            if time.monotonic() > until:
                raise
        time.sleep(WAIT_SECONDS / 100)


def finish_or_undo(target: Path) -> None:
    """Complete a replacement of a target that a process left when it ended, and remove what it left.

    For everything that is about to look at the target. If a living process is replacing it, wait for that. Where
    nothing is at the target, the folders above it are looked at too.

    Raises:
        InputError: something else has appeared at the target meanwhile.
    """
    target = Path(os.path.realpath(target))
    there = os.path.lexists(target)
    for each in (target,) if there else (*reversed(target.parents), target):
        if each.name:  # not the root of the file system
            _finish_or_undo(each)


def _finish_or_undo(target: Path) -> None:
    folder = partial_folder(target)
    record, until = Record(folder), time.monotonic() + WAIT_SECONDS
    while os.path.isfile(folder / LOCK) or os.path.isfile(record.beside):  # noqa: PTH113 - pathlib fails on long names
        try:
            if Partial.alien(folder) is not None or record.is_held():
                return
            # Of its own, because what `Partial` raises may have another reason than a process that lives
            Lock(folder / LOCK).release(remove=False)
        except InputError:
            if not (folder / SWAP).exists() or time.monotonic() > until:
                return
            time.sleep(WAIT_SECONDS / 100)
        except OSError:  # a medium that can only be read, or a folder that has just been removed
            return
        else:
            Partial(target).tidy()
            return
