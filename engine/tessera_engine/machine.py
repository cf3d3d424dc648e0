"""What this machine has to give: memory and CPU threads."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

import numba
import psutil

from tessera_engine.errors import InputError

_numba_config: Any = numba.config

DEFAULT_LIMIT = 4 * 10**9
"""Bytes that a process takes at most when nobody says how many."""


def default_memory() -> int:
    """Bytes that a process may take: half of the free memory, at most `DEFAULT_LIMIT`."""
    free = [bytes_ for bytes_ in (free_of_machine(), free_of_group()) if bytes_ is not None]
    return min([each // 2 for each in free] + [DEFAULT_LIMIT])


def free_of_machine() -> int:
    """Bytes that the system could give to programs."""
    return int(psutil.virtual_memory().available)


def free_of_group(groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that a container or a batch system leaves free; None if it sets no limit.

    Args:
        groups: where Linux shows its control groups.
    """
    # Version 2 of control groups, then version 1
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            return max(0, _number(groups / limit) - _number(groups / used))
        except (OSError, ValueError):  # there is no such file, or it says "max"
            continue
    return None


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))


def give_back_memory() -> None:
    """Return to the system what this process has freed and the C library still keeps for itself.

    glibc keeps much of it: after the windows of a run, tens of MB that count as the process's.
    """
    if sys.platform == "linux":
        # Not in other C libraries, such as musl, which keep little
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""`mallopt` of glibc knows its settings by these numbers (malloc.h)."""

_LARGEST_KEPT = 32 << 20
"""glibc itself lets its threshold grow to this, unless somebody sets one of them."""


def reuse_memory() -> None:
    """Let the C library use freed arrays again, where the environment says that each goes back to the system at once.

    Dask's nanny says so (`MALLOC_TRIM_THRESHOLD_`). Then every array of 128 KiB and more is new pages, which the
    system has to clear.
    """
    if sys.platform == "linux" and "MALLOC_TRIM_THRESHOLD_" in os.environ:
        change = getattr(ctypes.CDLL(None), "mallopt", None)
        if change is not None:
            change(_MMAP_THRESHOLD, _LARGEST_KEPT)
            change(_TRIM_THRESHOLD, 2 * _LARGEST_KEPT)


def check_threads(threads: int | None) -> int:
    """How many CPU threads to use: `threads`, or for None all that this process may use.

    Raises:
        InputError: not a whole number, fewer than one, or more than this process may use.
    """
    # The CPUs of this process, or fewer if NUMBA_NUM_THREADS says so
    available = int(_numba_config.NUMBA_NUM_THREADS)
    if threads is not None and type(threads) is not int:
        raise InputError(f"threads={threads!r} is not a whole number; give one from 1 to {available}")
    if threads is not None and not 1 <= threads <= available:
        raise InputError(f"threads={threads} is not available: this machine has from 1 to {available}")
    return threads or available
