"""Which backend runs a model where: the rules, the errors when something is missing, and no silent use of the CPU."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from made_up import FakeReader, made_up_arrays

from tessera_engine.backends import choosing, tensorrt
from tessera_engine.backends.base import Part
from tessera_engine.backends.choosing import choose, make_backend
from tessera_engine.backends.gpu import install, providers
from tessera_engine.backends.gpu.batching import input_shapes
from tessera_engine.backends.gpu.found import Found
from tessera_engine.backends.gpu.providers import (
    CPU,
    CUDA,
    TENSORRT,
    choose_provider,
    find_gpu_providers,
    most_pixels,
    open_session,
)
from tessera_engine.backends.onnxruntime import OnnxRuntimeBackend
from tessera_engine.backends.registry import backend_record
from tessera_engine.errors import InputError, MissingExtra
from tessera_engine.model.installed import open_model
from tessera_engine.tokens import pack

NOTHING = Found(Part(None, "no NVIDIA driver"), {})
MISSING = {
    "onnxruntime": Part(None, "no GPU provider: B"), "tensorrt": Part(None, "missing: A"), "torch": Part(None, "+cpu: C")
}  # fmt: skip


def on_gpu(**installed):
    """A machine with a GPU and these backends for it."""
    versions = {name: Part(version) for name, version in installed.items()}
    return Found(Part("Orin, compute capability 8.7, driver CUDA 12.6"), MISSING | versions)


@pytest.fixture
def machine(monkeypatch):
    """Say what is on this machine."""

    def has(what):
        monkeypatch.setattr(choosing, "look", lambda: what)

    return has


@pytest.mark.parametrize(
    ("there", "device", "precision", "backend", "on"),
    [
        (NOTHING, "auto", "fp32", "cpu", "cpu"),
        (on_gpu(), "auto", "fp32", "cpu", "cpu"),
        (on_gpu(tensorrt="10.3.0"), "auto", "fp32", "tensorrt", "cuda"),
        (on_gpu(tensorrt="10.3.0"), "auto", "qdq", "tensorrt", "cuda"),
        (on_gpu(tensorrt="10.3.0"), "auto", "int8", "cpu", "cpu"),
        (on_gpu(tensorrt="10.3.0"), "cpu", "fp32", "cpu", "cpu"),
        (on_gpu(onnxruntime="1.31"), "auto", "fp16", "onnxruntime", "cuda"),
        (on_gpu(tensorrt="11", onnxruntime="1.31"), "cuda", "fp16", "tensorrt", "cuda"),
        (on_gpu(cuda="Triton"), "auto", "fp32", "cuda", "cuda"),
        (on_gpu(cuda="Triton"), "auto", "fp16", "cuda", "cuda"),
        (on_gpu(cuda="Triton"), "auto", "qdq", "cpu", "cpu"),
        (on_gpu(cuda="Triton"), "auto", "int8", "cpu", "cpu"),
        (on_gpu(cuda="Triton"), "cuda", "int8", "cuda", "cuda"),
        (on_gpu(cuda="Triton", tensorrt="10.3"), "auto", "fp32", "tensorrt", "cuda"),
        (on_gpu(cuda="Triton", torch="2.13"), "cuda", "fp32", "cuda", "cuda"),
        (on_gpu(torch="2.13"), "auto", "fp32", "cpu", "cpu"),  # often installed for other reasons
        (on_gpu(torch="2.13"), "cuda", "fp32", "torch", "cuda"),
        (on_gpu(torch="2.13", onnxruntime="1.31"), "cuda", "fp32", "onnxruntime", "cuda"),
    ],
)
def test_the_rules(machine, there, device, precision, backend, on):
    machine(there)
    choice = choose("auto", device, precision)
    assert choice.device == on
    assert choice.backend == backend or (backend == "cpu" and choice.backend in ("fused", "onnxruntime"))


def test_our_kernels_are_for_some_sizes_only(machine):
    machine(on_gpu(cuda="Triton", torch="2.13"))
    demo = open_model("demo", "fp32").facts
    medium = replace(demo, name="medium", size="medium", latent_dim=110, num_layers=4, ffn_dim=1792)
    assert choose("auto", "cuda", "fp32", demo).backend == "cuda"
    assert choose("auto", "cuda", "fp32", medium).backend == "torch"
    assert choose("auto", "cuda", "int8", medium).backend == "torch"
    assert choose("auto", "cuda", "fp32", replace(demo, generation="v1.1")).backend == "torch"
    assert choose("auto", "auto", "fp32", medium).device == "cpu"
    with pytest.raises(InputError, match=r"backend=cuda .*nano and small.*medium.*backend="):
        choose("cuda", "auto", "fp32", medium)
    machine(on_gpu(cuda="Triton"))
    with pytest.raises(
        InputError, match=r"Orin.*torch: \+cpu.*cuda: has kernels for nano and small of v2, not for medium"
    ):
        choose("auto", "cuda", "fp32", medium)


def test_files_for_gpus_run_on_the_cpu_by_onnx_runtime(machine):
    machine(NOTHING)
    assert choose("auto", "auto", "fp16")[:2] == choose("auto", "cpu", "qdq")[:2] == ("onnxruntime", "cpu")


@pytest.mark.parametrize(
    ("there", "precision", "facts"),
    [
        (NOTHING, "fp32", ["device=cuda", "no NVIDIA driver"]),
        (on_gpu(), "fp32", ["Orin", "tensorrt: missing: A", "onnxruntime: no GPU provider: B", "torch: +cpu: C"]),
        (on_gpu(torch="2.13"), "fp16", ["Orin", "tensorrt: missing: A", "onnxruntime: no GPU provider: B"]),
        (on_gpu(tensorrt="10.3"), "int8", ["int8", "precision=", "device=cuda"]),
    ],
)  # fmt: skip
def test_cuda_never_means_the_cpu(machine, there, precision, facts):
    machine(there)
    with pytest.raises(InputError) as error:
        choose("auto", "cuda", precision)
    assert [fact for fact in facts if fact not in str(error.value)] == []


@pytest.mark.parametrize(
    ("backend", "device", "precision", "facts"),
    [
        ("fused", "cuda", "fp32", ["backend=fused", "CPUs", "device=cuda", "cuda, onnxruntime, tensorrt, torch"]),
        ("openvino", "cuda", "fp32", ["backend=openvino", "CPUs", "device=cuda"]),
        ("tensorrt", "cpu", "fp32", ["backend=tensorrt", "GPUs", "device=cpu", "fused, onnxruntime, openvino, torch"]),
        ("tensorrt", "auto", "int8", ["backend=tensorrt", "GPUs", "int8", "fp32, fp16, qdq", "precision="]),
        ("onnxruntime", "cuda", "int8", ["backend=onnxruntime", "GPUs", "int8", "fp32, fp16, qdq", "precision="]),
        ("fused", "auto", "fp16", ["backend=fused", "CPUs", "fp16", "onnxruntime, openvino"]),
        ("torch", "auto", "int8", ["backend=torch", "int8", "fused, onnxruntime, openvino"]),
        ("nothing", "auto", "fp32", ["backend=nothing", "auto, fused, cuda, onnxruntime, openvino, tensorrt, torch"]),
        ("onnx-runtime", "auto", "fp32", ["did you mean 'onnxruntime'?"]),
        ("auto", "tpu", "fp32", ["device=tpu", "auto, cpu, cuda"]),
    ],
)  # fmt: skip
def test_contradictions_are_refused(backend, device, precision, facts):
    with pytest.raises(InputError) as error:
        choose(backend, device, precision)
    assert [fact for fact in facts if fact not in str(error.value)] == []


def test_a_named_onnx_runtime_uses_the_cpu_unless_a_gpu_is_requested(machine):
    machine(on_gpu(onnxruntime="1.31"))
    assert choose("onnxruntime").device == "cpu"
    assert choose("onnxruntime", "cuda").device == "cuda"


def test_providers_follow_rules_and_not_their_order():
    every = [TENSORRT, CPU, CUDA]
    assert choose_provider("fp32", every).name == CUDA
    assert choose_provider("fp16", every).name == CUDA
    assert choose_provider("qdq", every).name == TENSORRT
    assert choose_provider("qdq", [CPU, CUDA]).name == CUDA
    assert choose_provider("fp32", every).options["use_tf32"] == "0"
    with pytest.raises(InputError, match=r"AzureExecutionProvider, .*onnxruntime-gpu"):
        choose_provider("fp32", ["AzureExecutionProvider", CPU])
    # One profile for all lengths can't have many pixels of the longest
    options = choose_provider("qdq", every).options
    assert options["trt_profile_max_shapes"].startswith("s2:64x256x10,s2_doy:64x256,")
    assert options["trt_profile_min_shapes"].count(":1x1") == len(input_shapes(providers.LARGEST))
    assert most_pixels(TENSORRT, 1 << 15, 40, 120) == 64 < most_pixels(CUDA, 1 << 15, 40, 120)


def test_a_provider_that_cannot_be_loaded_is_an_error(monkeypatch):
    """ONNX Runtime takes the CPU then, and only logs it."""
    fell_back = SimpleNamespace(get_providers=lambda: [CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *given, **more: fell_back)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    with pytest.raises(InputError, match=f"{CUDA} .*{CPU}"):
        open_session(b"", None, providers.Provider(CUDA, {}))


def test_a_limit_of_device_memory_needs_a_gpu(machine):
    model = open_model("demo", "fp32")
    for backend, device in (("auto", "cpu"), ("fused", "auto"), ("torch", "auto")):
        with pytest.raises(InputError, match=r"device_memory= limits a GPU, but .*(fused|torch)"):
            make_backend(model, backend, 1, device, None, 10**9)


def test_what_is_missing_for_a_gpu_comes_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    assert install.how_to_install("onnxruntime") in find_gpu_providers().missing
    with monkeypatch.context() as both:
        both.setattr(providers.metadata, "version", lambda name: "1.31.1")
        assert "onnxruntime-gpu and" in find_gpu_providers().missing
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    assert find_gpu_providers().version.endswith(f"with {TENSORRT}, {CUDA}")
    find_torch = backend_record("torch").find
    monkeypatch.setattr(providers.metadata, "version", lambda name: "2.13.0+cpu")
    assert find_torch("cpu").version == "2.13.0+cpu"
    assert find_torch("cuda").version is None
    assert install.how_to_install("torch") in find_torch("cuda").missing
    monkeypatch.setattr(providers.metadata, "version", lambda name: "2.13.0")
    assert find_torch("cuda").version == "2.13.0"
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.delitem(sys.modules, "tessera_engine.backends.gpu.tensorrt_api", raising=False)
    assert install.how_to_install("tensorrt") in tensorrt.BACKEND.find("cuda").missing


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
    assert backend.computes_on == "packed, float32, CPU"
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=f"device=cuda .*{re.escape(torch.__version__)}"):
            make_backend(model, "torch", 1, "cuda")


def test_a_missing_pytorch_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    with pytest.raises(MissingExtra, match=r"backend=torch .*'torch'.*\[export\]"):
        make_backend(open_model("demo", "fp32"), "torch", 1)
