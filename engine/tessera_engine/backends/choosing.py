"""Which backend runs a model on this machine, and loading it.

`device=auto` uses a GPU if there is one. TensorRT and GPU builds of ONNX Runtime come first: users install those only
for this purpose. Then come our own kernels, which need nothing installed. PyTorch with CUDA is often installed for
other reasons, so only `device=cuda` uses it. Int8 files stay on the CPU unless a GPU is asked for, because their form,
with a scale per token, is made for CPUs. `device=cuda` never means the CPU: an error says what is missing.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from tessera_engine.backends.base import Backend, BackendRecord
from tessera_engine.backends.gpu.found import Found, look
from tessera_engine.backends.registry import backend_names, backend_record
from tessera_engine.errors import InputError
from tessera_engine.files.nearby import unknown
from tessera_engine.model.facts import GPU_PRECISIONS, ModelFacts
from tessera_engine.model.file import ModelFile
from tessera_engine.progress import Announce

DEVICES = ("auto", "cpu", "cuda")

DEVICE_NAMES = {"cpu": "CPUs", "cuda": "GPUs"}

ON_GPU = ("tensorrt", "onnxruntime", "cuda")
"""What `backend=auto` uses on a GPU, the preferred one first."""


class Choice(NamedTuple):
    """What runs a model.

    Attributes:
        backend: name of the backend.
        device: `cpu`, `cuda`, or `auto` for a backend that picks the device itself.
        why: the reason, in words.
    """

    backend: str
    device: str
    why: str


def check_options(backend: str, device: str = "auto") -> None:
    """Check the names of a backend and a device, and that they go together. No model is needed for that.

    Raises:
        InputError: names the parameter, what came and what is expected.
    """
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    if backend == "auto":
        return
    record = backend_record(backend)
    if device != "auto" and device not in record.runs:
        (only,) = (DEVICE_NAMES[each] for each in record.runs)
        raise InputError(
            f"backend={backend} runs on {only} only; leave out device={device}, or give one of these as backend=: "
            f"{', '.join(_running_on(device))}"
        )


def _running_on(device: str, precision: str | None = None) -> list[str]:
    records = [backend_record(name) for name in backend_names()]
    return [
        record.name
        for record in records
        if device in record.runs and precision in (None, *record.runs[device])
    ]


def choose(
    backend: str, device: str = "auto", precision: str = "fp32", facts: ModelFacts | None = None
) -> Choice:
    """Decide what runs a model on this machine.

    Args:
        backend: `auto`, or one of `registry.backend_names()`.
        device: one of `DEVICES`.
        precision: precision of the model file.
        facts: of the model, if it is known: not every backend runs every model.

    Raises:
        InputError: no such backend or device; they contradict each other or the precision; there is no GPU, or nothing
            that runs this precision on it; or the forced instruction set is not available.
    """
    check_options(backend, device)
    if backend == "auto":
        return _on_cpu(precision) if device == "cpu" else _best(device, precision, facts)
    record = backend_record(backend)
    if device == "auto" and not record.picks_device:
        device = "cpu" if "cpu" in record.runs else "cuda"
    _check_precision(record, device, precision)
    reason = _why_not(record, facts)
    if reason is not None:
        raise InputError(f"backend={backend} {reason}; give another backend=")
    return Choice(backend, device, "as requested")


def _why_not(record: BackendRecord, facts: ModelFacts | None) -> str | None:
    return None if facts is None or record.why_not is None else record.why_not(facts)


def _check_precision(record: BackendRecord, device: str, precision: str) -> None:
    # A backend that picks the device runs the same files on all of them
    where = next(iter(record.runs)) if device == "auto" else device
    runs = record.runs[where]
    if precision in runs:
        return
    others = _running_on(where, precision)
    hint = f", or one of these as backend=: {', '.join(others)}" if others else ""
    raise InputError(
        f"backend={record.name} runs {', '.join(runs)} files on {DEVICE_NAMES[where]}, this model file is {precision}; "
        f"give another precision= or model file{hint}"
    )


def _best(device: str, precision: str, facts: ModelFacts | None) -> Choice:
    """On a GPU if `device` is cuda, or if one is ready; else on the CPU."""
    if precision == "int8" and device == "auto":
        return _on_cpu(precision)
    found = look()
    choice = _on_gpu(found, device, precision, facts)
    if choice is None and device == "auto":
        return _on_cpu(precision)
    if choice is None:
        raise InputError(f"device=cuda is not available: {found.why_not(precision, facts)}")
    return choice


def _on_gpu(found: Found, device: str, precision: str, facts: ModelFacts | None) -> Choice | None:
    if found.gpu.version is None:
        return None
    # Everything else only if a GPU was asked for
    names = (*ON_GPU, *(name for name in found.backends if name not in ON_GPU and device == "cuda"))
    for name in names:
        record, part = backend_record(name), found.backends.get(name)
        runs = precision in record.runs["cuda"] and _why_not(record, facts) is None
        if part is not None and part.version is not None and runs:
            return Choice(name, "cuda", f"{name} {part.version} on {found.gpu.version}")
    return None


def _on_cpu(precision: str) -> Choice:
    if precision in GPU_PRECISIONS:
        return Choice("onnxruntime", "cpu", f"the fused kernels don't run {precision} files")
    from tessera_engine.backends.fused import ISA_VARIABLE, choose_isa

    isa = choose_isa()
    if isa == "plain" and ISA_VARIABLE not in os.environ:
        return Choice("onnxruntime", "cpu", "the fused kernels have no fast instructions on this CPU")
    return Choice("fused", "cpu", f"the fastest on this CPU, with {isa}")


def check_limited(choice: Choice, device_memory: int | None) -> None:
    """Make sure that a limit of the GPU's memory has a GPU to limit.

    Raises:
        InputError: a limit is given, and the choice is the CPU.
    """
    if device_memory is not None and choice.device == "cpu":
        raise InputError(
            f"device_memory= limits a GPU, but the backend {choice.backend} runs on the CPU here ({choice.why}); "
            "leave it out, or give device=cuda"
        )


def make_backend(
    model: ModelFile,
    backend: str,
    threads: int,
    device: str = "auto",
    announce: Announce | None = None,
    device_memory: int | None = None,
) -> Backend:
    """Load a model file into a backend.

    Args:
        model: the model file.
        backend: `auto`, or one of `registry.backend_names()`.
        threads: CPU threads to compute with.
        device: one of `DEVICES`.
        announce: called with a line about what takes long, and about what the backend has to do in another way.
        device_memory: most bytes of the GPU's memory; None: see the backend.

    Raises:
        InputError: see `choose`, or the backend's package is not installed, or `device_memory` is too little, or
            nothing uses a GPU.
        ModelError: the backend can't load the file.
        DeviceError: the GPU can't be used.
    """
    choice = choose(backend, device, model.facts.precision, model.facts)
    check_limited(choice, device_memory)
    made = backend_record(choice.backend).load(model, threads, choice.device, announce or (lambda line: None))
    if device_memory is not None:
        made.limit_device_memory(device_memory)
    return made
