"""ONNX Runtime on the CPU: runs every model file on every machine."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend
from tessera_engine.backends.rectangles import batches, rectangle
from tessera_engine.errors import ModelError
from tessera_engine.model_file import OUTPUT_NAME, ModelFile, read_content
from tessera_engine.tokens import PackedTokens, sequence

BATCH_TOKENS = 4096
"""Tokens of one batch, padding included: enough to keep the cores busy, small enough for the cache and for
the attention's (heads, T, T) cells per pixel."""


class OnnxRuntimeBackend(Backend):
    """Rectangular batches of pixels of one length, filled up with multiplicity 0."""

    name = "onnxruntime"

    def __init__(self, model: ModelFile, threads: int) -> None:
        super().__init__(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Arenas keep the largest batch's memory for each shape met; lengths vary, so memory would grow.
        options.enable_cpu_mem_arena = False
        # Q/DQ as they stand: fused into integer kernels they saturate on CPUs without VNNI
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                read_content(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions have no common base but Exception
            reason = str(error).splitlines()[0]
            raise ModelError(
                f"ONNX Runtime can't load {model.path}: {reason}; export the model again"
            ) from error

    @property
    def version(self) -> str:
        """Of ONNX Runtime."""
        return str(onnxruntime.__version__)

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
            except Exception as error:  # a graph of allowed operators whose shapes don't fit together
                reason = str(error).splitlines()[0]
                raise ModelError(
                    f"ONNX Runtime can't run {self.model.path}: {reason}; export the model again"
                ) from error
        return embedding
