"""ONNX Runtime: runs every model file on every CPU, and on a GPU if a GPU build is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend, BackendRecord, Part
from tessera_engine.backends.gpu.batching import plan_batches
from tessera_engine.backends.gpu.providers import (
    CPU,
    GPU_BATCH_TOKENS,
    Provider,
    choose_provider,
    find_gpu_providers,
    is_out_of_memory,
    most_pixels,
    open_session,
    with_limit,
)
from tessera_engine.backends.rectangles import batches, rectangle
from tessera_engine.errors import InputError, ModelError, TesseraError, reason
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
        self,
        model: ModelFile,
        threads: int,
        device: str = "cpu",
        integer_kernels: bool = False,
        announce: Announce | None = None,
    ) -> None:
        """Load a model file.

        Args:
            model: the file; on a GPU any precision but int8, which is made for CPUs.
            threads: CPU threads.
            device: `cpu` or `cuda`.
            integer_kernels: fuse Q/DQ into integer kernels, which saturate on CPUs without VNNI.
            announce: called with a line when a GPU runs out of memory.

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
        self._device, self._announce, self._batch_tokens = device, announce, GPU_BATCH_TOKENS
        self._options, self._provider = options, provider
        self._session = self._open()

    def _open(self) -> Any:
        model = self.model
        try:
            return open_session(read_content(model), self._options, self._provider)
        except InputError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no other common base
            why = reason(error)
            raise ModelError(
                f"ONNX Runtime can't load {model.path}: {why}; export the model again"
            ) from error

    def limit_device_memory(self, size: int) -> None:
        """See `Backend.limit_device_memory`."""
        if self._device == "cpu":
            super().limit_device_memory(size)
        self._provider = with_limit(self._provider, size)
        self._session = self._open()

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
        most = partial(most_pixels, self.computes_on, self._batch_tokens)
        return [batch.pixels for batch in plan_batches(tokens.s2.lengths, tokens.s1.lengths, most)]

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        return self._embed(sequence(tokens, self.model.facts.generation))

    def _embed(self, tokens: PackedTokens) -> NDArray[np.float32]:
        embedding = np.empty((len(tokens), self.model.facts.dims), np.float32)
        for pixels in self._batches(tokens):
            inputs = rectangle(tokens.s2, pixels, "s2") | rectangle(tokens.s1, pixels, "s1")
            try:
                (embedding[pixels],) = self._session.run([OUTPUT_NAME], inputs)
            except Exception as error:  # ONNX Runtime's have no other common base
                why = reason(error)
                if self._device != "cpu" and is_out_of_memory(error):
                    self._halve(why, len(pixels))
                    embedding[pixels] = self._embed(tokens.chosen(pixels))
                    continue
                # The graph's operators are allowed, but their shapes don't fit
                raise ModelError(
                    f"ONNX Runtime can't run {self.model.path}: {why}; export the model again"
                ) from error
        return embedding

    def _halve(self, why: str, pixels: int) -> None:
        """Make batches half as large, after one of so many pixels didn't fit."""
        if pixels == 1:
            raise TesseraError(
                f"{self.computes_on} has too little memory for one pixel of model {self.model.label}: {why}; end other "
                "programs that use the GPU, or give device=cpu"
            )
        self._batch_tokens //= 2
        if self._announce is not None:
            self._announce(
                f"{self.computes_on} is out of memory: continuing with batches of {self._batch_tokens:,} tokens"
            )


def _find(device: str) -> Part:
    if device == "cuda":
        return find_gpu_providers()
    return Part(installed_version(), "not installed: pip install onnxruntime")


def _load(model: ModelFile, threads: int, device: str, announce: Announce) -> Backend:
    return OnnxRuntimeBackend(model, threads, device, announce=announce)


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
