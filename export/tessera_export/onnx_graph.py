"""The network as an ONNX graph, built operator by operator from the reference's weights.

Built by hand and not by torch's tracer because the graph is a contract: backends with kernels of their own read
the weights by name (see `tessera_engine.model.file`), only plain operators of opset 17 occur (what ONNX Runtime
1.18 and TensorRT 10.3 take), and one builder makes every precision for CPUs. `tessera_export.gpu_files` builds those
for GPUs, which want another form.

Shapes: B pixels, T tokens, N = B * T, C bands, d = 4 * latent_dim, H heads of h = d / H channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from tessera_engine.errors import ModelError
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.file import OUTPUT_NAME, read_arrays, read_model_file
from tessera_engine.model.layout import VERSIONS, Versions
from tessera_engine.model.weights import CONSTANT_PREFIX
from tessera_export.onnx_gru import recurrence
from tessera_export.reference import Reference, ReferenceConfig, day_of_year_table

LAYER_NORM_EPSILON = 1e-5
RMS_NORM_EPSILON = np.finfo(np.float32).eps

FILLING_BIAS = -1e4
"""Stands for log(0): beside any real token, exp of it is exactly 0; and float16 can hold it."""

PIXELS_AXIS = "pixels"

Weights = dict[str, NDArray[np.float32]]


class Graph:
    """A graph under construction. Its methods add to it and return the name of what they added.

    Attributes:
        weights: the model's weights by the name of their initialiser; matrices are (in, out).
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node with one output; '' stands for an input left out."""
        return self.nodes(operator, *inputs, outputs=[output or self._new_name(operator)], **attributes)[0]

    def nodes(self, operator: str, *inputs: str, outputs: Sequence[str], **attributes: Any) -> Sequence[str]:
        """A node with the given outputs."""
        self._nodes.append(helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))
        return outputs

    def split(self, x: str, sizes: Sequence[int], axis: int) -> Sequence[str]:
        """The parts of x along an axis."""
        name = self._new_name("Split")
        outputs = [f"{name}.{i}" for i in range(len(sizes))]
        return self.nodes("Split", x, self.constant(sizes, np.int64), outputs=outputs, axis=axis)

    def constant(self, value: ArrayLike, dtype: type[np.generic]) -> str:
        """A value that is no weight of the model: a shape, a factor."""
        return self.initializer(f"{CONSTANT_PREFIX}{len(self._initializers)}", np.asarray(value, dtype))

    def initializer(self, name: str, value: NDArray[Any]) -> str:
        """A tensor stored under `name`."""
        self._initializers[name] = numpy_helper.from_array(value, name)
        return name

    def weight(self, name: str, dtype: type[np.generic] = np.float32) -> str:
        """The model's weight of that name, stored as `dtype`."""
        return self.initializer(name, self.weights[name].astype(dtype, copy=False))

    def model(
        self, inputs: list[onnx.ValueInfoProto], output: onnx.ValueInfoProto, versions: Versions = VERSIONS
    ) -> onnx.ModelProto:
        """The finished graph as a model, of an opset and an IR version."""
        graph = helper.make_graph(
            self._nodes, "tessera", inputs, [output], initializer=list(self._initializers.values())
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", versions.opset)],
            ir_version=versions.ir,
            producer_name="tessera-engine",
        )

    def _new_name(self, operator: str) -> str:
        return f"{operator}.{len(self._nodes)}"


Linear = Callable[[Graph, str, str], str]
"""(graph, x, name) -> x @ `name.weight` + `name.bias` for x (N, in); how, is a matter of precision."""


Matrix = Callable[[Graph, str], str]
"""(graph, name) -> the float32 matrix `name.weight`, for an operator that has no integer form."""


@dataclass(frozen=True)
class Precision:
    """How weights are stored, and computed with."""

    linear: Linear
    matrix: Matrix


def linear(graph: Graph, x: str, name: str) -> str:
    """In float32. Gemm and not MatMul: runtimes add its bias, and a ReLU behind it, without another pass."""
    return graph.node("Gemm", x, graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias"))


def matrix(graph: Graph, name: str) -> str:
    """In float32."""
    return graph.weight(f"{name}.weight")


FLOAT32 = Precision(linear, matrix)


def build_onnx(model: Reference, facts: ModelFacts, precision: Precision) -> onnx.ModelProto:
    """The ONNX model of a network, with its facts as metadata.

    Args:
        model: the network.
        facts: what the file says about itself.
        precision: of the linear layers that an int8 model quantises: all but each branch's first (10 or 2 inputs)
            and the pooling's (1 output), which cost next to nothing.
    """
    config = model.config
    graph = Graph(named_weights(model))
    pooled = [_branch(graph, branch, config, precision) for branch in ("s2", "s1")]
    x = graph.node("Concat", *pooled, axis=1)  # (B, 2d)
    x = precision.linear(graph, x, "fusion.0")  # (B, 4d), or (B, dims) in v1.0
    if config.generation != "v1.0":
        x = graph.node("Relu", _layer_norm(graph, x, "fusion.norm"))
        x = precision.linear(graph, x, "fusion.1")  # (B, dims)
    if config.generation == "v2":
        graph.node(
            "LayerNormalization",
            x,
            graph.constant(np.ones(config.dims), np.float32),
            graph.constant(np.zeros(config.dims), np.float32),
            output=OUTPUT_NAME,
            epsilon=LAYER_NORM_EPSILON,
        )
    else:  # only gives it its name
        graph.node("Reshape", x, graph.constant([-1, config.dims], np.int64), output=OUTPUT_NAME)
    onnx_model = graph.model(graph_inputs(facts), graph_output(facts))
    helper.set_model_props(onnx_model, facts.to_metadata())
    return onnx_model


def graph_inputs(facts: ModelFacts) -> list[onnx.ValueInfoProto]:
    """The declared inputs, as `tessera_engine.model.file` promises them."""
    inputs = []
    for branch, bands in (("s2", facts.s2_bands), ("s1", facts.s1_bands)):
        tokens = [PIXELS_AXIS, f"{branch}_tokens"]
        inputs += [
            helper.make_tensor_value_info(branch, TensorProto.FLOAT, [*tokens, len(bands)]),
            helper.make_tensor_value_info(f"{branch}_doy", TensorProto.INT32, tokens),
            helper.make_tensor_value_info(f"{branch}_multiplicity", TensorProto.FLOAT, tokens),
        ]
    return inputs


def graph_output(facts: ModelFacts) -> onnx.ValueInfoProto:
    """The declared output."""
    return helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [PIXELS_AXIS, facts.dims])


def weight_keys(config: ReferenceConfig) -> dict[str, tuple[str, ...]]:
    """Which of the network's weights make which initialiser: transposed, then side by side."""
    keys: dict[str, tuple[str, ...]] = {}

    def add(name: str, *modules: str) -> None:
        for part in ("weight", "bias"):
            keys[f"{name}.{part}"] = tuple(f"{module}.{part}" for module in modules)

    for branch in ("s2", "s1"):
        backbone = f"{branch}_backbone"
        add(f"{branch}.embedding.0", f"{backbone}.embedding.0")
        add(f"{branch}.embedding.1", f"{backbone}.embedding.2")
        for index in range(config.num_layers):
            name = f"{branch}.layers.{index}"
            if config.qk_norm:
                layer = f"{backbone}.transformer_encoder.{index}"
                add(f"{name}.qkv", f"{layer}.q_proj", f"{layer}.k_proj", f"{layer}.v_proj")
                keys[f"{name}.q_norm.weight"] = (f"{layer}.q_norm.weight",)
                keys[f"{name}.k_norm.weight"] = (f"{layer}.k_norm.weight",)
                add(f"{name}.out", f"{layer}.out_proj")
            else:
                layer = f"{backbone}.transformer_encoder.layers.{index}"
                keys[f"{name}.qkv.weight"] = (f"{layer}.self_attn.in_proj_weight",)
                keys[f"{name}.qkv.bias"] = (f"{layer}.self_attn.in_proj_bias",)
                add(f"{name}.out", f"{layer}.self_attn.out_proj")
            add(f"{name}.norm1", f"{layer}.norm1")
            add(f"{name}.up", f"{layer}.linear1")
            add(f"{name}.down", f"{layer}.linear2")
            add(f"{name}.norm2", f"{layer}.norm2")
        pool = f"{backbone}.attn_pool"
        add(f"{branch}.pool", f"{pool}.query")
        if config.generation != "v2":
            cell = f"{pool}.temporal_context.gru_cell"
            for part, gates in (("input", ("W_ir", "W_iz", "W_ih")), ("hidden", ("W_hr", "W_hz", "W_hh"))):
                keys[f"{branch}.gru.{part}.weight"] = tuple(f"{cell}.{gate}.weight" for gate in gates)
            keys[f"{branch}.gru.input.bias"] = tuple(f"{cell}.b_{gate}" for gate in "rzh")
            add(f"{branch}.pool.norm", f"{pool}.layer_norm")
    add("fusion.0", "dim_reducer.0")
    if config.generation != "v1.0":
        add("fusion.norm", "dim_reducer.1")
        add("fusion.1", "dim_reducer.4")
    return keys


def named_weights(model: Reference) -> Weights:
    """The network's weights by the names of the model file."""
    state = {key: value.detach().cpu().numpy() for key, value in model.state_dict().items()}
    weights = {
        name: np.ascontiguousarray(np.concatenate([state[key].T for key in keys], axis=-1))
        for name, keys in weight_keys(model.config).items()
    }
    table = day_of_year_table(model.config.d_model).numpy()
    return weights | {"s2.day_of_year": table, "s1.day_of_year": table}


def load_network(path: Path) -> Reference:
    """The network of an fp32 model file, in eval mode: `named_weights` the other way.

    Raises:
        ModelError: no model file of this engine, or not fp32.
    """
    file = read_model_file(path)
    facts = file.facts
    if facts.precision != "fp32":
        raise ModelError(f"{path} is {facts.precision}, a network can be had from an fp32 model file only")
    config = ReferenceConfig(
        latent_dim=facts.latent_dim,
        num_layers=facts.num_layers,
        num_heads=facts.num_heads,
        ffn_dim=facts.ffn_dim,
        dims=facts.dims,
        prefixes=facts.prefixes,
        qk_norm=facts.qk_norm,
        generation=facts.generation,
    )
    weights = read_arrays(file)
    state: dict[str, torch.Tensor] = {}
    for name, keys in weight_keys(config).items():
        parts = np.split(weights[name], len(keys), axis=-1)
        state |= {key: torch.tensor(part.T) for key, part in zip(keys, parts, strict=True)}
    model = Reference(config)
    model.load_state_dict(state)
    return model.eval()


def _branch(graph: Graph, branch: str, config: ReferenceConfig, precision: Precision) -> str:
    """One modality's pooled vector (B, d).

    Tokens lie in one matrix (N, d) outside the attention: runtimes are faster on it than on (B, T, d).
    """
    d = config.d_model
    tokens = graph.node("Shape", f"{branch}_doy")  # (B, T)
    bias = graph.node(
        "Max",
        graph.node("Log", f"{branch}_multiplicity"),  # log(0) = -inf
        graph.constant(FILLING_BIAS, np.float32),
    )  # (B, T)

    x = graph.node(
        "Reshape",
        branch,
        graph.constant([-1, graph.weights[f"{branch}.embedding.0.weight"].shape[0]], np.int64),
    )
    x = graph.node("Relu", linear(graph, x, f"{branch}.embedding.0"))
    x = precision.linear(graph, x, f"{branch}.embedding.1")  # (N, d)
    days = graph.node("Reshape", f"{branch}_doy", graph.constant([-1], np.int64))
    x = graph.node("Add", x, graph.node("Gather", graph.weight(f"{branch}.day_of_year"), days, axis=0))

    heads = graph.node(
        "Concat", tokens, graph.constant([config.num_heads, config.head_dim], np.int64), axis=0
    )  # (B, T, H, h)
    key_bias = graph.node("Unsqueeze", bias, graph.constant([1, 2], np.int64))  # (B, 1, 1, T)
    for index in range(config.num_layers):
        x = _layer(graph, x, f"{branch}.layers.{index}", config, heads, key_bias, precision.linear)

    in_place = graph.node("Concat", tokens, graph.constant([d], np.int64), axis=0)  # (B, T, d)
    if config.generation == "v2":
        logits = graph.node("Reshape", linear(graph, x, f"{branch}.pool"), tokens)  # (B, T)
        x = graph.node("Reshape", x, in_place)
    else:
        x = graph.node("Reshape", x, in_place)
        context = recurrence(graph, x, f"{branch}.gru", precision.matrix)  # (B, T, d)
        context = _layer_norm(graph, context, f"{branch}.pool.norm")
        context = graph.node("Reshape", context, graph.constant([-1, d], np.int64))
        logits = graph.node("Reshape", linear(graph, context, f"{branch}.pool"), tokens)
    weights = graph.node("Softmax", graph.node("Add", logits, bias), axis=1)
    weights = graph.node("Unsqueeze", weights, graph.constant([1], np.int64))  # (B, 1, T)
    return graph.node("Squeeze", graph.node("MatMul", weights, x), graph.constant([1], np.int64))


def _layer(
    graph: Graph,
    x: str,
    name: str,
    config: ReferenceConfig,
    heads: str,
    key_bias: str,
    quantizable: Linear,
) -> str:
    """One encoder layer: x (N, d) -> (N, d)."""
    d = config.d_model
    parts = graph.split(quantizable(graph, x, f"{name}.qkv"), [d, d, d], axis=1)
    q, k, v = (graph.node("Reshape", part, heads) for part in parts)  # (B, T, H, h)
    if config.qk_norm:
        q = _rms_norm(graph, q, f"{name}.q_norm")
        k = _rms_norm(graph, k, f"{name}.k_norm")
    q = graph.node("Transpose", q, perm=[0, 2, 1, 3])  # (B, H, T, h)
    k = graph.node("Transpose", k, perm=[0, 2, 3, 1])  # (B, H, h, T)
    v = graph.node("Transpose", v, perm=[0, 2, 1, 3])
    # the scale goes on q and not on the scores, which in float16 could overflow before it
    q = graph.node("Mul", q, graph.constant(config.head_dim**-0.5, np.float32))
    scores = graph.node("Add", graph.node("MatMul", q, k), key_bias)  # (B, H, T, T)
    mixed = graph.node("MatMul", graph.node("Softmax", scores, axis=3), v)  # (B, H, T, h)
    mixed = graph.node("Transpose", mixed, perm=[0, 2, 1, 3])
    mixed = graph.node("Reshape", mixed, graph.constant([-1, d], np.int64))  # (N, d)
    x = graph.node("Add", x, quantizable(graph, mixed, f"{name}.out"))
    x = _layer_norm(graph, x, f"{name}.norm1")
    hidden = graph.node("Relu", quantizable(graph, x, f"{name}.up"))  # (N, ffn)
    x = graph.node("Add", x, quantizable(graph, hidden, f"{name}.down"))
    return _layer_norm(graph, x, f"{name}.norm2")


def _layer_norm(graph: Graph, x: str, name: str) -> str:
    return graph.node(
        "LayerNormalization",
        x,
        graph.weight(f"{name}.weight"),
        graph.weight(f"{name}.bias"),
        epsilon=LAYER_NORM_EPSILON,
    )


def _rms_norm(graph: Graph, x: str, name: str) -> str:
    """X / sqrt(mean(x^2) + eps) * weight over the last axis; opset 17 has no operator for it."""
    mean_square = graph.node("ReduceMean", graph.node("Mul", x, x), axes=[-1], keepdims=1)
    mean_square = graph.node("Add", mean_square, graph.constant(RMS_NORM_EPSILON, np.float32))
    x = graph.node("Div", x, graph.node("Sqrt", mean_square))
    return graph.node("Mul", x, graph.weight(f"{name}.weight"))
