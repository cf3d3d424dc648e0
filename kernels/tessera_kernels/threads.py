"""Several threads on one piece of work.

These are Python's threads, not numba's `prange`: the kernels release Python's lock, and for each `prange` LLVM would
compile all the code inside it three more times.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from numba import get_num_threads


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


def in_shares(work: Callable[[slice], None], count: int) -> None:
    """Call work(share) at the same time for equal shares of range(count), as many as numba's number of threads."""
    threads = max(1, min(get_num_threads(), count))
    bounds = [count * number // threads for number in range(threads + 1)]
    in_threads(lambda number: work(slice(bounds[number], bounds[number + 1])), threads)
