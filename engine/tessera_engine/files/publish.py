"""The one way in which something that was made takes its name: complete, on the disk, in one step.

The work on `<target>` lies in the folder `<target>.partial` beside it (see `tessera_engine.files.output`):

    lock       held by the process that works there; the system releases it when the process ends
    journal    what an interrupted run has finished
    staging/   its arrays
    output/    the folder that will become the target
    replaced/  what stood at the target, for a moment
    swap       exists while the target is being replaced in two steps

Where the system can exchange two names in one step (Linux, on most file systems), a replacement is that step.
Elsewhere it takes two renames, and between them nothing stands at the target. The file `swap` says so; if the process
ends there, `finish_or_undo` completes the replacement.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.files.durable import Lock, sync_all, sync_file, sync_folder

LOCK, JOURNAL, STAGING, MADE, REPLACED, SWAP = "lock", "journal", "staging", "output", "replaced", "swap"

_AT_FDCWD = -100
_NOREPLACE, _EXCHANGE = 1, 2
_UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)
"""What kernels, file systems and sandboxes answer that don't know these renames."""

_WAIT_SECONDS = 2.0
"""A living process needs far less for its two renames."""


def partial_folder(target: Path) -> Path:
    """Where the work on a target lies."""
    return target.with_name(f"{target.name}.partial")


def publish(made: Path, target: Path, replace: bool) -> None:
    """Give a finished folder its name. A process that is killed meanwhile leaves the old folder or the new one there.

    What stood at the target lies in `<target>.partial` afterwards, for the caller to remove.

    Args:
        made: the folder `output` in `<target>.partial`, whose lock the caller holds.
        target: its name.
        replace: take the place of what stands there; without it, nothing may stand there.

    Raises:
        InputError: something stands there and `replace` isn't given; it is left as it is.
        OSError: a file couldn't be synced or renamed; the target is as it was.
    """
    sync_all(made)
    if replace and os.path.lexists(target):
        if not _renameat2(made, target, _EXCHANGE):
            _swap(made, target)
    else:
        _rename_new(made, target)
    sync_folder(made.parent)
    sync_folder(target.parent)


def publish_file(made: Path, target: Path, replace: bool) -> None:
    """Give a finished file its name, see `publish`.

    Args:
        made: the file, on the target's disk.
        target: its name.
        replace: take the place of a file that stands there.

    Raises:
        InputError: something stands there and `replace` isn't given; it is left as it is.
        OSError: the file couldn't be synced or renamed; the target is as it was.
    """
    sync_file(made)
    if replace:
        made.replace(target)
    else:
        _rename_new(made, target)
    sync_folder(target.parent)


@contextmanager
def new_file(target: Path, replace: bool) -> Iterator[Path]:
    """Give an empty file beside the target, which takes its name when the with-block succeeds, and is removed if not.

    Raises:
        InputError: see `publish_file`.
        OSError: see `publish_file`.
    """
    made = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    with made.open("xb"):
        pass
    try:
        yield made
        publish_file(made, target, replace)
    finally:
        made.unlink(missing_ok=True)


def finish_or_undo(target: Path) -> None:
    """Complete a replacement in two steps that a process left when it ended between them.

    For everything that is about to look at the target. If a living process is replacing it, wait for that.

    Raises:
        InputError: something else has appeared at the target meanwhile.
    """
    target = target.absolute() if target.name else target.resolve()
    if not target.name:  # the root of the file system
        return
    record = partial_folder(target) / SWAP
    until = time.monotonic() + _WAIT_SECONDS
    while record.is_file() and time.monotonic() < until:
        try:
            lock = Lock(record.with_name(LOCK))
        except InputError:  # its process lives
            time.sleep(_WAIT_SECONDS / 100)
            continue
        except OSError:  # a medium that can only be read
            return
        try:
            settle(target)
        finally:
            lock.release(remove=False)


def settle(target: Path) -> None:
    """`finish_or_undo` for the process that holds the lock of `<target>.partial`.

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
    if replaced.exists():
        shutil.rmtree(replaced)
    record.touch()
    sync_folder(record.parent)
    try:
        target.rename(replaced)
        made.rename(target)
        sync_folder(target.parent)
    except BaseException:
        if replaced.exists() and not os.path.lexists(target):
            replaced.rename(target)
        record.unlink()
        raise
    record.unlink()


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
            source.rename(target)  # which only ever takes the place of an empty folder
            return
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            source.rename(target)
            return
        source.unlink()
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
