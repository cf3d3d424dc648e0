"""Each way to run each size of model, in alternating rounds on the same ragged pixels."""

from __future__ import annotations

import importlib.util
from contextlib import ExitStack
from functools import partial

import pytest
import torch
from peak import multiplications, peak

from tessera_engine.backends.choosing import make_backend
from tessera_engine.backends.fused import choose_isa
from tessera_engine.cli.pages.bench import Runner, compare
from tessera_engine.machine import check_threads
from tessera_engine.model.drift import THRESHOLDS
from tessera_engine.model.file import read_model_file
from tessera_engine.scenes.sampling import sample_observations
from tessera_engine.tokens import pack
from tessera_export.checkpoint import save_checkpoint
from tessera_export.export import export_model
from tessera_export.reference import SIZES, Reference
from tessera_export.torch_backend import EAGER_BATCHES, eager_baseline
from tessera_kernels.encoder.plan import INT8
from tessera_kernels.threads import set_threads

PIXELS = {"nano": 512, "small": 128, "medium": 64, "large": 64}
ROUNDS = 7
RUNTIMES = ("fused", "onnxruntime", "openvino")


@pytest.mark.parametrize("size", PIXELS)
def test_network(benchmark, size, tmp_path):
    """The published shapes with random weights."""
    torch.manual_seed(0)
    save_checkpoint(Reference(SIZES[size]).eval(), tmp_path / "checkpoint.pt")
    files = {}
    for precision in ("fp32", "int8"):
        export_model(tmp_path / "checkpoint.pt", tmp_path / f"{precision}.onnx", precision)
        files[precision] = read_model_file(tmp_path / f"{precision}.onnx")
    facts, threads = files["int8"].facts, check_threads(None)
    observations = sample_observations(None, facts, PIXELS[size])
    makers = {
        f"PyTorch eager, batch {batch}": partial(eager_baseline, files["fp32"], threads, batch)
        for batch in EAGER_BATCHES
    }
    baselines = list(makers)
    for name in RUNTIMES:
        if name == "openvino" and importlib.util.find_spec("openvino") is None:
            continue
        for precision, file in files.items():
            makers[f"{name} {precision}"] = partial(make_backend, file, name, threads)
    with ExitStack() as stack:
        runners = {
            name: stack.enter_context(Runner(make, observations, threads)) for name, make in makers.items()
        }
        rows = compare(runners, baselines, ROUNDS)
        benchmark.pedantic(runners["fused int8"].seconds, rounds=ROUNDS)
    for row in rows:
        if row.name.endswith("int8"):
            # Random weights drift more than trained ones: this only says that nothing is broken
            assert row.drift.centred_mean > 0.98, row
        else:
            assert THRESHOLDS["fp32"].failures(row.drift) == [], row
    tokens = pack(observations, facts).tokens
    benchmark.extra_info.update(
        size=size,
        pixels=len(tokens),
        tokens=[len(tokens.s2.values) / len(tokens), len(tokens.s1.values) / len(tokens)],
        threads=threads,
        rows={
            row.name: {
                "pixels_per_second": row.pixels_per_second,
                "ratio": row.ratio,
                "centred_mean": row.drift.centred_mean,
                "centred_p1": row.drift.centred_p1,
            }
            for row in rows
        },
    )
    arithmetic = INT8[choose_isa()]
    if arithmetic.dot.startswith("vpdpbusd"):
        set_threads(threads)
        (fused,) = (row for row in rows if row.name == "fused int8")
        done = multiplications(facts, tokens) / len(tokens) * fused.pixels_per_second
        benchmark.extra_info["share_of_peak"] = done / peak(arithmetic, threads)
