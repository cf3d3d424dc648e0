"""Several threads on one piece of work.

These are Python's threads, not numba's `prange`: the kernels release Python's lock, and each `prange` would have LLVM
compile all the code inside it three more times.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


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
