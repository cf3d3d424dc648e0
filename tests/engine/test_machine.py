"""The machine: what is free is half taken, and limits of containers count."""

from __future__ import annotations

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
