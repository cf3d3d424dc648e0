"""Memory: what is free is half taken, limits of containers count, and too little is said with what is needed."""

from __future__ import annotations

import sys

import pytest
from fake_backend import FakeBackend
from hypothesis import given
from hypothesis import strategies as st
from made_up import FakeReader, made_up_arrays
from soak.memory import peak_bytes

from tessera_engine import memory
from tessera_engine.errors import InputError
from tessera_engine.memory import default_memory, window_pixels
from tessera_engine.simulate import simulate


@pytest.mark.parametrize(
    ("machine", "group", "taken"),
    [
        (3 * 10**9, None, 15 * 10**8),
        (64 * 10**9, None, 4 * 10**9),
        (64 * 10**9, 10**9, 5 * 10**8),
        (10**9, 64 * 10**9, 5 * 10**8),
        (None, None, 4 * 10**9),
    ],
)
def test_half_of_what_is_free_is_taken_and_4_gb_at_most(monkeypatch, machine, group, taken):
    monkeypatch.setattr(memory, "free_of_machine", lambda: machine)
    monkeypatch.setattr(memory, "_free_of_group", lambda: group)
    assert default_memory() == taken


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
    assert memory._free_of_group(tmp_path) == free


@given(st.integers(10**6, 10**10))
def test_windows_fit_or_the_refusal_says_what_would(limit):
    reader, model = FakeReader(made_up_arrays()), FakeBackend().model
    try:
        pixels = window_pixels(limit, reader, model)
    except InputError as refused:
        needed = int(str(refused).rsplit("at least ", 1)[1].removesuffix("MB")) * 10**6
        assert needed > limit
        assert window_pixels(needed, reader, model) >= memory.MIN_WINDOW_PIXELS
    else:
        assert memory.MIN_WINDOW_PIXELS <= pixels <= memory.MAX_WINDOW_PIXELS
        assert memory.expected_memory(pixels, reader, model) <= limit


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs wait4")
@pytest.mark.parametrize("size", [(256, 256), (4096, 16)])
def test_a_run_stays_below_its_limit(tmp_path, size):
    simulate(tmp_path / "scene", size, seed=1)
    peak_bytes(tmp_path, "--int8")  # kernels that have to be compiled take more, once
    assert peak_bytes(tmp_path, "--int8", "--memory", "300MB") < 300e6
