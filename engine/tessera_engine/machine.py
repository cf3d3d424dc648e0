"""What this machine has to give: memory and CPU threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba

from tessera_engine.errors import InputError

_numba_config: Any = numba.config


DEFAULT_LIMIT = 4 * 10**9


def default_memory() -> int:
    """Half of the free memory, at most `DEFAULT_LIMIT`; that where the system doesn't say."""
    free = [bytes_ for bytes_ in (free_of_machine(), _free_of_group()) if bytes_ is not None]
    return min([each // 2 for each in free] + [DEFAULT_LIMIT])


def free_of_machine() -> int | None:
    """Bytes that the system could give to programs; None where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None


def _free_of_group(groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a container or a batch system leaves; None where there is no limit."""
    # Version 2 of control groups, then version 1
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            return max(0, int((groups / limit).read_text()) - int((groups / used).read_text()))
        except (OSError, ValueError):  # there is no such file, or it says "max"
            continue
    return None


def check_threads(threads: int | None) -> int:
    """How many CPU threads to use: `threads`, or all that this process may use for None.

    Raises:
        InputError: more than there are.
    """
    available = int(_numba_config.NUMBA_NUM_THREADS)  # the CPUs of this process, or fewer if the user says so
    if threads is not None and not 1 <= threads <= available:
        raise InputError(f"--threads {threads} can't be had: this machine gives from 1 to {available}")
    return threads or available
