"""Benchmarks that are run by hand still run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import stages

from tessera_kernels.threads import get_threads, set_threads

ROOT = Path(__file__).parents[2]


def test_stages_are_timed(monkeypatch, capsys):
    monkeypatch.setattr(stages, "TURNS", 1)
    monkeypatch.setattr(sys, "argv", ["stages.py", "--size", "16"])
    threads = get_threads()
    try:
        stages.main()
    finally:
        set_threads(threads)
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()]
    costs = {name.strip(): float(micros) for name, micros, *_ in rows[2:]}
    assert len(costs) == 12
    assert costs["network"] > costs["pack"] > 0


@pytest.mark.slow
def test_reading_and_packing_are_timed():
    """Every layout is read, and every window has observations."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "benchmarks/test_reading.py", "benchmarks/test_kernels.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert " passed" in done.stdout
