"""Whether a model file's graph is one that this engine could have written: checked before anything runs it.

A model file is a program and a pile of numbers that somebody else may have made. Runtimes would execute whatever
operators it names and follow it to other files, and the fused kernels read weights by address: so operators,
sizes, names, shapes, types and values are held against lists here, before a session is made or an array is
allocated. What is not checked is that the graph computes the network that its weights are for; `verify` does that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import ModelError
from tessera_engine.model.layout import GPU_PRECISIONS, GPU_VERSIONS, VERSIONS, promised_initializers

if TYPE_CHECKING:
    from tessera_engine.model.file import ModelFacts

CONSTANT_PREFIX = "constant."
"""Names of initialisers that are no weights begin with this."""

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
"""Operators that may occur, with the attributes that each may have. None holds a graph or a function, and none makes a
tensor whose size is a value in the file; but for GRU, whose size is checked."""

NODES_PER_LAYER = 256
"""An int8 layer of both branches has about 180; a graph of a million nodes keeps a runtime busy for minutes."""


def check_graph(model: Any, facts: ModelFacts, source: str) -> None:
    """Hold a parsed model file against what this engine writes.

    Args:
        model: the `onnx.ModelProto`; nothing of it has been run or unpacked.
        facts: what its metadata say, checked.
        source: the file's name, for messages.

    Raises:
        ModelError: it isn't such a graph: what was found and what was expected.
    """
    versions = GPU_VERSIONS if facts.precision in GPU_PRECISIONS else VERSIONS
    opsets = [(entry.domain, entry.version) for entry in model.opset_import]
    _expect(source, "opset", opsets, [("", versions.opset)])
    _expect(source, "IR version", model.ir_version, versions.ir)
    graph = model.graph
    for what, parts in (
        ("functions", model.functions),
        ("training graphs", model.training_info),
        ("sparse initialisers", graph.sparse_initializer),
        ("inner shapes", graph.value_info),
        ("quantisation notes", graph.quantization_annotation),
    ):
        _expect(source, f"number of {what}", len(parts), 0)
    if not all(isinstance(text, str) for text in _texts(graph)):
        raise ModelError(f"{source} has names that aren't text; the file is damaged, get it again")
    _check_interface(graph, facts, source)
    _check_initializers(graph, facts, source)
    _check_nodes(graph, facts, source)


def initializer_values(tensor: Any) -> NDArray[Any]:
    """The values of a checked initialiser, without a copy: read-only, in its dtype and shape."""
    dtype = np.dtype(_dtypes()[tensor.data_type]).newbyteorder("<")
    return np.frombuffer(tensor.raw_data, dtype).reshape(tuple(tensor.dims))


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
    """Every name that is looked at: protobuf gives bytes where it isn't UTF-8."""
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
    _expect(source, "inputs", [_signature(value) for value in graph.input], inputs)
    _expect(source, "output", [_signature(value) for value in graph.output], outputs)


def _signature(value: Any) -> str:
    from onnx import TensorProto

    tensor = value.type.tensor_type
    known = tensor.elem_type in TensorProto.DataType.values()
    kind = TensorProto.DataType.Name(tensor.elem_type) if known else f"type {tensor.elem_type}"
    axes = ", ".join(axis.dim_param or str(axis.dim_value) for axis in tensor.shape.dim)
    return f"{value.name} {kind} ({axes})"


def _check_initializers(graph: Any, facts: ModelFacts, source: str) -> None:
    promised = promised_initializers(facts)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    _expect(source, "number of doubled initialisers", len(graph.initializer) - len(weights), 0)
    constants = [name for name in weights if name.startswith(CONSTANT_PREFIX)]
    for name in promised.keys() - weights.keys():
        raise ModelError(f"{source} lacks the initialiser '{name}' that its facts ask for; export it again")
    unknown = weights.keys() - promised.keys() - set(constants)
    for name in unknown:
        raise ModelError(f"{source} has the unknown initialiser {_short(name)}; export the model again")
    for name, tensor in weights.items():
        _check_storage(tensor, source)
        dtype, shape = _dtypes()[tensor.data_type], tuple(tensor.dims)
        if name in promised:
            _expect(source, f"initialiser '{name}'", (dtype, shape), promised[name])
        elif len(shape) > 1 or math.prod(shape) > max(8, facts.dims):
            raise ModelError(f"{source}: constant {_short(name)} has shape {shape}, too large for a constant")
    for name, tensor in weights.items():
        _check_values(name, initializer_values(tensor), source)


def _check_storage(tensor: Any, source: str) -> None:
    """The values lie in the file, plainly, and are as many as the shape says."""
    name = _short(tensor.name)
    if tensor.external_data or tensor.data_location:
        raise ModelError(f"{source}: {name} lies in another file, which is never opened; export it again")
    if tensor.data_type not in _dtypes():
        raise ModelError(
            f"{source}: {name} has ONNX type {tensor.data_type}, expected {', '.join(_dtypes().values())}"
        )
    if any(size < 1 for size in tensor.dims):
        raise ModelError(f"{source}: {name} has shape {tuple(tensor.dims)}, expected sizes from 1")
    expected = math.prod(tensor.dims) * np.dtype(_dtypes()[tensor.data_type]).itemsize
    found = len(tensor.raw_data)
    others = [field.name for field, _ in tensor.ListFields() if field.name.endswith("_data")]
    if found != expected or others not in ([], ["raw_data"]) or tensor.HasField("segment"):
        raise ModelError(
            f"{source}: {name} of shape {tuple(tensor.dims)} has {found} bytes, expected {expected} as raw data; "
            "the file is damaged, get it again"
        )


def _check_values(name: str, values: NDArray[Any], source: str) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ModelError(f"{source}: '{name}' has values that aren't finite; get the model again")
    if name.endswith(".weight.int8") and values.size and values.min() < -127:
        raise ModelError(f"{source}: '{name}' has the code -128, expected -127..127; get the model again")
    if name.endswith((".weight.scale", ".input.scale")) and not (values > 0).all():
        raise ModelError(f"{source}: '{name}' has scales that aren't above 0; get the model again")


def _check_nodes(graph: Any, facts: ModelFacts, source: str) -> None:
    """Known operators, each fed by what stands before it."""
    most = NODES_PER_LAYER * (1 + facts.num_layers)
    if len(graph.node) > most:
        raise ModelError(f"{source} has {len(graph.node)} nodes, expected at most {most}; export it again")
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        if operator not in OPERATORS:
            raise ModelError(
                f"{source} uses the operator {_short(operator)}, which no model of this engine has; not loaded"
            )
        _check_attributes(node, source)
        if operator == "GRU":
            _check_recurrence(node, facts, source)
        missing = [name for name in node.input if name not in known]
        if missing:
            raise ModelError(
                f"{source}: {operator} takes {_short(missing[0])}, which nothing before it gives"
            )
        for name in node.output:
            if not name or name in known:
                raise ModelError(f"{source}: {operator} gives {_short(name)}, which is there already")
            known.add(name)
    _expect(source, "the output's presence", all(value.name in known for value in graph.output), True)


def _check_recurrence(node: Any, facts: ModelFacts, source: str) -> None:
    """The one form that v1's recurrence has: others, torch's among them, give similar embeddings that are wrong."""
    found = {attribute.name: attribute.i for attribute in node.attribute}
    _expect(source, "form of GRU", found, {"hidden_size": facts.d_model, "linear_before_reset": 0})


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
                f"{source}: {node.op_type} has the attribute {_short(attribute.name)}, expected "
                f"{' or '.join(OPERATORS[node.op_type]) or 'none'} as plain numbers; not loaded"
            )


def _dtypes() -> dict[int, str]:
    """ONNX's types of initialisers that may occur, as numpy's."""
    from onnx import TensorProto

    return {
        TensorProto.FLOAT: "float32",
        TensorProto.FLOAT16: "float16",
        TensorProto.INT8: "int8",
        TensorProto.UINT8: "uint8",
        TensorProto.INT32: "int32",
        TensorProto.INT64: "int64",
    }


def _expect(source: str, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise ModelError(
            f"{source}: {what} is {str(found)[:200]}, expected {str(expected)[:200]}; export the model again"
        )


def _short(text: str) -> str:
    """Text from an untrusted file, fit for one line."""
    return repr(text)[:80]
