"""What runs a model file: one module a runtime, imported when chosen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tessera_engine.errors import InputError

if TYPE_CHECKING:
    from tessera_engine.backends.base import Backend
    from tessera_engine.model_file import ModelFile

BACKENDS = ("auto", "fused", "onnxruntime", "openvino")


def choose(backend: str) -> tuple[str, str]:
    """Decide what runs a model on this machine.

    Args:
        backend: one of `BACKENDS`.

    Returns:
        The backend's name, and why, in words.

    Raises:
        InputError: no such backend, or an instruction set was forced that isn't there.
    """
    if backend not in BACKENDS:
        raise InputError(f"unknown backend '{backend}'; choose one of {', '.join(BACKENDS)}")
    if backend != "auto":
        return backend, "asked for"
    from tessera_engine.backends.fused import ISA_VARIABLE, choose_isa

    isa = choose_isa()
    if isa == "plain" and ISA_VARIABLE not in os.environ:
        return "onnxruntime", "the fused kernels have no fast instructions on this CPU"
    return "fused", f"the fastest on this CPU, with {isa}"


def make_backend(model: ModelFile, backend: str, threads: int) -> Backend:
    """Load a model file into a backend.

    Args:
        model: the model file.
        backend: one of `BACKENDS`.
        threads: CPU threads to compute with.

    Raises:
        InputError: see `choose`, or the backend's package isn't installed.
        ModelError: the backend can't load the file.
    """
    name, _ = choose(backend)
    if name == "fused":
        from tessera_engine.backends.fused import FusedBackend

        return FusedBackend(model, threads)
    if name == "openvino":
        from tessera_engine.backends.openvino import OpenVinoBackend

        return OpenVinoBackend(model, threads)
    from tessera_engine.backends.onnxruntime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(model, threads)
