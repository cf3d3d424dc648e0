"""ONNX Runtime: runs every model file on every CPU, and on a GPU if a GPU build is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend, BackendRecord, Part
from tessera_engine.backends.gpu.batching import plan_batches
from tessera_engine.backends.gpu.providers import (
    CPU,
    Provider,
    choose_provider,
    find_gpu_providers,
    most_pixels,
    open_session,
)
from tessera_engine.backends.rectangles import batches, rectangle
from tessera_engine.errors import InputError, ModelError, reason
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
    """Runs rectangular batches, padded with tokens of multiplicity 0.

    The pixels of a batch have the same length on the CPU, and similar lengths on a GPU.
    """

    name = "onnxruntime"

    def __init__(
        self, model: ModelFile, threads: int, device: str = "cpu", integer_kernels: bool = False
    ) -> None:
        """Load a model file.

        Args:
            model: the file; on a GPU any precision but int8, which is made for CPUs.
            threads: CPU threads.
            device: `cpu` or `cuda`.
            integer_kernels: fuse Q/DQ into integer kernels, which saturate on CPUs without VNNI.

        Raises:
            InputError: no GPU provider is installed, or ONNX Runtime can't load it.
            ModelError: ONNX Runtime can't load the file.
        """
        super().__init__(model)
        onnxruntime = onnx_runtime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # An arena keeps memory for the largest batch of each shape. Lengths vary, so memory would grow
        options.enable_cpu_mem_arena = False
        options.add_session_config_entry("session.disable_quant_qdq", "0" if integer_kernels else "1")
        options.log_severity_level = 3
        available = onnxruntime.get_available_providers()
        provider = (
            choose_provider(model.facts.precision, available) if device == "cuda" else Provider(CPU, {})
        )
        self._device = device
        try:
            self._session = open_session(read_content(model), options, provider)
        except InputError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no other common base
            why = reason(error)
            raise ModelError(
                f"ONNX Runtime can't load {model.path}: {why}; export the model again"
            ) from error

    @property
    def version(self) -> str:
        """Version of ONNX Runtime."""
        return str(onnx_runtime().__version__)

    @property
    def computes_on(self) -> str:
        """The execution provider."""
        return str(self._session.get_providers()[0])

    def _batches(self, tokens: PackedTokens) -> Iterable[NDArray[np.int64]]:
        if self._device == "cpu":
            return batches(tokens, BATCH_TOKENS)
        most = partial(most_pixels, self.computes_on)
        return [batch.pixels for batch in plan_batches(tokens.s2.lengths, tokens.s1.lengths, most)]

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        tokens = sequence(tokens, self.model.facts.generation)
        embedding = np.empty((len(tokens), self.model.facts.dims), np.float32)
        for pixels in self._batches(tokens):
            inputs = rectangle(tokens.s2, pixels, "s2") | rectangle(tokens.s1, pixels, "s1")
            try:
                (embedding[pixels],) = self._session.run([OUTPUT_NAME], inputs)
            except Exception as error:  # the graph's operators are allowed, but their shapes don't fit
                why = reason(error)
                raise ModelError(
                    f"ONNX Runtime can't run {self.model.path}: {why}; export the model again"
                ) from error
        return embedding


def _find(device: str) -> Part:
    if device == "cuda":
        return find_gpu_providers()
    return Part(installed_version(), "not installed: pip install onnxruntime")


def _load(model: ModelFile, threads: int, device: str, announce: Announce) -> Backend:
    return OnnxRuntimeBackend(model, threads, device)


def _forms(files: Mapping[str, ModelFile], threads: int) -> dict[str, Callable[[], Backend]]:
    if "qdq" not in files:
        return {}
    return {
        f"qdq {kernels}": partial(OnnxRuntimeBackend, files["qdq"], threads, "cpu", kernels == "integer")
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
