"""Linear layers in int8: weights are quantised once, activations at run time.

Weights are symmetric per output channel, activations symmetric per token. A scale per tensor would depend on the
tensor's largest value: a pixel's embedding would change with the other pixels of its batch, and with the values of the
filling. The error is also smaller with a scale per token, and no calibration is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from tessera_export.onnx_builder import Graph, Precision

LEVELS = 127
"""Codes are -127..127, symmetric around 0."""

FUSION_LEVELS = 32767
"""The same for the fusion's weights. In int8 they would cause more than half of the error, for 0.2 MB less."""

FORMAT_VERSION = 2
"""Of the files that are written so."""

SMALLEST_SCALE = 1e-12
"""Scale of a token that is all zero."""

DESCRIPTION = (
    "weights int8 (the fusion's int16), symmetric per output channel, biases corrected for the mean error of rounded "
    "weights on simulated pixels; activations int8, symmetric per token, at run time; each branch's first layer, "
    "attention, norms, pooling and the fusion's products float32"
)

RECURRENCE = "; weights of the recurrence likewise, its activations as the backend has them"
"""Added for v1 models: ONNX's operator has no integer form."""


def quantize_weight(
    weight: NDArray[np.float32], levels: int = LEVELS
) -> tuple[NDArray[np.integer[Any]], NDArray[np.float32]]:
    """Symmetric integers per output channel: weight = codes * scale, with an error of at most half a scale.

    Args:
        weight: (in, out) float32.
        levels: the largest code, `LEVELS` or `FUSION_LEVELS`.

    Returns:
        codes (in, out) int8 or int16 in -levels..levels, and scale (out,) float32; a channel of zeros has scale 1.
    """
    largest = np.abs(weight).max(axis=0)
    scale = np.where(largest > 0, largest / np.float32(levels), np.float32(1))
    codes = np.clip(np.rint(weight / scale), -levels, levels)
    return codes.astype(np.int8 if levels == LEVELS else np.int16), scale


def linear(graph: Graph, x: str, name: str) -> str:
    """X @ `name.weight` + `name.bias` in int8, for x (N, in). The fusion multiplies in float32.

    Both factors of MatMulInteger are uint8 around 128. With int8 weights, ONNX Runtime's kernels for CPUs without
    VNNI add pairs of products in int16, which saturates: the centred cosine to the float32 embeddings was 0.6. The
    runtime converts the weights to uint8 once, when it loads the model.
    """
    if name.startswith("fusion."):
        return graph.node("Gemm", x, matrix(graph, name, FUSION_LEVELS), graph.weight(f"{name}.bias"))
    codes, scale = quantize_weight(graph.weights[f"{name}.weight"])
    zero = graph.constant(128, np.uint8)
    weight = graph.node("Cast", graph.initializer(f"{name}.weight.int8", codes), to=TensorProto.INT32)
    weight = graph.node("Add", weight, graph.constant(128, np.int32))
    weight = graph.node("Cast", weight, to=TensorProto.UINT8)

    # ONNX Runtime takes a product of scales for one scale per tensor and fuses it with MatMulInteger, which is wrong
    # for scales per token. So the token's scale must not be the result of a Mul, and must be multiplied separately.
    token_scale = graph.node("ReduceMax", graph.node("Abs", x), axes=[1], keepdims=1)  # (N, 1)
    token_scale = graph.node("Div", token_scale, graph.constant(LEVELS, np.float32))
    token_scale = graph.node("Max", token_scale, graph.constant(SMALLEST_SCALE, np.float32))
    x = graph.node("Round", graph.node("Div", x, token_scale))
    x = graph.node("Cast", graph.node("Add", x, graph.constant(128, np.float32)), to=TensorProto.UINT8)

    sums = graph.node("Cast", graph.node("MatMulInteger", x, weight, zero, zero), to=TensorProto.FLOAT)
    product = graph.node("Mul", sums, graph.initializer(f"{name}.weight.scale", scale))
    product = graph.node("Mul", product, token_scale)
    return graph.node("Add", product, graph.weight(f"{name}.bias"))


def matrix(graph: Graph, name: str, levels: int = LEVELS) -> str:
    """`name.weight` from integers, as float32: ONNX's GRU takes nothing else."""
    codes, scale = quantize_weight(graph.weights[f"{name}.weight"], levels)
    stored = graph.initializer(f"{name}.weight.{codes.dtype}", codes)
    weight = graph.node("Cast", stored, to=TensorProto.FLOAT)
    return graph.node("Mul", weight, graph.initializer(f"{name}.weight.scale", scale))


INT8 = Precision(linear, matrix)
