"""Work that is done by several threads at once."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from tessera_kernels.threads import get_threads, in_shares, in_threads


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_number_has_a_thread_of_its_own(threads):
    together, seen = threading.Barrier(threads, timeout=60), {}

    def work(number):
        together.wait()  # passes only if all of them run at the same time
        seen[number] = threading.get_ident()

    in_threads(work, threads)
    assert sorted(seen) == list(range(threads))
    assert len(set(seen.values())) == threads
    assert seen[0] == threading.get_ident()


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_in_any_thread_is_raised(failing):
    def work(number):
        if number == failing:
            raise ValueError(number)

    with pytest.raises(ValueError, match=str(failing)):
        in_threads(work, 2)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_shares_cover_everything_once(count):
    shares = []
    in_shares(shares.append, count)
    assert len(shares) <= max(1, min(get_threads(), count))
    assert sorted(i for share in shares for i in range(count)[share]) == list(range(count))


@pytest.mark.parametrize(("count", "expected"), [(0, 1), (9, 1), (19, 1), (20, 2), (29, 2), (1000, 4)])
def test_every_share_is_worth_a_thread(monkeypatch, count, expected):
    monkeypatch.setattr("tessera_kernels.threads._threads", 4)
    shares = []
    in_shares(shares.append, count, 10)
    assert len(shares) == expected
    assert sorted(i for share in shares for i in range(count)[share]) == list(range(count))


def test_kernels_load_no_openmp():
    """Numba's own threads would load it for the whole process, and make PyTorch slow where it comes later."""
    code = (
        "import numpy as np; from tessera_kernels.quantize import quantize; quantize(np.ones((64, 8), np.float32));"
        "import numba.np.ufunc.parallel as parallel; print(parallel._is_initialized)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
