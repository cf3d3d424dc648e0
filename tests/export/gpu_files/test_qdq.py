"""Int8 with explicit Q/DQ: scales, and one layer beside its integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper

from tessera_engine.model.file import OUTPUT_NAME
from tessera_engine.model.layout import GPU_VERSIONS
from tessera_export.gpu_files import qdq
from tessera_export.gpu_files.rounded import RoundedNetwork
from tessera_export.onnx_builder import Graph


@given(st.floats(2.0**-26, 60000, width=32))
def test_scales_reach_what_they_are_for(largest):
    scale = qdq.half_scale(np.float32(largest))
    assert scale.dtype == np.float16
    assert np.isfinite(scale)
    assert float(scale) * 127 >= largest * (1 - 1e-6)
    assert float(scale) <= max(largest / 127 * 1.1, qdq.SMALLEST_SCALE)


@settings(max_examples=60)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 20), st.integers(1, 6)),
        elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False) | st.just(0.0),
    )
)
def test_weights_come_back_within_half_a_scale(weight):
    codes, scale = qdq.quantize_weight(weight)
    assert (codes.dtype, scale.dtype) == (np.int8, np.float16)
    assert (codes.shape, scale.shape) == (weight.shape, weight.shape[1:])
    assert codes.min() >= -127
    back = codes.astype(np.float64) * scale.astype(np.float64)
    assert (np.abs(back - weight) <= scale.astype(np.float64) * 0.5001).all()


def layer(weight, bias, threshold):
    graph = Graph({"layer.weight": weight, "layer.bias": bias})
    half = graph.node("Cast", "x", to=TensorProto.FLOAT16)
    y = qdq.quantized({"layer": threshold}).linear(graph, half, "layer")
    graph.node("Cast", y, output=OUTPUT_NAME, to=TensorProto.FLOAT)
    return graph.model(
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["pixels", "tokens", len(weight)])],
        helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["pixels", "tokens", len(bias)]),
        GPU_VERSIONS,
    )


def naive_layer(x, weight, bias, threshold):
    """In integers, one output at a time."""
    x_scale = float(qdq.half_scale(np.float32(threshold)))
    y = np.empty((*x.shape[:2], len(bias)))
    for place in np.ndindex(x.shape[:2]):
        codes = [min(127, max(-128, int(np.rint(float(v) / x_scale)))) for v in x[place].astype(np.float16)]
        for j, channel in enumerate(weight.T):
            scale = float(qdq.half_scale(np.abs(channel).max()))
            weight_codes = [min(127, max(-127, int(np.rint(float(v) / scale)))) for v in channel]
            dot = sum(a * b for a, b in zip(codes, weight_codes, strict=True))
            y[(*place, j)] = dot * x_scale * scale + float(bias[j])
    return y


@pytest.mark.parametrize("threshold", [4.0, 0.5])
def test_a_layer_is_its_integers(threshold):
    """With the smaller threshold most inputs are clipped."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((40, 7)).astype(np.float32) / 8
    bias = rng.standard_normal(7).astype(np.float32)
    x = rng.standard_normal((2, 5, 40)).astype(np.float32)
    found = RoundedNetwork(layer(weight, bias, threshold)).run({"x": x})
    expected = naive_layer(x, weight, bias, threshold)
    np.testing.assert_allclose(found, expected, atol=6e-3)  # float16 keeps 11 bits of values up to 4
    assert np.abs(expected - (x @ weight + bias)).max() > 6e-3  # and it is int8
