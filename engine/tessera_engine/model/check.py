"""Checks, before anything runs a model file, that this engine could have written its graph.

A model file is a program with data, and anybody may have made it. A runtime would run any operator that the file names
and open other files that it points to, and the fused kernels read weights by address. So the operators, sizes, names,
shapes, types and values are compared with lists here, before a session is made or an array is allocated. One thing is
not checked: whether the graph computes the network that its weights belong to. `verify` checks that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tessera_engine.errors import ModelError
from tessera_engine.model.facts import GPU_PRECISIONS, ModelFacts
from tessera_engine.model.layout import GPU_VERSIONS, VERSIONS
from tessera_engine.model.weights import check_weights, expect, short

OPERATORS = {
    **dict.fromkeys(("Abs", "Add", "Div", "Log", "MatMul", "MatMulInteger", "Max", "Mul", "Relu"), ()),
    **dict.fromkeys(("Reshape", "Round", "Shape", "Sqrt", "Squeeze", "Unsqueeze"), ()),
    **dict.fromkeys(("Concat", "Gather", "Softmax", "Split"), ("axis",)),
    **dict.fromkeys(("ReduceMax", "ReduceMean"), ("axes", "keepdims")),
    "Cast": ("to",),
    "Gemm": (),
    "GRU": ("hidden_size", "linear_before_reset"),
    **dict.fromkeys(("DequantizeLinear", "QuantizeLinear"), ("axis",)),
    "LayerNormalization": ("axis", "epsilon"),
    "Transpose": ("perm",),
}
"""Operators that may occur, and the attributes that each may have. None contains a graph or a function. None makes a
tensor whose size is a value in the file, except GRU, whose size is checked."""

NODES_PER_LAYER = 256
"""A layer of both branches in int8 has about 180. A graph of a million nodes would keep a runtime busy for minutes."""


def check_graph(model: Any, facts: ModelFacts, source: str) -> None:
    """Compare a parsed model file with what this engine writes.

    Args:
        model: the `onnx.ModelProto`; no part of it has been run or unpacked.
        facts: the facts from its metadata, checked.
        source: the file's name, for messages.

    Raises:
        ModelError: it is another graph; the message says what was found and what was expected.
    """
    versions = GPU_VERSIONS if facts.precision in GPU_PRECISIONS else VERSIONS
    opsets = [(entry.domain, entry.version) for entry in model.opset_import]
    expect(source, "opset", opsets, [("", versions.opset)])
    expect(source, "IR version", model.ir_version, versions.ir)
    graph = model.graph
    for what, parts in (
        ("functions", model.functions),
        ("training graphs", model.training_info),
        ("sparse initialisers", graph.sparse_initializer),
        ("inner shapes", graph.value_info),
        ("quantisation notes", graph.quantization_annotation),
    ):
        expect(source, f"number of {what}", len(parts), 0)
    if not all(isinstance(text, str) for text in _texts(graph)):
        raise ModelError(f"{source} has names that are not text; the file is damaged, get it again")
    _check_interface(graph, facts, source)
    check_weights(graph, facts, source)
    _check_nodes(graph, facts, source)


def interface(facts: ModelFacts) -> tuple[list[str], list[str]]:
    """The declared inputs and outputs, each as `name type (axes)`."""
    inputs = []
    for branch, bands in (("s2", facts.s2_bands), ("s1", facts.s1_bands)):
        tokens = f"pixels, {branch}_tokens"
        inputs += [
            f"{branch} FLOAT ({tokens}, {len(bands)})",
            f"{branch}_doy INT32 ({tokens})",
            f"{branch}_multiplicity FLOAT ({tokens})",
        ]
    return inputs, [f"embedding FLOAT (pixels, {facts.dims})"]


def _texts(graph: Any) -> Iterator[object]:
    """Every name that the checks read. Protobuf gives bytes for a name that is not UTF-8."""
    for tensor in graph.initializer:
        yield tensor.name
    for value in (*graph.input, *graph.output):
        yield value.name
        yield from (axis.dim_param for axis in value.type.tensor_type.shape.dim)
    for node in graph.node:
        yield from (node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)


def _check_interface(graph: Any, facts: ModelFacts, source: str) -> None:
    inputs, outputs = interface(facts)
    expect(source, "inputs", [_signature(value) for value in graph.input], inputs)
    expect(source, "output", [_signature(value) for value in graph.output], outputs)


def _signature(value: Any) -> str:
    from onnx import TensorProto

    tensor = value.type.tensor_type
    known = tensor.elem_type in TensorProto.DataType.values()
    kind = TensorProto.DataType.Name(tensor.elem_type) if known else f"type {tensor.elem_type}"
    axes = ", ".join(axis.dim_param or str(axis.dim_value) for axis in tensor.shape.dim)
    return f"{value.name} {kind} ({axes})"


def _check_nodes(graph: Any, facts: ModelFacts, source: str) -> None:
    """Check that all operators are known and that each one's inputs come from an earlier one."""
    most = NODES_PER_LAYER * (1 + facts.num_layers)
    if len(graph.node) > most:
        raise ModelError(f"{source} has {len(graph.node)} nodes, expected at most {most}; export it again")
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        if operator not in OPERATORS:
            raise ModelError(
                f"{source} uses the operator {short(operator)}, which no model of this engine has; it was not loaded"
            )
        _check_attributes(node, source)
        if operator == "GRU":
            _check_recurrence(node, facts, source)
        missing = [name for name in node.input if name not in known]
        if missing:
            raise ModelError(
                f"{source}: {operator} takes {short(missing[0])}, which no earlier operator gives"
            )
        for name in node.output:
            if not name or name in known:
                raise ModelError(f"{source}: {operator} gives {short(name)}, which exists already")
            known.add(name)
    for value in graph.output:
        if value.name not in known:
            raise ModelError(f"{source}: no operator gives the output {short(value.name)}; export it again")


def _check_recurrence(node: Any, facts: ModelFacts, source: str) -> None:
    """Check for the one form that v1's recurrence has. Others, PyTorch's too, give similar but wrong embeddings."""
    found = {attribute.name: attribute.i for attribute in node.attribute}
    expect(source, "form of GRU", found, {"hidden_size": facts.d_model, "linear_before_reset": 0})


def _check_attributes(node: Any, source: str) -> None:
    from onnx import AttributeProto

    plain = (AttributeProto.INT, AttributeProto.INTS, AttributeProto.FLOAT)
    names = [attribute.name for attribute in node.attribute]
    for attribute in node.attribute:
        allowed = attribute.name in OPERATORS[node.op_type] and attribute.type in plain
        if (
            not allowed
            or attribute.ref_attr_name
            or len(attribute.ints) > 4
            or names.count(attribute.name) > 1
        ):
            raise ModelError(
                f"{source}: {node.op_type} has the attribute {short(attribute.name)}, expected "
                f"{' or '.join(OPERATORS[node.op_type]) or 'none'} as plain numbers; it was not loaded"
            )
