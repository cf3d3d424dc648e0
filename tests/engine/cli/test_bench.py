"""Runners: a process a backend, whose failures come back as what they were."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from fake_backend import FakeBackend, killed_backend, missing_backend
from made_up import FakeReader, made_up_arrays

from tessera_engine.cli.pages.bench import Runner, compare
from tessera_engine.errors import MissingExtra, TesseraError
from tessera_engine.tokens import pack

READER = FakeReader(made_up_arrays())
OBSERVATIONS = READER.read(READER.grid.window)


def test_a_runner_gives_what_the_backend_gives():
    backend = FakeBackend()
    wanted = backend.run(pack(OBSERVATIONS, backend.model.facts).tokens)
    with Runner(FakeBackend, OBSERVATIONS, threads=1) as runner:
        np.testing.assert_array_equal(runner.embedding, wanted)
        assert runner.seconds() > 0


def test_rows_are_ratios_to_the_faster_baseline_of_each_round():
    class Fixed:
        def __init__(self, times):
            self.times, self.embedding = iter(times), np.eye(4, dtype=np.float32)

        def seconds(self):
            return next(self.times)

    runners = {"a": Fixed([2.0, 8.0, 2.0]), "b": Fixed([4.0, 4.0, 4.0]), "c": Fixed([1.0, 1.0, 2.0])}
    told = []
    rows = compare(runners, ["a", "b"], rounds=3, progress=lambda *done: told.append(done))
    assert [row.ratio for row in rows] == [1.0, 0.5, 2.0]  # of c: 2, 4 and 1
    assert [row.pixels_per_second for row in rows] == [2.0, 1.0, 4.0]
    assert told[-1] == (9, 9)


def test_a_missing_extra_comes_back_from_the_other_process():
    with pytest.raises(MissingExtra, match=r"pip install '\.\[openvino\]'"):
        Runner(missing_backend, OBSERVATIONS, threads=1)


def test_a_killed_process_is_told():
    with pytest.raises(TesseraError, match="ended with exit code -9"):
        Runner(killed_backend, OBSERVATIONS, threads=1)


def test_a_process_that_cannot_even_begin_is_told(tmp_path, monkeypatch):
    """Its main module fails; nobody reads what is larger than a pipe holds."""
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(7)")
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(broken))
    large = FakeReader(made_up_arrays(64, 64))
    observations = large.read(large.grid.window)
    with pytest.raises(TesseraError, match="ended with exit code 7"):
        Runner(FakeBackend, observations, threads=1)
