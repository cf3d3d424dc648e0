"""The one way in which something that was made takes its name: complete, on the disk, in one step.

Where the system can exchange two names in one step (Linux, on most file systems), a replacement is that step.
Elsewhere a folder is replaced by two renames, and between them nothing stands at the target. The file `swap` in
`<target>.partial` says so; if the process ends there, `settle` completes the replacement. A file is replaced by one
rename everywhere.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.durable import sync_all, sync_file, sync_folder
from tessera_engine.files.windows import patiently

MADE, REPLACED, SWAP = "output", "replaced", "swap"

_LONGEST_NAME = 255
"""Bytes of a file's name, on every common file system."""

_AT_FDCWD = -100
_NOREPLACE, _EXCHANGE = 1, 2
_UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)
"""What kernels, file systems and sandboxes answer that don't know these renames."""


def partial_folder(target: Path) -> Path:
    """Where the work on a target lies: `<target>.partial`, or a shorter name where that is too long for a file."""
    name = target.name
    if len(os.fsencode(name)) > _LONGEST_NAME - len(".partial.done"):
        name = f"{name[:40]}.{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    return target.with_name(f"{name}.partial")


def publish(made: Path, target: Path, replace: bool) -> None:
    """Give a finished file or folder its name. A process that is killed meanwhile leaves the old or the new there.

    A folder that stood at the target lies in `<target>.partial/replaced` afterwards, for the caller to remove.

    Args:
        made: `output` in `<target>.partial`, whose lock the caller holds.
        target: its name.
        replace: take the place of what stands there; without it, nothing may stand there.

    Raises:
        InputError: something stands there and `replace` isn't given; it is left as it is.
        TesseraError: another program keeps what is there open, on Windows; it is left as it is.
        OSError: a file couldn't be renamed; the target is as it was.
    """
    if not (replace and os.path.lexists(target)):
        _rename_new(made, target)
    elif not made.is_dir():
        with _open_elsewhere(target):
            patiently(lambda: made.replace(target))
    elif _renameat2(made, target, _EXCHANGE):
        with suppress(OSError):  # the new one has its name already
            made.rename(made.with_name(REPLACED))
    else:
        _swap(made, target)
    sync_folder(made.parent)
    sync_folder(target.parent)


def sync_made(made: Path) -> None:
    """Wait until a file or folder is on the disk, before it gets its name."""
    (sync_all if made.is_dir() else sync_file)(made)
    sync_folder(made.parent)


@contextmanager
def rewritten(path: Path) -> Iterator[Path]:
    """Give a name to write a file of ours in `<target>.partial` again; the old or the new is there at every moment.

    Raises:
        OSError: the file couldn't be synced or renamed; the old one stays.
    """
    fresh = path.with_name(f"{path.name}.new")
    yield fresh
    sync_file(fresh)
    patiently(lambda: fresh.replace(path))
    sync_folder(path.parent)


def settle(target: Path) -> None:
    """Complete a replacement in two steps that a process left when it ended between them.

    For the process that holds the lock of `<target>.partial`.

    Raises:
        InputError: something else has appeared at the target meanwhile.
    """
    folder = partial_folder(target)
    made, replaced, record = folder / MADE, folder / REPLACED, folder / SWAP
    if not record.is_file():
        return
    if made.exists() and replaced.exists():
        _rename_new(made, target)
    elif replaced.exists() and not os.path.lexists(target):
        _rename_new(replaced, target)
    sync_folder(target.parent)
    record.unlink()
    sync_folder(folder)


def _swap(made: Path, target: Path) -> None:
    """Replace the target by two renames, so that `settle` can complete them."""
    replaced, record = made.with_name(REPLACED), made.with_name(SWAP)
    record.touch()
    sync_folder(record.parent)
    try:
        with _open_elsewhere(target):
            patiently(lambda: target.rename(replaced))
        patiently(lambda: made.rename(target))
        sync_folder(target.parent)
    except BaseException:
        if replaced.exists() and not os.path.lexists(target):
            patiently(lambda: replaced.rename(target))
        record.unlink()
        raise
    record.unlink()


@contextmanager
def _open_elsewhere(target: Path) -> Iterator[None]:
    """Windows renames and replaces nothing that is open."""
    try:
        yield
    except PermissionError:
        if sys.platform != "win32":
            raise
        raise TesseraError(
            f"{target} is open in another program, so Windows doesn't let it be replaced; it is as it was: close "
            "that program and give the same command again"
        ) from None


def _rename_new(source: Path, target: Path) -> None:
    """Rename onto nothing.

    Raises:
        InputError: something stands at the target.
    """
    try:
        if _renameat2(source, target, _NOREPLACE):
            return
        if os.path.lexists(target):
            raise FileExistsError
        if source.is_dir():
            patiently(lambda: source.rename(target))  # which only ever takes the place of an empty folder
            return
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            patiently(lambda: source.rename(target))
            return
        patiently(source.unlink)
    except FileExistsError:
        raise InputError(
            f"{target} has appeared in the meantime and is left as it is; remove it, or choose another out="
        ) from None


def _renameat2(source: Path, target: Path, flag: int) -> bool:
    """Rename with a flag of Linux; False where the system doesn't know it.

    Raises:
        OSError: it does, and the rename failed.
    """
    call = _system_call()
    if call is None:
        return False
    import ctypes

    if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))


@cache
def _system_call() -> Callable[..., int] | None:
    """The C library's renameat2."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    with suppress(OSError, AttributeError):
        call = ctypes.CDLL(None, use_errno=True).renameat2
        call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
        return call
    return None
