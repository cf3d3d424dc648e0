"""What survives a power cut: files and names that are on the disk. And locks, which end with their process."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tessera_engine.errors import InputError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a full disk, or of a user's full share of it."""

FAILED_DISK = (*FULL, errno.EIO)
"""Errors of the disk. Others mean that the place can't be used, whatever the disk does."""


def sync_file(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    # Only Windows has to open it for writing; others can sync a file that may only be read
    with path.open("r+b" if sys.platform == "win32" else "rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk. Windows writes them together with the files."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """Wait until a folder and everything in it are on the disk."""
    for path in folder.rglob("*"):
        (sync_folder if path.is_dir() else sync_file)(path)
    sync_folder(folder)


def lock_shared(descriptor: int) -> bool:
    """Mark an open folder as read, until it is closed. False: another process is about to remove it."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without such locks, like some network shares
        pass
    return True


def is_read(folder: Path) -> bool:
    """Whether a process reads a folder through `tessera_engine.files.pinned`."""
    if sys.platform == "win32":
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without such locks, like some network shares
        return False
    finally:
        os.close(descriptor)
    return False


def link(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system has no hard links (FAT, some network shares), copy it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
"""A link in the place of a lock could point to anything."""

_DIGITS = 10
"""Of the number of any process; the text of a lock always has the same length."""


class Lock:
    """A file that one process at a time can hold. The system releases it when the process ends, in whatever way."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            InputError: another process holds it.
        """
        self.path = path
        while True:
            path.parent.mkdir(exist_ok=True)
            try:
                self._descriptor = os.open(path, _OPEN, 0o666)
            except FileNotFoundError:  # its holder has just finished and removed the folder
                continue
            if not _lock(self._descriptor):
                holder = _read(self._descriptor) or "unknown"
                os.close(self._descriptor)
                raise InputError(
                    f"another run (process {holder}) is writing {path.parent}; wait for it, or choose another out="
                )
            if _is_at(self._descriptor, path):
                break
            os.close(self._descriptor)
        # In one step and on the disk, before anything else is written beside it: an empty lock shows that nothing was
        os.write(self._descriptor, b"%-*d\n" % (_DIGITS, os.getpid()))
        with suppress(OSError):  # a file system that can't
            os.fsync(self._descriptor)

    def release(self, remove: bool) -> None:
        """Release it; `remove` deletes the file, while nobody else can hold it."""
        if remove and sys.platform != "win32":
            self.path.unlink(missing_ok=True)
        _unlock(self._descriptor)
        os.close(self._descriptor)
        if remove and sys.platform == "win32":  # which can't delete an open file
            with suppress(PermissionError):  # another process has just opened it, and it is theirs now
                self.path.unlink(missing_ok=True)


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a file during the block; gives False where another process holds it, or where it has just gone.

    On Windows nothing is held, because a file that is open can't be renamed there.
    """
    if sys.platform == "win32":
        yield path.exists()
        return
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _lock(descriptor) and _is_at(descriptor, path)
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one of that name: its last holder may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _read(descriptor: int) -> str:
    return os.read(descriptor, 20).decode("ascii", "replace").strip()


if sys.platform == "win32":
    import msvcrt

    _HELD = 1 << 30
    # Windows lets nobody else read a byte that is held. This one lies behind the number, which others have to read

    def _lock(descriptor: int) -> bool:
        return _at_held(descriptor, msvcrt.LK_NBLCK)

    def _unlock(descriptor: int) -> None:
        _at_held(descriptor, msvcrt.LK_UNLCK)  # by itself Windows unlocks some time after the file is closed

    def _at_held(descriptor: int, mode: int) -> bool:
        os.lseek(descriptor, _HELD, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, mode, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        """Closing the file does it."""
