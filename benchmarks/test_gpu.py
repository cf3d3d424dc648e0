"""Everything that needs a GPU, in one command: `make bench-gpu` leaves docs/gpu.json.

Conformance with the published code, drift, determinism, memory, and speed and energy beside PyTorch on the same GPU.
"""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest
import torch
from conformance import FOLDER, MODELS, TILES, check_conformance, checkpoint
from gpu_measures import determinism, drift, memory_ceiling, speeds
from power import find_tool

from tessera_engine.api import load_model
from tessera_engine.backends.base import Part
from tessera_engine.backends.choosing import make_backend
from tessera_engine.backends.gpu.cuda import Cuda
from tessera_engine.backends.gpu.found import look
from tessera_engine.backends.registry import backend_record
from tessera_engine.cli.pages.doctor import examine
from tessera_engine.machine import check_threads
from tessera_engine.model.drift import THRESHOLDS
from tessera_engine.model.file import read_model_file
from tessera_engine.model.installed import open_model
from tessera_engine.scenes import open_scene
from tessera_engine.scenes.sampling import sample_observations, sample_tokens
from tessera_engine.simulate import simulate
from tessera_engine.tokens import pack
from tessera_export.checkpoint import save_checkpoint
from tessera_export.export import export_model
from tessera_export.reference import SIZES, Reference
from tessera_export.torch_backend import baselines

FOUND = look()

OUT = Path(os.environ.get("TESSERA_GPU_JSON", Path(__file__).parents[1] / "docs" / "gpu.json"))

BACKENDS = [
    name
    for name in ("cuda", "tensorrt", "onnxruntime", "torch")
    if FOUND.backends.get(name, Part(None)).version
]
PRECISIONS = ("fp32", "fp16", "qdq")

WINDOW_PIXELS = 16_384
PIXELS = {"nano": WINDOW_PIXELS, "small": WINDOW_PIXELS, "medium": 4096}
ROUNDS = 7

LEAK = 32_000_000
"""Bytes that later runs may take: what runtimes keep for themselves, but nothing that grows with runs."""

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(FOUND.gpu.version is None, reason=f"no GPU: {FOUND.gpu.missing}"),
    pytest.mark.skipif(
        not BACKENDS, reason=f"nothing that runs models on the GPU: {FOUND.why_not('fp32', None)}"
    ),
]


@pytest.fixture(scope="module")
def report():
    """What was measured, by test; written when all are done."""
    found = {
        "machine": examine(),
        "conformance": {},
        "drift": {},
        "determinism": {},
        "memory": {},
        "speed": {},
    }
    yield found
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\n{OUT}")


@pytest.fixture(scope="module")
def tokens():
    """Of a ragged simulated scene: as many as a window has."""
    return sample_tokens(None, open_model("demo", "fp32").facts, WINDOW_PIXELS)


def export_all(checkpoint, folder, precisions=PRECISIONS):
    """Model files for GPUs by precision; explicit Q/DQ is calibrated on a simulated scene."""
    simulate(folder / "scene", 64, seed=3)
    asked = {
        "fp32": {"precision": "fp32"},
        "fp16": {"precision": "fp16"},
        "qdq": {"precision": "int8", "target": "tensorrt", "calibrate": [folder / "scene"]},
    }
    files = {}
    for precision in precisions:
        export_model(checkpoint, folder / f"{precision}.onnx", **asked[precision])
        files[precision] = read_model_file(folder / f"{precision}.onnx")
    return files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Of the demo model."""
    return export_all("demo", tmp_path_factory.mktemp("demo"))


@pytest.fixture
def demo(files, backend, precision):
    if precision not in backend_record(backend).runs["cuda"]:
        pytest.skip(f"{backend} doesn't run {precision} files")
    return make_backend(files[precision], backend, check_threads(None), "cuda")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("model", MODELS)
def test_conformance(report, backend, model, tmp_path):
    """The published code's own outputs, for pixels as nasty as they come."""
    export_model(checkpoint(model), tmp_path / "model.onnx", "fp32")
    file = read_model_file(tmp_path / "model.onnx")
    why_not = backend_record(backend).why_not
    if why_not is not None and why_not(file.facts):
        pytest.skip(f"{backend} {why_not(file.facts)}")
    loaded = load_model(file.path, backend=backend, device="cuda")
    for tile in TILES:
        reader = open_scene(FOLDER / "tiles" / tile).reader
        packed = pack(reader.read(reader.grid.window), loaded.facts)
        check_conformance(model, tile, loaded.backend.run(packed.tokens))
    report["conformance"][f"{backend} {model}"] = f"within the bar on {', '.join(TILES)}"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_drift(report, demo, backend, precision, tokens):
    reference = make_backend(open_model("demo", "fp32"), "onnxruntime", check_threads(None), "cpu")
    found = drift(reference, demo, tokens)
    report["drift"][f"{backend} {precision}"] = found.to_dict()
    # Our own kernels compute files of every precision in float16
    assert THRESHOLDS["fp16" if backend == "cuda" else precision].failures(found) == []


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_determinism(report, demo, backend, precision, tokens):
    found = determinism(demo, tokens)
    report["determinism"][f"{backend} {precision}"] = found
    assert found["same_bits_again"]
    if backend == "cuda":
        assert found["max_difference_in_other_batches"] == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_memory(report, demo, backend, precision, tokens):
    found = memory_ceiling(Cuda().memory, demo, tokens)
    report["memory"][f"{backend} {precision}"] = found
    assert found["later_runs"] <= LEAK
    assert found["first_run"] <= found["total"] * 0.8


@pytest.mark.parametrize("size", PIXELS)
def test_speed(report, size, tmp_path):
    """The published shapes with random weights, beside PyTorch eager and compiled in float32 and float16."""
    torch.manual_seed(0)
    save_checkpoint(Reference(SIZES[size]).eval(), tmp_path / "checkpoint.pt")
    files = export_all(tmp_path / "checkpoint.pt", tmp_path)
    threads = check_threads(None)
    makers = baselines(files["fp32"], threads, "cuda")
    pytorch = list(makers)
    for backend in ("cuda", "tensorrt", "onnxruntime"):
        for precision, file in files.items():
            makers[f"{backend} {precision}"] = partial(make_backend, file, backend, threads, "cuda")
    observations = sample_observations(None, files["fp32"].facts, PIXELS[size])
    report["speed"][size] = speeds(makers, pytorch, observations, threads, ROUNDS, find_tool())
