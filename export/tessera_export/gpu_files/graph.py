"""The graph of a network for TensorRT. It has the same weights and inputs as that of `tessera_export.onnx_graph`.

The differences and the reasons:

* Tokens stay (B, T, d), and every Reshape copies B and T (0 in its shape), so no shape is computed at run time.
* Attention is MatMul, Add, Softmax, MatMul on (B, H, T, h), and the queries' weights include the scale. TensorRT fuses
  this pattern into one kernel. If the scale came after the product, float16 scores could overflow.
* Heads are padded with zeros to a multiple of 8 channels, which float16 matrix kernels need (nano has 36).
* Tokens are float16. Norms read and write float16 and compute in float32, which is the operator's default
  (`stash_type`). The multiplicities' logarithms, pooling, fusion and v1's recurrence are float32: TensorRT's parser
  gives a GRU float32 states for any weights.

The opset is 19, not 17, because QuantizeLinear takes float16 from 19 on; TensorRT 10.3 reads up to 20.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.file import OUTPUT_NAME
from tessera_engine.model.layout import GPU_VERSIONS
from tessera_export.onnx_builder import Graph, Weights, matrix
from tessera_export.onnx_graph import (
    FILLING_BIAS,
    LAYER_NORM_EPSILON,
    RMS_NORM_EPSILON,
    graph_inputs,
    graph_output,
)
from tessera_export.onnx_gru import recurrence

ONNX_TYPES = {np.float16: TensorProto.FLOAT16, np.float32: TensorProto.FLOAT}

Float = type[np.float16] | type[np.float32]

Linear = Callable[[Graph, str, str], str]
"""(graph, x, name) -> x @ `name.weight` + `name.bias` for tokens x (B, T, in)."""


@dataclass(frozen=True)
class GpuPrecision:
    """How tokens are stored and computed.

    Attributes:
        tokens: dtype of the activations outside the layers that are always float32.
        linear: makes the layers that int8 quantises: all of each branch except the first (10 or 2 inputs) and pooling.
    """

    tokens: Float
    linear: Linear


def plain(dtype: Float) -> GpuPrecision:
    """All layers in one floating-point type."""
    return GpuPrecision(dtype, lambda graph, x, name: linear(graph, x, name, dtype))


def linear(graph: Graph, x: str, name: str, dtype: Float) -> str:
    """X @ `name.weight` + `name.bias` in a floating-point type."""
    product = graph.node("MatMul", x, graph.weight(f"{name}.weight", dtype))
    return graph.node("Add", product, graph.weight(f"{name}.bias", dtype))


def build_gpu_graph(weights: Weights, facts: ModelFacts, precision: GpuPrecision) -> onnx.ModelProto:
    """The ONNX model of a network, with its facts as metadata.

    Args:
        weights: the weights as `tessera_export.gpu_files.weights.gpu_weights` gives them.
        facts: the facts that the file records.
        precision: how tokens are stored and computed.
    """
    graph = Graph(weights)
    pooled = [_branch(graph, branch, facts, precision) for branch in ("s2", "s1")]
    x = graph.node("Concat", *pooled, axis=1)  # (B, 2d)
    x = linear(graph, x, "fusion.0", np.float32)
    if facts.generation != "v1.0":
        x = graph.node("Relu", _layer_norm(graph, x, "fusion.norm", np.float32))
        x = linear(graph, x, "fusion.1", np.float32)  # (B, dims)
    if facts.generation == "v2":
        ones, zeros = (graph.constant(make(facts.dims), np.float32) for make in (np.ones, np.zeros))
        graph.node(
            "LayerNormalization", x, ones, zeros, output=OUTPUT_NAME, axis=-1, epsilon=LAYER_NORM_EPSILON
        )
    else:  # gives the output its name, and changes nothing
        graph.node("Reshape", x, graph.constant([0, facts.dims], np.int64), output=OUTPUT_NAME)
    model = graph.model(graph_inputs(facts), graph_output(facts), GPU_VERSIONS)
    helper.set_model_props(model, facts.to_metadata())
    return model


def _branch(graph: Graph, branch: str, facts: ModelFacts, precision: GpuPrecision) -> str:
    """One modality's pooled vector (B, d) float32."""
    dtype = precision.tokens
    logarithm = graph.node("Log", f"{branch}_multiplicity")  # (B, T), log(0) = -inf
    bias = graph.node("Max", logarithm, graph.constant(FILLING_BIAS, np.float32))
    key_bias = graph.node("Unsqueeze", _cast(graph, bias, dtype), graph.constant([1, 2], np.int64))

    x = linear(graph, _cast(graph, branch, dtype), f"{branch}.embedding.0", dtype)
    x = precision.linear(graph, graph.node("Relu", x), f"{branch}.embedding.1")  # (B, T, d)
    days = graph.node("Gather", graph.weight(f"{branch}.day_of_year", dtype), f"{branch}_doy", axis=0)
    x = graph.node("Add", x, days)
    for index in range(facts.num_layers):
        x = _layer(graph, x, f"{branch}.layers.{index}", facts, key_bias, precision)

    x = _cast(graph, x, np.float32)
    context = x
    if facts.generation != "v2":
        context = recurrence(graph, x, f"{branch}.gru", matrix)  # (B, T, d)
        context = _layer_norm(graph, context, f"{branch}.pool.norm", np.float32)
    logits = linear(graph, context, f"{branch}.pool", np.float32)  # (B, T, 1)
    bias = graph.node("Unsqueeze", bias, graph.constant([2], np.int64))
    shares = graph.node("Softmax", graph.node("Add", logits, bias), axis=1)
    shares = graph.node("Transpose", shares, perm=[0, 2, 1])  # (B, 1, T)
    return graph.node("Squeeze", graph.node("MatMul", shares, x), graph.constant([1], np.int64))


def _layer(graph: Graph, x: str, name: str, facts: ModelFacts, key_bias: str, precision: GpuPrecision) -> str:
    """One encoder layer: x (B, T, d) -> (B, T, d)."""
    width = graph.weights[f"{name}.qkv.weight"].shape[1] // 3  # of all heads, padding included
    heads = graph.constant([0, 0, facts.num_heads, width // facts.num_heads], np.int64)
    parts = graph.split(precision.linear(graph, x, f"{name}.qkv"), [width] * 3, axis=2)
    q, k, v = (graph.node("Reshape", part, heads) for part in parts)  # (B, T, H, h)
    if facts.qk_norm:
        q = _rms_norm(graph, q, f"{name}.q_norm", precision.tokens)
        k = _rms_norm(graph, k, f"{name}.k_norm", precision.tokens)
    q = graph.node("Transpose", q, perm=[0, 2, 1, 3])  # (B, H, T, h)
    k = graph.node("Transpose", k, perm=[0, 2, 3, 1])  # (B, H, h, T)
    v = graph.node("Transpose", v, perm=[0, 2, 1, 3])
    scores = graph.node("Add", graph.node("MatMul", q, k), key_bias)  # (B, H, T, T)
    mixed = graph.node("MatMul", graph.node("Softmax", scores, axis=3), v)  # (B, H, T, h)
    mixed = graph.node("Transpose", mixed, perm=[0, 2, 1, 3])
    mixed = graph.node("Reshape", mixed, graph.constant([0, 0, width], np.int64))
    x = graph.node("Add", x, precision.linear(graph, mixed, f"{name}.out"))
    x = _layer_norm(graph, x, f"{name}.norm1", precision.tokens)
    hidden = graph.node("Relu", precision.linear(graph, x, f"{name}.up"))  # (B, T, ffn)
    x = graph.node("Add", x, precision.linear(graph, hidden, f"{name}.down"))
    return _layer_norm(graph, x, f"{name}.norm2", precision.tokens)


def _layer_norm(graph: Graph, x: str, name: str, dtype: Float) -> str:
    weight, bias = (graph.weight(f"{name}.{part}", dtype) for part in ("weight", "bias"))
    return graph.node("LayerNormalization", x, weight, bias, axis=-1, epsilon=LAYER_NORM_EPSILON)


def _rms_norm(graph: Graph, x: str, name: str, dtype: Float) -> str:
    """X / sqrt(mean(x^2) + eps) * weight over the last axis, in float32: the square of 256 overflows float16."""
    x = _cast(graph, x, np.float32)
    mean_square = graph.node(
        "ReduceMean", graph.node("Mul", x, x), graph.constant([-1], np.int64), keepdims=1
    )
    mean_square = graph.node("Add", mean_square, graph.constant(RMS_NORM_EPSILON, np.float32))
    x = graph.node("Div", x, graph.node("Sqrt", mean_square))
    return _cast(graph, graph.node("Mul", x, graph.weight(f"{name}.weight")), dtype)


def _cast(graph: Graph, x: str, dtype: Float) -> str:
    return graph.node("Cast", x, to=ONNX_TYPES[dtype])
