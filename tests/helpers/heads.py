"""Small ONNX networks as others may export them."""

from __future__ import annotations

import json

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def model(nodes, weights, axes, outputs, metadata=None, opset=17, ir=8):
    """The bytes of a network with the input x and the output y; `axes` without the channels' places."""
    batch, dim, *space = axes
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, dim, *space])
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, outputs, *space])
    tensors = [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "head", [taken], [given], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    for key, value in (metadata or {}).items():
        entry = made.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)
    return made


def pixels(dim=16, outputs=3, softmax=True, seed=0, **metadata):
    """A network of single pixels: two layers."""
    rng = np.random.default_rng(seed)
    weights = {
        "w1": rng.normal(size=(dim, 8)).astype(np.float32),
        "b1": rng.normal(size=8).astype(np.float32),
        "w2": rng.normal(size=(outputs, 8)).astype(np.float32),
        "b2": rng.normal(size=outputs).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"]),
        helper.make_node("Add", ["a", "b1"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "w2", "b2"], ["d" if softmax else "y"], transB=1),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["d"], ["y"], axis=1))
    return model(nodes, weights, ["pixels", dim], outputs, metadata), weights


def u_net(dim=16, classes=3, seed=0, **metadata):
    """A network of patches: down by two and by two again, up by both ways, and a skip connection."""
    rng = np.random.default_rng(seed)

    def weight(*shape):
        return (rng.normal(size=shape) / np.prod(shape[1:]) ** 0.5).astype(np.float32)

    weights = {
        "c1": weight(6, dim, 3, 3), "c2": weight(8, 6, 3, 3), "t1": weight(8, 8, 2, 2), "c3": weight(classes, 14, 1, 1),
        "mean": np.zeros(6, np.float32), "one": np.ones(6, np.float32), "scales": np.array([1, 1, 2, 2], np.float32),
    }  # fmt: skip
    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    half = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        helper.make_node("Conv", ["x", "c1"], ["a"], **same),
        helper.make_node("BatchNormalization", ["a", "one", "mean", "mean", "one"], ["n"]),
        helper.make_node("Relu", ["n"], ["skip"]),
        helper.make_node("MaxPool", ["skip"], ["b"], **half),
        helper.make_node("Conv", ["b", "c2"], ["c"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("ConvTranspose", ["c", "t1"], ["d"], **half),
        helper.make_node("Resize", ["d", "", "scales"], ["e"], mode="linear"),
        helper.make_node("Concat", ["skip", "e"], ["f"], axis=1),
        helper.make_node("Conv", ["f", "c3"], ["y"], kernel_shape=[1, 1]),
    ]
    return model(nodes, weights, [1, dim, "height", "width"], classes, metadata)
