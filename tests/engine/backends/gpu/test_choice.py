"""What runs a model where: the rules, what is told when something is missing, and that the CPU is never taken silently."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from made_up import FakeReader, made_up_arrays

from tessera_engine import backends
from tessera_engine.backends import choose, make_backend
from tessera_engine.backends.gpu import found, install, providers
from tessera_engine.backends.gpu.batching import input_shapes
from tessera_engine.backends.gpu.found import Found, Part
from tessera_engine.backends.gpu.providers import (
    CPU,
    CUDA,
    TENSORRT,
    choose_provider,
    most_pixels,
    open_session,
)
from tessera_engine.backends.onnxruntime import OnnxRuntimeBackend
from tessera_engine.errors import InputError, MissingExtra
from tessera_engine.model.store import open_model
from tessera_engine.tokens import pack

NOTHING = Found(
    Part(None, "there is no NVIDIA driver"), Part(None, "missing: A"), Part(None, "no GPU provider: B"), Part(None, "+cpu: C")
)  # fmt: skip
GPU = Part("Orin, compute capability 8.7, driver CUDA 12.6")
BARE = NOTHING._replace(gpu=GPU)


@pytest.fixture
def machine(monkeypatch):
    """Say what is on this machine."""

    def has(what):
        monkeypatch.setattr(found, "look", lambda: what)

    return has


@pytest.mark.parametrize(
    ("there", "device", "precision", "backend", "on"),
    [
        (NOTHING, "auto", "fp32", "cpu", "cpu"),
        (BARE, "auto", "fp32", "cpu", "cpu"),
        (BARE._replace(tensorrt=Part("10.3.0")), "auto", "fp32", "tensorrt", "cuda"),
        (BARE._replace(tensorrt=Part("10.3.0")), "auto", "qdq", "tensorrt", "cuda"),
        (BARE._replace(tensorrt=Part("10.3.0")), "auto", "int8", "cpu", "cpu"),
        (BARE._replace(tensorrt=Part("10.3.0")), "cpu", "fp32", "cpu", "cpu"),
        (BARE._replace(onnxruntime=Part("1.31")), "auto", "fp16", "onnxruntime", "cuda"),
        (BARE._replace(tensorrt=Part("11"), onnxruntime=Part("1.31")), "cuda", "fp16", "tensorrt", "cuda"),
        (BARE._replace(torch=Part("2.13")), "auto", "fp32", "cpu", "cpu"),  # many have it for other reasons
        (BARE._replace(torch=Part("2.13")), "cuda", "fp32", "torch", "cuda"),
        (NOTHING._replace(tensorrt=Part("10.3.0")), "auto", "fp32", "cpu", "cpu"),
    ],
)
def test_the_rules(machine, there, device, precision, backend, on):
    machine(there)
    choice = choose("auto", device, precision)
    assert choice.device == on
    assert choice.backend == backend or (backend == "cpu" and choice.backend in ("fused", "onnxruntime"))


def test_files_for_gpus_run_on_the_cpu_by_onnx_runtime(machine):
    machine(NOTHING)
    assert choose("auto", "auto", "fp16")[:2] == choose("auto", "cpu", "qdq")[:2] == ("onnxruntime", "cpu")


@pytest.mark.parametrize(
    ("there", "precision", "says"),
    [
        (NOTHING, "fp32", "--device cuda can't be had: there is no NVIDIA driver$"),
        (BARE, "fp32", "Orin, .* is there, but nothing that runs this model on it: TensorRT: missing: A; ONNX Runtime: no GPU provider: B; PyTorch: .cpu: C"),
        (BARE._replace(torch=Part("2.13")), "fp16", "nothing that runs this model on it: TensorRT: missing: A; ONNX Runtime"),
        (BARE._replace(tensorrt=Part("10.3")), "int8", "int8 files have a form for CPUs"),
    ],
)  # fmt: skip
def test_cuda_never_means_the_cpu(machine, there, precision, says):
    machine(there)
    with pytest.raises(InputError, match=says):
        choose("auto", "cuda", precision)


@pytest.mark.parametrize(
    ("backend", "device", "says"),
    [
        ("fused", "cuda", "runs on CPUs only"),
        ("openvino", "cuda", "runs on CPUs only"),
        ("tensorrt", "cpu", "runs on GPUs only"),
        ("nothing", "auto", "unknown backend"),
        ("auto", "tpu", "unknown device 'tpu'; choose one of auto, cpu, cuda"),
    ],
)
def test_contradictions_are_refused(backend, device, says):
    with pytest.raises(InputError, match=says):
        choose(backend, device)


def test_a_named_onnx_runtime_stays_on_the_cpu_unless_told(machine):
    machine(BARE._replace(onnxruntime=Part("1.31")))
    assert choose("onnxruntime").device == "cpu"
    assert choose("onnxruntime", "cuda").device == "cuda"


def test_providers_follow_rules_and_not_their_order():
    every = [TENSORRT, CPU, CUDA]
    assert choose_provider("fp32", every).name == CUDA
    assert choose_provider("fp16", every).name == CUDA
    assert choose_provider("qdq", every).name == TENSORRT
    assert choose_provider("qdq", [CPU, CUDA]).name == CUDA
    assert choose_provider("fp32", every).options["use_tf32"] == "0"
    with pytest.raises(InputError, match=r"no GPU provider here, only .*onnxruntime-gpu"):
        choose_provider("fp32", ["AzureExecutionProvider", CPU])
    # One profile for all lengths can't have many pixels of the longest
    options = choose_provider("qdq", every).options
    assert options["trt_profile_max_shapes"].startswith("s2:64x256x10,s2_doy:64x256,")
    assert options["trt_profile_min_shapes"].count(":1x1") == len(input_shapes(providers.LARGEST))
    assert most_pixels(TENSORRT, 40, 120) == 64 < most_pixels(CUDA, 40, 120)


def test_a_provider_that_cannot_be_loaded_is_an_error(monkeypatch):
    """ONNX Runtime takes the CPU then, and only logs it."""
    fell_back = SimpleNamespace(get_providers=lambda: [CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *given, **more: fell_back)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    with pytest.raises(InputError, match=f"can't load its {CUDA}, and would have taken {CPU}"):
        open_session(b"", None, providers.Provider(CUDA, {}))


def test_onnx_runtime_on_a_gpu_fills_up_little_and_gives_the_same(monkeypatch):
    """Everything but the provider itself, which is the CPU's here."""
    model = open_model("demo", "fp32")
    reader = FakeReader(made_up_arrays(6, 6, steps=20))
    tokens = pack(reader.read(reader.grid.window), model.facts).tokens
    expected = OnnxRuntimeBackend(model, 1).run(tokens)
    real = onnxruntime.InferenceSession
    asked = []

    def session(content, options, providers):
        asked.append(providers)
        return real(content, options, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(real, "get_providers", lambda self: [CUDA, CPU])
    backend = OnnxRuntimeBackend(model, 1, "cuda")
    assert asked[0][0][0] == CUDA
    np.testing.assert_allclose(backend.run(tokens), expected, atol=2e-5)
    assert backend.computes_on == CUDA
    with pytest.raises(InputError, match="int8 form for CPUs"):
        OnnxRuntimeBackend(open_model("demo", "int8"), 1, "cuda")


def test_what_is_found_here_is_told_with_the_line_that_brings_it(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    assert "has no GPU provider: pip uninstall" in found._onnxruntime().missing
    assert "pip install 'onnxruntime-gpu" in found._onnxruntime().missing
    with monkeypatch.context() as both:
        both.setattr(found.metadata, "version", lambda name: "1.31.1")
        assert "lies over onnxruntime-gpu" in found._onnxruntime().missing
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    assert found._onnxruntime().version.endswith(f"with {TENSORRT}, {CUDA}")
    monkeypatch.setattr(found.metadata, "version", lambda name: "2.13.0+cpu")
    assert found._torch() == (None, f"2.13.0+cpu is built without CUDA: {install.how_to_install('torch')}")
    monkeypatch.setattr(found.metadata, "version", lambda name: "2.13.0")
    assert found._torch().version == "2.13.0"
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.delitem(sys.modules, "tessera_engine.backends.gpu.tensorrt", raising=False)
    assert "pip install '.[tensorrt]'" in found._tensorrt().missing


def test_a_jetson_gets_other_lines(tmp_path, monkeypatch):
    release = tmp_path / "nv_tegra_release"
    assert install.machine(release) == ""
    for text, name in (
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64", "JetPack 6"),
        ("# R38 (release), REVISION: 2.0", "JetPack 7"),
        ("# R35 (release), REVISION: 4.1", "JetPack"),
        ("what?", "JetPack"),
    ):
        release.write_text(text)
        assert install.machine(release) == name
    for what, lines in install.LINES.items():
        assert install.how_to_install(what, release) == lines["JetPack"]
        assert install.how_to_install(what, tmp_path / "nowhere") == lines[""]


def test_pytorch_runs_files_that_it_is_asked_for():
    torch = pytest.importorskip("torch")
    model = open_model("demo", "fp32")
    backend = make_backend(model, "torch", 1, "cpu")
    reader = FakeReader(made_up_arrays(3, 3, steps=9))
    tokens = pack(reader.read(reader.grid.window), model.facts).tokens
    np.testing.assert_allclose(backend.run(tokens), OnnxRuntimeBackend(model, 1).run(tokens), atol=2e-5)
    assert backend.computes_on == "eager, float32, CPU, batches of 32"
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="--device cuda can't be had with PyTorch"):
            make_backend(model, "torch", 1, "cuda")
    with pytest.raises(InputError, match="is int8"):
        make_backend(open_model("demo", "int8"), "torch", 1)


def test_a_missing_pytorch_names_its_extra(monkeypatch):
    monkeypatch.setattr(backends, "TORCH_MODULE", "a_module_that_wants_torch")
    error = ModuleNotFoundError("no torch", name="torch")
    monkeypatch.setattr(backends.importlib, "import_module", lambda name: (_ for _ in ()).throw(error))
    with pytest.raises(MissingExtra, match=r"'\.\[export\]'"):
        make_backend(open_model("demo", "fp32"), "torch", 1)
