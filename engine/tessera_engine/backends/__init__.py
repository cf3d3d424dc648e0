"""What runs a model file: one module a runtime, imported when chosen.

`--device auto` takes a GPU where one is and TensorRT or a GPU build of ONNX Runtime was installed for it, since nobody
has those by accident; PyTorch with CUDA many have for other reasons. Int8 files stay on the CPU: their form, with a
scale a token, is made for CPUs. `--device cuda` never means the CPU: what is missing is an error that says so.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tessera_engine.errors import InputError, MissingExtra
from tessera_engine.model.facts import GPU_PRECISIONS

if TYPE_CHECKING:
    from tessera_engine.backends.base import Backend
    from tessera_engine.backends.gpu.found import Found
    from tessera_engine.model.file import ModelFile

BACKENDS = ("auto", "fused", "onnxruntime", "openvino", "tensorrt", "torch")
DEVICES = ("auto", "cpu", "cuda")

CPU_ONLY = ("fused", "openvino")

TORCH_MODULE = "tessera_export.torch_backend"
"""Above this room, so it is no import but a name: loaded when somebody asks for it."""


class Choice(NamedTuple):
    """What runs a model.

    Attributes:
        backend: one of `BACKENDS` but auto.
        device: `cpu`, `cuda`, or for torch `auto`: the best that PyTorch has.
        why: in words.
    """

    backend: str
    device: str
    why: str


def choose(backend: str, device: str = "auto", precision: str = "fp32") -> Choice:
    """Decide what runs a model on this machine.

    Args:
        backend: one of `BACKENDS`.
        device: one of `DEVICES`.
        precision: of the model file.

    Raises:
        InputError: no such backend or device, they contradict each other, there is no GPU or nothing that runs this
            precision on it, or an instruction set was forced that isn't there.
    """
    if backend not in BACKENDS:
        raise InputError(f"unknown backend '{backend}'; choose one of {', '.join(BACKENDS)}")
    if device not in DEVICES:
        raise InputError(f"unknown device '{device}'; choose one of {', '.join(DEVICES)}")
    if backend in CPU_ONLY and device == "cuda":
        raise InputError(
            f"backend {backend} runs on CPUs only; leave out --device cuda, or give --backend tensorrt, onnxruntime "
            "or torch"
        )
    if backend == "tensorrt" and device == "cpu":
        raise InputError("backend tensorrt runs on GPUs only; leave out --device cpu or --backend tensorrt")
    if backend == "tensorrt":
        return Choice(backend, "cuda", "asked for")
    if backend == "torch":
        return Choice(backend, device, "asked for")
    if backend != "auto":
        return Choice(backend, "cuda" if device == "cuda" else "cpu", "asked for")
    return _on_cpu(precision) if device == "cpu" else _best(device, precision)


def _best(device: str, precision: str) -> Choice:
    """On a GPU if one is wanted or ready, else on the CPU."""
    if precision == "int8":
        if device == "auto":
            return _on_cpu(precision)
        raise InputError(
            "int8 files have a form for CPUs, with a scale a token, which GPU runtimes can't run; give another "
            "--precision (see 'model list'), or leave out --device cuda"
        )
    from tessera_engine.backends.gpu.found import look

    found = look()
    choice = _on_gpu(found, device, precision)
    if choice is None and device == "auto":
        return _on_cpu(precision)
    if choice is None:
        raise InputError(f"--device cuda can't be had: {found.missing}")
    return choice


def _on_gpu(found: Found, device: str, precision: str) -> Choice | None:
    if found.gpu.version is None:
        return None
    if found.tensorrt.version:
        return Choice("tensorrt", "cuda", f"TensorRT {found.tensorrt.version} on {found.gpu.version}")
    if found.onnxruntime.version:
        return Choice("onnxruntime", "cuda", f"{found.onnxruntime.version} on {found.gpu.version}")
    if found.torch.version and device == "cuda" and precision == "fp32":
        return Choice("torch", "cuda", f"PyTorch {found.torch.version} on {found.gpu.version}")
    return None


def _on_cpu(precision: str) -> Choice:
    if precision in GPU_PRECISIONS:
        return Choice("onnxruntime", "cpu", f"the fused kernels don't run {precision} files")
    from tessera_engine.backends.fused import ISA_VARIABLE, choose_isa

    isa = choose_isa()
    if isa == "plain" and ISA_VARIABLE not in os.environ:
        return Choice("onnxruntime", "cpu", "the fused kernels have no fast instructions on this CPU")
    return Choice("fused", "cpu", f"the fastest on this CPU, with {isa}")


def make_backend(
    model: ModelFile,
    backend: str,
    threads: int,
    device: str = "auto",
    tell: Callable[[str], None] | None = None,
) -> Backend:
    """Load a model file into a backend.

    Args:
        model: the model file.
        backend: one of `BACKENDS`.
        threads: CPU threads to compute with.
        device: one of `DEVICES`.
        tell: told of what takes long, and of what a backend has to do otherwise than it began.

    Raises:
        InputError: see `choose`, or the backend's package isn't installed.
        ModelError: the backend can't load the file.
        DeviceError: the GPU can't be used.
    """
    choice = choose(backend, device, model.facts.precision)
    if choice.backend == "fused":
        from tessera_engine.backends.fused import FusedBackend

        return FusedBackend(model, threads)
    if choice.backend == "openvino":
        from tessera_engine.backends.openvino import OpenVinoBackend

        return OpenVinoBackend(model, threads)
    if choice.backend == "tensorrt":
        from tessera_engine.backends.gpu.tensorrt_api import TensorRtDevice
        from tessera_engine.backends.tensorrt import TensorRtBackend

        return TensorRtBackend(model, TensorRtDevice(), tell or (lambda line: None))
    if choice.backend == "torch":
        made: Backend = _torch_module().open_backend(model, threads, choice.device)
        return made
    from tessera_engine.backends.onnxruntime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(model, threads, choice.device)


def _torch_module() -> Any:
    try:
        return importlib.import_module(TORCH_MODULE)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("torch", "export", "--backend torch") from None
