"""Runs a graph on the CPU with ONNX Runtime, with Q/DQ as separate operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.rectangles import batches, rectangle
from tessera_engine.offline.onnx_runtime import onnx_runtime
from tessera_engine.tokens import PackedTokens

BATCH_TOKENS = 4096
"""Tokens of one batch, as in the backends: enough for the cores, and little memory."""

Run = Callable[[dict[str, NDArray[Any]]], NDArray[np.float32]]
"""The graph's inputs by name, a rectangle of tokens -> (B, dims) float32."""


def onnx_session(model: bytes) -> Any:
    """A session that doesn't fuse Q/DQ into integer kernels, because those for CPUs without VNNI saturate."""
    onnxruntime = onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.enable_cpu_mem_arena = False  # lengths vary, and an arena would keep memory for each
    options.log_severity_level = 3  # no warnings about graph optimisation
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnx_run(model: bytes) -> Run:
    """A function that runs a serialised model."""
    session = onnx_session(model)

    def run(inputs: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        (embedding,) = session.run(None, inputs)
        return np.asarray(embedding)

    return run


def rectangles(tokens: PackedTokens) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
    """Yields pixel numbers and the graph's inputs for them."""
    for pixels in batches(tokens, BATCH_TOKENS):
        yield pixels, rectangle(tokens.s2, pixels, "s2") | rectangle(tokens.s1, pixels, "s1")


def embed(run: Run, tokens: PackedTokens, dims: int) -> NDArray[np.float32]:
    """Embed packed tokens: (N, dims) float32."""
    embedding = np.empty((len(tokens), dims), np.float32)
    for pixels, inputs in rectangles(tokens):
        embedding[pixels] = run(inputs)
    return embedding
