"""The machine: what is free is half taken, and limits of containers count."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from tessera_engine import machine


@pytest.mark.parametrize(
    ("free", "group", "taken"),
    [
        (3 * 10**9, None, 15 * 10**8),
        (64 * 10**9, None, 4 * 10**9),
        (64 * 10**9, 10**9, 5 * 10**8),
        (10**9, 64 * 10**9, 5 * 10**8),
    ],
)
def test_half_of_what_is_free_is_taken_and_4_gb_at_most(monkeypatch, free, group, taken):
    monkeypatch.setattr(machine, "free_of_machine", lambda: free)
    monkeypatch.setattr(machine, "free_of_group", lambda: group)
    assert machine.default_memory() == taken


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"memory.max": "1000\n", "memory.current": "300\n"}, 700),
        ({"memory.max": "max\n", "memory.current": "300\n"}, None),
        ({"memory.max": "100\n", "memory.current": "300\n"}, 0),
        ({"memory/memory.limit_in_bytes": "1000\n", "memory/memory.usage_in_bytes": "1\n"}, 999),
        ({}, None),
    ],
)
def test_a_containers_limit_is_read_in_both_versions(tmp_path, files, free):
    (tmp_path / "memory").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert machine.free_of_group(tmp_path) == free


FAULTS = """
import resource
import numpy as np
from tessera_engine.machine import reuse_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        np.ones(1 << 17)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
reuse_memory()
faults()
print(first, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_arrays_are_used_again_where_a_worker_of_dask_would_give_them_back():
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True
    )
    before, after = map(int, done.stdout.split())
    assert before > 200 * 200  # each array is 256 new pages
    assert after < before / 20
