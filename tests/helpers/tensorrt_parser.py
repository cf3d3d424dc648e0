"""Whether TensorRT 10.3's ONNX parser takes a graph, as far as its published matrix tells."""

from __future__ import annotations

import csv
from functools import cache

import onnx
from onnx import TensorProto, numpy_helper
from places import DATA

TABLE = DATA / "tensorrt_parser.csv"
OPSETS = range(9, 21)
TYPES = {
    TensorProto.FLOAT: "FP32",
    TensorProto.FLOAT16: "FP16",
    TensorProto.INT8: "INT8",
    TensorProto.UINT8: "UINT8",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
}
FIXED = {"ReduceMax": 1, "ReduceMean": 1, "Squeeze": 1, "Unsqueeze": 1}
"""Which input has to be an initializer."""

OF_ONE_TYPE = ("Add", "Concat", "Div", "GRU", "Gemm", "LayerNormalization", "MatMul", "Max", "Mul")
"""Operators all of whose inputs have the same type: nothing is converted in a strongly typed network."""


@cache
def table() -> dict[str, frozenset[str]]:
    """Operator -> types that it takes."""
    with TABLE.open() as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {row["operator"]: frozenset(row["types"].split()) for row in rows}


def problems(model: onnx.ModelProto) -> list[str]:
    """What the parser wouldn't take, or what isn't known of a graph before it runs; a line each."""
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    graph = inferred.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    types = {name: tensor.data_type for name, tensor in constants.items()}
    found = [
        f"opset {each.domain} {each.version}"
        for each in model.opset_import
        if each.domain or each.version not in OPSETS
    ]
    for value in (*graph.input, *graph.output, *graph.value_info):
        tensor = value.type.tensor_type
        types[value.name] = tensor.elem_type
        if not tensor.HasField("shape"):
            found.append(f"{value.name} has no inferred shape")
    for node in graph.node:
        taken = table().get(node.op_type, frozenset())
        where = f"{node.op_type} {node.output[0]}"
        unknown = [name for name in (*node.input, *node.output) if name not in types]
        if not taken or unknown:
            found.append(f"{where}: {f'unknown type of {unknown}' if unknown else 'operator not taken'}")
            continue
        checked = node.input if node.op_type in OF_ONE_TYPE else node.input[:1]
        kinds = {TYPES.get(types[name], str(types[name])) for name in checked}
        if len(kinds) > 1 or not kinds <= taken:
            found.append(f"{where}: {sorted(kinds)}, taken is one of {sorted(taken)}")
        if any(TYPES.get(types[name]) == "UINT8" for name in node.output):
            found.append(f"{where}: UINT8 inside the network")
        position = FIXED.get(node.op_type)
        if position is not None and len(node.input) > position and node.input[position] not in constants:
            found.append(f"{where}: axes that aren't an initializer")
        if node.op_type == "GRU" and kinds != {"FP32"}:  # the parser makes states of FP32 for it
            found.append(f"{where}: {sorted(kinds)}, states are FP32")
        if node.op_type.endswith("antizeLinear") and len(node.input) > 2:
            zero = constants.get(node.input[2])
            if zero is None or types[node.input[2]] != TensorProto.INT8 or numpy_helper.to_array(zero).any():
                found.append(f"{where}: zero point is not an int8 0")
        if node.op_type == "LayerNormalization" and len(node.output) > 1:
            found.append(f"{where}: more than one output")
    return found
