"""What runs a model file: one module a runtime, imported when chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tessera_engine.errors import InputError

if TYPE_CHECKING:
    from tessera_engine.backends.base import Backend
    from tessera_engine.model_file import ModelFile

BACKENDS = ("auto", "onnxruntime")


def make_backend(model: ModelFile, backend: str, threads: int) -> Backend:
    """Load a model file into a backend.

    Args:
        model: the model file.
        backend: one of `BACKENDS`.
        threads: CPU threads to compute with.

    Raises:
        InputError: no such backend.
        ModelError: the runtime can't load the file.
    """
    if backend not in BACKENDS:
        raise InputError(f"unknown backend '{backend}'; choose one of {', '.join(BACKENDS)}")
    from tessera_engine.backends.onnxruntime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(model, threads)
