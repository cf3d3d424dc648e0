"""Windows' rules for open files, on Linux: what this process has open is not renamed, replaced or removed.

Python and GDAL open files there without the right to delete them (FILE_SHARE_DELETE). Bytes that one descriptor locks
can't be read through another one. No folder is opened, and two names are not exchanged in one step.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tessera_engine.files import durable, naming, partial, pinned, publish, windows

EVERYWHERE = (durable, naming, partial, pinned, publish, windows)
"""The modules that ask for the system."""


class Locks:
    """`msvcrt` of Python for Windows, as far as locks go: bytes of a file, from the descriptor's place on."""

    LK_UNLCK, LK_LOCK, LK_NBLCK = 0, 1, 2

    def __init__(self) -> None:
        self.held: dict[tuple[int, int], tuple[int, range]] = {}

    def locking(self, descriptor: int, mode: int, count: int) -> None:
        """Lock or unlock `count` bytes."""
        status = os.fstat(descriptor)
        file, start = (status.st_dev, status.st_ino), os.lseek(descriptor, 0, os.SEEK_CUR)
        taken = range(start, start + count)
        holder = self.held.get(file)
        if mode == self.LK_UNLCK:
            if holder != (descriptor, taken):
                raise PermissionError(13, "Permission denied")
            del self.held[file]
        elif holder is not None and holder[0] in open_descriptors(file):
            raise PermissionError(13, "Permission denied")
        else:
            self.held[file] = (descriptor, taken)

    def check_readable(self, descriptor: int, count: int) -> None:
        """Refuse to read bytes that another descriptor holds."""
        status = os.fstat(descriptor)
        holder = self.held.get((status.st_dev, status.st_ino))
        start = os.lseek(descriptor, 0, os.SEEK_CUR)
        if (
            holder is not None
            and holder[0] != descriptor
            and set(holder[1]) & set(range(start, start + count))
        ):
            raise PermissionError(13, "Permission denied")


def open_descriptors(file: tuple[int, int]) -> list[int]:
    """Descriptors of this process for a file."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:  # the listing's own
            continue
        if (status.st_dev, status.st_ino) == file:
            found.append(int(name))
    return found


def open_files() -> set[Path]:
    """Files, not folders, that this process has open or mapped."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(Path(os.readlink(f"/proc/self/fd/{name}")))
        except OSError:
            continue
    with open("/proc/self/maps", encoding="utf-8") as maps:
        found |= {Path(line.split(maxsplit=5)[5].rstrip("\n")) for line in maps if line.count("/")}
    return {path for path in found if path.is_absolute() and not path.is_dir()}


def check_closed(path: Path) -> None:
    """Refuse to move or remove what is open, or holds something open."""
    place = Path(os.path.realpath(path.parent), path.name)
    busy = [each for each in open_files() if each == place or place in each.parents]
    if busy:
        raise PermissionError(13, f"Windows: {busy[0]} is open", str(path))


def _whole(path: object, folder: int | None) -> Path:
    return Path("" if folder is None else os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(path))


@contextmanager
def windows_rules() -> Iterator[Locks]:
    """Let the engine's files follow these rules, as it does on Windows."""
    locks = Locks()
    with pytest.MonkeyPatch.context() as patch:
        for module in EVERYWHERE:
            if hasattr(module, "sys"):
                patch.setattr(module, "sys", types.SimpleNamespace(platform="win32"))
        patch.setitem(sys.modules, "msvcrt", locks)
        own = _as_on_windows(durable, patch)
        for name in ("_lock", "_unlock"):
            patch.setattr(durable, name, getattr(own, name))
        patch.setattr(publish, "_renameat2", lambda *names: False)
        patch.setattr(windows, "_takes_long_paths", lambda: False)
        for name in ("rename", "replace", "unlink", "remove", "read"):
            patch.setattr(os, name, _ruled(name, getattr(os, name), locks))
        yield locks


def _as_on_windows(module: types.ModuleType, patch: pytest.MonkeyPatch) -> types.ModuleType:
    """A second copy of a module, which takes its branches for Windows as it loads."""
    spec = importlib.util.spec_from_file_location(f"{module.__name__}_on_windows", module.__file__)
    copy = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as loading:
        loading.setattr(sys, "platform", "win32")
        spec.loader.exec_module(copy)
    return copy


def _ruled(name: str, honest, locks: Locks):
    def rename(source, target, *, src_dir_fd=None, dst_dir_fd=None):
        check_closed(_whole(source, src_dir_fd))
        if os.path.lexists(_whole(target, dst_dir_fd)):
            if name == "rename":
                raise FileExistsError(17, "File exists", os.fsdecode(target))
            check_closed(_whole(target, dst_dir_fd))
        return honest(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def unlink(path, *, dir_fd=None):
        check_closed(_whole(path, dir_fd))
        return honest(path, dir_fd=dir_fd)

    def read(descriptor, count):
        locks.check_readable(descriptor, count)
        return honest(descriptor, count)

    return {"rename": rename, "replace": rename, "unlink": unlink, "remove": unlink, "read": read}[name]
