"""The network as an ONNX graph, built operator by operator from the weights of the reference.

It is not traced by torch, because the graph is a contract: backends with their own kernels read the weights by name
(see `tessera_engine.model.file`), it has only plain operators of opset 17 (supported by ONNX Runtime 1.18 and TensorRT
10.3), and the same code builds every precision for CPUs. `tessera_export.gpu_files` builds the graphs for GPUs, which
need another form.

Shapes: B pixels, T tokens, N = B * T, C bands, d = 4 * latent_dim, H heads of h = d / H channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tessera_engine.errors import ModelError
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.file import OUTPUT_NAME, read_arrays, read_model_file
from tessera_export.onnx_builder import Graph, Linear, Precision, Weights, linear
from tessera_export.onnx_gru import recurrence
from tessera_export.reference import Reference, ReferenceConfig, day_of_year_table

LAYER_NORM_EPSILON = 1e-5
RMS_NORM_EPSILON = np.finfo(np.float32).eps

FILLING_BIAS = -1e4
"""Used in place of log(0), because float16 can store it. Beside any real token, its exp is exactly 0."""

PIXELS_AXIS = "pixels"


def build_onnx(
    model: Reference, facts: ModelFacts, precision: Precision, weights: Weights | None = None
) -> onnx.ModelProto:
    """The ONNX model of a network, with its facts as metadata.

    Args:
        model: the network.
        facts: the facts of the model file.
        precision: how to compute the linear layers that int8 models quantise. Not quantised are each branch's first
            layer (10 or 2 inputs) and the pooling's (1 output), which take nearly no time.
        weights: by the names in the model file. Default: the network's.
    """
    config = model.config
    graph = Graph(named_weights(model) if weights is None else weights)
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
    else:  # it only gets its name
        graph.node("Reshape", x, graph.constant([-1, config.dims], np.int64), output=OUTPUT_NAME)
    onnx_model = graph.model(graph_inputs(facts), graph_output(facts))
    helper.set_model_props(onnx_model, facts.to_metadata())
    return onnx_model


def graph_inputs(facts: ModelFacts) -> list[onnx.ValueInfoProto]:
    """The declared inputs, as described in `tessera_engine.model.file`."""
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
    """Initialiser -> the weights of the network that it consists of: each transposed, then side by side."""
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
    """The weights of the network, by the names in the model file."""
    state = {key: value.detach().cpu().numpy() for key, value in model.state_dict().items()}
    weights = {
        name: np.ascontiguousarray(np.concatenate([state[key].T for key in keys], axis=-1))
        for name, keys in weight_keys(model.config).items()
    }
    table = day_of_year_table(model.config.d_model).numpy()
    return weights | {"s2.day_of_year": table, "s1.day_of_year": table}


def load_network(path: Path) -> Reference:
    """The network of an fp32 model file, in eval mode: the inverse of `named_weights`.

    Raises:
        ModelError: it is not a model file of this engine, or not fp32.
    """
    file = read_model_file(path)
    facts = file.facts
    if facts.precision != "fp32":
        raise ModelError(f"{path} is {facts.precision}; give an fp32 model file, whose weights are exact")
    return network_of(read_arrays(file), facts)


def load_dequantised(path: Path) -> Reference:
    """The network of an int8 model file in float32, in eval mode: its codes times their scales.

    Raises:
        ModelError: it is not a model file of this engine.
    """
    file = read_model_file(path)
    weights = dict(read_arrays(file))
    for name in list(weights):
        weight, _, kind = name.rpartition(".")
        if kind in ("int8", "int16"):
            weights[weight] = weights.pop(name) * weights.pop(f"{weight}.scale")
    return network_of(weights, file.facts)


def network_of(weights: Mapping[str, NDArray[np.float32]], facts: ModelFacts) -> Reference:
    """The network of an fp32 model file's initialisers, in eval mode."""
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
    state: dict[str, torch.Tensor] = {}
    for name, keys in weight_keys(config).items():
        parts = np.split(weights[name], len(keys), axis=-1)
        state |= {key: torch.tensor(part.T) for key, part in zip(keys, parts, strict=True)}
    model = Reference(config)
    model.load_state_dict(state)
    return model.eval()


def _branch(graph: Graph, branch: str, config: ReferenceConfig, precision: Precision) -> str:
    """The pooled vector of one modality, (B, d).

    Outside the attention, tokens are one matrix (N, d): runtimes are faster with it than with (B, T, d).
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
    # q is scaled, not the scores, which could overflow in float16 before they are scaled
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
    """X / sqrt(mean(x^2) + eps) * weight over the last axis. Opset 17 has no operator for it."""
    mean_square = graph.node("ReduceMean", graph.node("Mul", x, x), axes=[-1], keepdims=1)
    mean_square = graph.node("Add", mean_square, graph.constant(RMS_NORM_EPSILON, np.float32))
    x = graph.node("Div", x, graph.node("Sqrt", mean_square))
    return graph.node("Mul", x, graph.weight(f"{name}.weight"))
