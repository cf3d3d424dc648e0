"""ONNX Runtime: runs every model file on every CPU, and on a GPU if a GPU build is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend, BackendRecord, Part
from tessera_engine.backends.gpu.cuda import Cuda
from tessera_engine.backends.gpu.providers import (
    CPU,
    Provider,
    choose_provider,
    find_gpu_providers,
    open_session,
    unable,
)
from tessera_engine.backends.gpu.sessions import SessionBackend
from tessera_engine.backends.rectangles import batches, rectangle
from tessera_engine.errors import TesseraError
from tessera_engine.model.facts import PRECISIONS
from tessera_engine.model.file import OUTPUT_NAME, ModelFile, read_content
from tessera_engine.offline.onnx_runtime import installed_version, onnx_runtime
from tessera_engine.progress import Announce
from tessera_engine.tokens import PackedTokens, sequence

BATCH_TOKENS = 4096
"""Tokens of one batch, padding included: enough to keep the cores busy, but few enough for the cache and for the
attention's (heads, T, T) values per pixel."""

BYTES = 100_000_000
"""Memory of the session and of a batch's activations, besides what the fused kernels take."""


class OnnxRuntimeBackend(Backend):
    """Runs rectangular batches of pixels of the same length on the CPU, padded with tokens of multiplicity 0."""

    name = "onnxruntime"

    def __init__(self, model: ModelFile, threads: int, integer_kernels: bool = False) -> None:
        """Load a model file.

        Args:
            model: the file.
            threads: CPU threads.
            integer_kernels: fuse Q/DQ into integer kernels, which saturate on CPUs without VNNI.

        Raises:
            ModelError: ONNX Runtime can't load the file.
        """
        super().__init__(model)
        try:
            self._session = open_session(
                read_content(model), session_options(threads, integer_kernels), Provider(CPU, {})
            )
        except TesseraError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no other common base
            raise unable("load", model, error) from error

    @property
    def version(self) -> str:
        """Version of ONNX Runtime."""
        return str(onnx_runtime().__version__)

    @property
    def computes_on(self) -> str:
        """The execution provider."""
        return str(self._session.get_providers()[0])

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        tokens = sequence(tokens, self.model.facts.generation)
        embedding = np.empty((len(tokens), self.model.facts.dims), np.float32)
        for pixels in batches(tokens, BATCH_TOKENS):
            inputs = rectangle(tokens.s2, pixels, "s2") | rectangle(tokens.s1, pixels, "s1")
            try:
                (embedding[pixels],) = self._session.run([OUTPUT_NAME], inputs)
            except Exception as error:  # ONNX Runtime's have no other common base
                # The graph's operators are allowed, but their shapes don't fit
                raise unable("run", self.model, error) from error
        return embedding


def session_options(threads: int, integer_kernels: bool = False) -> Any:
    """ONNX Runtime's options of a session; see `OnnxRuntimeBackend`."""
    options = onnx_runtime().SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # An arena keeps memory for the largest batch of each shape. Lengths vary, so memory would grow
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.disable_quant_qdq", "0" if integer_kernels else "1")
    options.log_severity_level = 3
    return options


def _find(device: str) -> Part:
    if device == "cuda":
        return find_gpu_providers()
    return Part(installed_version(), "not installed: pip install onnxruntime")


def _load(model: ModelFile, threads: int, device: str, announce: Announce) -> Backend:
    if device == "cuda":
        # First, because it says what to install
        provider = choose_provider(model.facts.precision, onnx_runtime().get_available_providers())
        return SessionBackend(model, session_options(threads), provider, Cuda(), announce)
    return OnnxRuntimeBackend(model, threads)


def _forms(files: Mapping[str, ModelFile], threads: int) -> dict[str, Callable[[], Backend]]:
    if "qdq" not in files:
        return {}
    return {
        f"qdq {kernels}": partial(OnnxRuntimeBackend, files["qdq"], threads, kernels == "integer")
        for kernels in ("float", "integer")
    }


BACKEND = BackendRecord(
    "onnxruntime",
    {"cpu": PRECISIONS, "cuda": ("fp32", "fp16", "qdq")},
    _find,
    _load,
    bytes=BYTES,
    forms=_forms,
)
