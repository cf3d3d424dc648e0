"""Each way to run each size of model, on the same ragged pixels; and the whole command."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tessera_engine.api import embed, load_model
from tessera_engine.backends import make_backend
from tessera_engine.drift import THRESHOLDS, measure
from tessera_engine.model_file import read_model_file
from tessera_engine.sampling import sample_tokens
from tessera_export.checkpoint import save_checkpoint
from tessera_export.export import export_model
from tessera_export.reference import SIZES, Reference
from tessera_export.torch_backend import eager_baselines

PIXELS = {"nano": 384, "small": 96, "medium": 48}
THREADS = 1
"""More, and the idle threads of one runtime spin on the cores of the next: PyTorch was seen fifty times slower."""


@pytest.fixture(scope="session", params=PIXELS)
def models(request, tmp_path_factory):
    """Model files of a published shape with random weights, at both precisions, and pixels for them."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    save_checkpoint(Reference(SIZES[request.param]).eval(), folder / "checkpoint.pt")
    files = {}
    for precision in ("fp32", "int8"):
        export_model(folder / "checkpoint.pt", folder / f"{precision}.onnx", precision)
        files[precision] = read_model_file(folder / f"{precision}.onnx")
    tokens = sample_tokens(None, files["fp32"].facts, PIXELS[request.param])
    reference = eager_baselines(files["fp32"], THREADS)["torch eager, batch 32"].run(tokens)
    return request.param, files, tokens, reference


@pytest.mark.parametrize("batch", [32, 256])
def test_torch(benchmark, models, batch):
    size, files, tokens, reference = models
    backend = eager_baselines(files["fp32"], THREADS)[f"torch eager, batch {batch}"]
    embedding = benchmark.pedantic(backend.run, (tokens,), rounds=5, warmup_rounds=1)
    benchmark.extra_info.update(size=size, pixels=len(tokens), threads=THREADS)
    assert THRESHOLDS["fp32"].failures(measure(reference, embedding)) == []


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", ["fused", "onnxruntime", "openvino"])
def test_backend(benchmark, models, name, precision):
    size, files, tokens, reference = models
    if name == "openvino":
        pytest.importorskip("openvino", reason="the extra 'openvino' isn't installed")
    backend = make_backend(files[precision], name, THREADS)
    embedding = benchmark.pedantic(backend.run, (tokens,), rounds=5, warmup_rounds=1)
    drift = measure(reference, embedding)
    benchmark.extra_info.update(
        size=size,
        pixels=len(tokens),
        threads=THREADS,
        centred_mean=drift.centred_mean,
        centred_p1=drift.centred_p1,
    )
    # Random weights drift more than trained ones: this only says that nothing is broken
    assert THRESHOLDS["fp32"].failures(drift) == [] if precision == "fp32" else drift.centred_mean > 0.98


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_embed(benchmark, scene, tmp_path, precision):
    model = load_model("demo", precision)

    def run():
        return embed(scene, model, tmp_path / "out", overwrite=True, format="npy")

    done = benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    total = sum(done.seconds.values())
    benchmark.extra_info.update(
        pixels=done.pixels, stages={stage: seconds / total for stage, seconds in done.seconds.items()}
    )
    assert done.with_data == done.pixels == 48 * 48
    values = np.load(tmp_path / "out" / "simulated.npy")
    assert values.shape == (48, 48, 128)
