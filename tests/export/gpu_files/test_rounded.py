"""The graph as GPUs round it: what ONNX Runtime's CPU kernels leave out, and the same values otherwise."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tessera_engine.model.file import OUTPUT_NAME
from tessera_export.gpu_files.rounded import OPERATORS, RoundedNetwork


def model(nodes, constants, shape=(None, 4)):
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def onnx_runtime(proto, x):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def test_every_float16_result_is_rounded():
    """2048 + 0.5 is 2048 in float16: what is added is gone when 2048 is taken off again."""
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Add", ["half", "much"], ["sum"]),
        helper.make_node("Add", ["sum", "less"], ["back"]),
        helper.make_node("Cast", ["back"], [OUTPUT_NAME], to=TensorProto.FLOAT),
    ]
    much = np.full(4, 2048, np.float16)
    x = np.array([[0.5, 1.5, 3.0, 0.1]], np.float32)
    found = RoundedNetwork(model(nodes, {"much": much, "less": -much})).run({"x": x})
    expected = ((x.astype(np.float16) + much) - much).astype(np.float32)
    np.testing.assert_array_equal(found, expected)
    assert found[0, 0] == 0


@pytest.mark.parametrize("size", [1, 7])
def test_the_recurrence_is_onnx_runtimes(size):
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.standard_normal((1, 15, 4)).astype(np.float32),
        "r": rng.standard_normal((1, 15, 5)).astype(np.float32),
        "b": rng.standard_normal((1, 30)).astype(np.float32),
    }
    node = helper.make_node("GRU", ["x", "w", "r", "b"], [OUTPUT_NAME], hidden_size=5, linear_before_reset=0)
    proto = model([node], weights, (None, None, 4))
    x = rng.standard_normal((size, 3, 4)).astype(np.float32)
    np.testing.assert_allclose(RoundedNetwork(proto).run({"x": x}), onnx_runtime(proto, x), atol=1e-6)


def test_codes_are_onnx_runtimes():
    """Rounding half to even, and clipping at -128 and 127."""
    zero = np.array(0, np.int8)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], [OUTPUT_NAME]),
    ]
    proto = model(nodes, {"scale": np.array(0.5, np.float32), "zero": zero})
    x = np.array([[0.25, 0.75, -1000, 1000], [-0.25, -0.75, 63.6, -63.9]], np.float32)
    found = RoundedNetwork(proto).run({"x": x})
    np.testing.assert_array_equal(found, onnx_runtime(proto, x))
    np.testing.assert_array_equal(found, [[0, 1, -64, 63.5], [0, -1, 63.5, -64]])


def test_it_knows_no_operator_that_model_files_cannot_have():
    from tessera_engine.model.check import OPERATORS as ALLOWED

    assert OPERATORS.keys() <= ALLOWED.keys()
    assert all(onnx.defs.has(name) for name in OPERATORS)
