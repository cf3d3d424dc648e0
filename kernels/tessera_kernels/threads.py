"""Several threads on one piece of work.

These are Python's threads, not numba's: the kernels release Python's lock. For each `prange`, LLVM would compile all
the code inside it three more times. And numba's own threads load OpenMP and allow nested parallel regions in it for the
whole process, which made PyTorch 25 times slower where it was imported later. Even `numba.get_num_threads` starts them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba

_config: Any = numba.config  # its settings are made at run time, which mypy can't see

_threads: int = _config.NUMBA_NUM_THREADS


def set_threads(threads: int) -> None:
    """Set how many threads all kernels of this process use from now on."""
    global _threads
    _threads = threads


def get_threads() -> int:
    """How many threads kernels use: at first all that this process may use, or what NUMBA_NUM_THREADS says."""
    return _threads


def in_threads(work: Callable[[int], None], threads: int) -> None:
    """Call work(0) in this thread and work(1) to work(threads - 1) in others at the same time; wait for all.

    Raises the first error of any of them.
    """
    if threads == 1:
        work(0)
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(work, number) for number in range(1, threads)]
        work(0)
    for other in others:
        other.result()


def in_shares(work: Callable[[slice], None], count: int, least: int = 1) -> None:
    """Call work(share) at the same time for equal shares of range(count), at most as many as `get_threads`.

    Args:
        work: what is called.
        count: how much there is to do.
        least: a share's size from which on it is worth a thread: to start one takes about 0.1 ms.
    """
    threads = max(1, min(get_threads(), count // least))
    bounds = [count * number // threads for number in range(threads + 1)]
    in_threads(lambda number: work(slice(bounds[number], bounds[number + 1])), threads)
