"""Runners: a process a backend, whose failures come back as what they were."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from fake_backend import FakeBackend, killed_backend, missing_backend
from made_up import FakeReader, made_up_arrays, write_tile

from tessera_engine.cli.pages import bench
from tessera_engine.cli.pages.bench import Row, Runner, best_forms, compare, turn, ways_to_run, with_qdq
from tessera_engine.errors import MissingExtra, TesseraError
from tessera_engine.model.drift import measure
from tessera_engine.model.installed import open_model
from tessera_engine.scenes.sampling import sample_observations
from tessera_engine.tokens import pack
from tessera_kernels.cpu import has_bfloat16

READER = FakeReader(made_up_arrays())
OBSERVATIONS = READER.read(READER.grid.window)


def test_a_runner_gives_what_the_backend_gives():
    backend = FakeBackend()
    wanted = backend.run(pack(OBSERVATIONS, backend.model.facts).tokens)
    with Runner(FakeBackend, OBSERVATIONS, threads=1) as runner:
        np.testing.assert_array_equal(runner.embedding, wanted)
        assert runner.how == "paper"
        assert runner.seconds() > 0


@pytest.mark.parametrize(
    ("seconds", "expected", "runs"),
    [([0.3, 0.1, 0.1, 0.1, 0.1, 0.1], 0.1, 6), ([0.5], 0.5, 1), ([0.3, 0.2, 0.6], 0.4, 3)],
)
def test_a_short_first_run_of_a_turn_does_not_count(monkeypatch, seconds, expected, runs):
    now, left = [0.0], list(seconds)

    def run():
        now[0] += left.pop(0)

    monkeypatch.setattr(bench.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(bench, "TURN_SECONDS", 0.4)
    assert turn(run) == pytest.approx(expected)
    assert len(seconds) - len(left) == runs


def test_rows_are_ratios_to_the_faster_baseline_of_each_round():
    class Fixed:
        def __init__(self, times):
            self.times, self.embedding, self.how = iter(times), np.eye(4, dtype=np.float32), "paper"

        def seconds(self):
            return next(self.times)

    runners = {"a": Fixed([2.0, 8.0, 2.0]), "b": Fixed([4.0, 4.0, 4.0]), "c": Fixed([1.0, 1.0, 2.0])}
    told = []
    rows = compare(runners, ["a", "b"], rounds=3, progress=lambda *done: told.append(done))
    assert [row.ratio for row in rows] == [1.0, 0.5, 2.0]  # of c: 2, 4 and 1
    assert [row.pixels_per_second for row in rows] == [2.0, 1.0, 4.0]
    assert rows[2].times(rows[0]) == 2.0  # 2, 8 and 1
    assert rows[0].how == "paper"
    assert told[-1] == (9, 9)


def row(name, speed, seconds=(1.0,)):
    return Row(name, speed, 1.0, measure(*[np.eye(4, dtype=np.float32)] * 2), seconds=seconds)


def test_the_fastest_form_of_each_runtime_counts():
    rows = [
        row("torch eager fp32", 5),
        row("torch eager bf16", 9),
        row("openvino fp32", 7),
        row("fused int8", 20),
    ]
    rows.append(row("openvino qdq bf16", 12))
    assert [each.name for each in best_forms(rows, {"torch", "openvino"})] == [
        "openvino qdq bf16",
        "torch eager bf16",
    ]
    assert [each.name for each in best_forms(rows, {"fused", "tensorrt"})] == ["fused int8"]


def test_every_runtime_that_is_installed_runs_in_every_form(tmp_path):
    pytest.importorskip("torch")
    files = {precision: open_model("demo", precision) for precision in ("fp32", "int8")}
    plain, baselines = ways_to_run(files, 1, "cpu")
    assert baselines == ["torch eager fp32"]
    assert {"fused int8", "fused fp32", "onnxruntime fp32", "onnxruntime int8"} <= plain.keys()
    scene = write_tile(tmp_path / "scene", made_up_arrays(8, 8))  # calibrating on a larger one takes longer
    full, _ = ways_to_run(with_qdq(files, str(scene), tmp_path), 1, "cpu", full=True)
    wanted = {"torch compiled fp32", "onnxruntime qdq float", "onnxruntime qdq integer"}
    installed = importlib.util.find_spec("openvino") is not None
    wanted |= {"openvino qdq f32"} if installed else set()
    if has_bfloat16():
        wanted |= {"torch eager bf16", "torch compiled bf16"}
        wanted |= {"openvino fp32 bf16", "openvino qdq bf16"} if installed else set()
    assert full.keys() - plain.keys() == wanted
    tokens = pack(sample_observations(None, files["fp32"].facts, 16), files["fp32"].facts).tokens
    exact = full["torch eager fp32"]().run(tokens)
    left_out = {"torch compiled fp32", "torch compiled bf16"}  # these take a minute each
    left_out |= set() if installed else {name for name in full if name.startswith("openvino")}
    for name in full.keys() - left_out:
        backend = full[name]()
        drift = measure(exact, backend.run(tokens))
        assert drift.centred_mean > (0.99 if "qdq" in name or "bf16" in name else 0.9999), (name, drift)
        assert not ("bf16" in name and backend.computes_on == "CPU")


def test_a_limit_of_the_gpu_is_refused_before_anything_is_loaded(run, monkeypatch):
    monkeypatch.setattr("tessera_engine.scenes.sampling.sample_observations", None)
    code, _, err = run("bench", "--device", "cpu", "--device-memory", "4GB")
    assert code == 2
    assert "--device-memory limits a GPU" in err


def test_pytorch_keeps_the_faster_batch():
    pytest.importorskip("torch")
    from tessera_export.torch_backend import cpu_baseline

    model = open_model("demo", "fp32")
    backend = cpu_baseline(model, 1)
    assert "batches of 32 or 128" in backend.computes_on
    backend.run(pack(sample_observations(None, model.facts, 16), model.facts).tokens)
    assert backend.computes_on.endswith(("batches of 32", "batches of 128"))


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
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None, raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(broken), raising=False)
    large = FakeReader(made_up_arrays(64, 64))
    observations = large.read(large.grid.window)
    with pytest.raises(TesseraError, match="ended with exit code 7"):
        Runner(FakeBackend, observations, threads=1)
