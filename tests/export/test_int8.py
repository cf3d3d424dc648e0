"""int8 linear layers: how near they are, and that they depend on nothing but their own token."""

import conformance
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conformance import Rectangles
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper, numpy_helper
from places import FLANDERS

from tessera_engine.model.drift import measure
from tessera_export import int8
from tessera_export.checkpoint import load_checkpoint
from tessera_export.export import export_model
from tessera_export.onnx_builder import Graph


@pytest.fixture(scope="module")
def nano(tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "nano.int8.onnx"
    export_model(conformance.checkpoint("nano"), out, "int8")
    return out


def layer(weight: np.ndarray, bias: np.ndarray) -> onnxruntime.InferenceSession:
    """One int8 linear layer as a model of its own."""
    graph = Graph({"layer.weight": weight, "layer.bias": bias})
    graph.node("Identity", int8.linear(graph, "x", "layer"), output="y")
    proto = graph.model(
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", len(weight)])],
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", len(bias)]),
    )
    return onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])


def naive_layer(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The same in integers, one token and one output channel at a time."""
    y = np.empty((len(x), len(bias)), np.float64)
    for i, token in enumerate(x):
        token_scale = max(np.abs(token).max() / np.float32(127), np.float32(1e-12))
        token_codes = [int(np.rint(value / token_scale)) for value in token]
        for j, channel in enumerate(weight.T):
            scale = np.abs(channel).max() / np.float32(127) or np.float32(1)
            codes = [int(np.rint(value / scale)) for value in channel]
            dot = sum(a * b for a, b in zip(token_codes, codes, strict=True))
            y[i, j] = dot * float(scale) * float(token_scale) + float(bias[j])
    return y


@settings(max_examples=60)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 20), st.integers(1, 6)),
        elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False) | st.just(0.0),
    )
)
def test_weights_come_back_within_half_a_scale(weight):
    codes, scale = int8.quantize_weight(weight)
    assert codes.dtype == np.int8
    assert scale.dtype == np.float32
    assert codes.shape == weight.shape
    assert scale.shape == weight.shape[1:]
    assert (scale > 0).all()
    assert codes.min() >= -127
    back = codes.astype(np.float64) * scale
    assert (np.abs(back - weight) <= scale * 0.5001).all()
    used = weight.any(axis=0)
    assert (np.abs(codes).max(axis=0)[used] == 127).all()


def test_layer_computes_its_integers_exactly():
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((40, 7), np.float32), rng.standard_normal(7, np.float32)
    x = rng.standard_normal((9, 40), np.float32) * np.float32(10) ** rng.integers(-3, 4, (9, 1)).astype(
        np.float32
    )
    x[3] = 0
    (y,) = layer(weight, bias).run(None, {"x": x})
    np.testing.assert_allclose(y, naive_layer(x, weight, bias), rtol=1e-5, atol=1e-6)


def test_layer_does_not_saturate():
    """Largest codes of one sign in long rows: int16 sums of pairs would come out 60 % too small."""
    weight, x = np.full((384, 8), 3, np.float32), np.full((5, 384), -2, np.float32)
    (y,) = layer(weight, np.zeros(8, np.float32)).run(None, {"x": x})
    np.testing.assert_allclose(y, x @ weight, rtol=1e-5)


def test_every_large_matrix_is_stored_in_integers_and_nothing_else(nano):
    proto = onnx.load(nano)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    codes = {name.removesuffix(".int8") for name, value in stored.items() if value.dtype == np.int8}
    wide = {name.removesuffix(".int16") for name, value in stored.items() if value.dtype == np.int16}
    assert wide == {"fusion.0.weight", "fusion.1.weight"}
    layers = [f"{branch}.layers.{i}" for branch in ("s2", "s1") for i in range(2)]
    assert codes == {
        *(f"{name}.{part}.weight" for name in layers for part in ("qkv", "out", "up", "down")),
        "s2.embedding.1.weight",
        "s1.embedding.1.weight",
    }
    matrices = {name for name, value in stored.items() if value.dtype == np.float32 and value.ndim == 2}
    assert matrices == {
        f"{branch}.{name}"
        for branch in ("s2", "s1")
        for name in ("embedding.0.weight", "pool.weight", "day_of_year")
    }


def test_weights_take_one_byte_and_the_fusions_two(nano):
    d, ffn, layers, dims, days = 144, 384, 2, 128, 367
    matrices = 2 * (d * d + layers * (4 * d * d + 2 * d * ffn))
    fusion = 2 * d * 4 * d + 4 * d * dims
    tables = 2 * 4 * days * d
    rest = nano.stat().st_size - (matrices + 2 * fusion + tables)
    assert 0 < rest < 100_000  # nodes, biases, scales, the bands' layers


def embed(inputs: Rectangles) -> np.ndarray:
    with torch.inference_mode():
        network = load_checkpoint(conformance.checkpoint("nano")).model
        return network(*map(torch.from_numpy, inputs)).numpy()


def test_drift_on_the_conformance_tile(nano):
    inputs = conformance.conformance_tile("edge").inputs
    drift = measure(embed(inputs), conformance.run_onnx(nano, inputs))
    assert drift.centred_mean >= 0.9999
    assert drift.centred_p1 >= 0.9995


def test_drift_on_a_real_scene(nano):
    if not FLANDERS.is_dir():
        pytest.skip(f"needs {FLANDERS}")
    inputs = conformance.read_tile(FLANDERS, 150).inputs
    drift = measure(embed(inputs), conformance.run_onnx(nano, inputs))
    assert drift.centred_mean >= 0.9995  # random weights: their embeddings differ little between pixels
    assert drift.centred_p1 >= 0.998


def test_a_pixel_does_not_depend_on_its_batch_or_filling(nano):
    inputs = conformance.conformance_tile("edge").inputs
    together = conformance.run_onnx(nano, Rectangles(*(array[:20] for array in inputs)))
    loud = [array[:20].copy() for array in inputs]
    loud[0][10:] *= 100
    beside_loud = conformance.run_onnx(nano, Rectangles(*loud))
    np.testing.assert_array_equal(together[:10], beside_loud[:10])

    filling = [inputs[2][:20] == 0, inputs[5][:20] == 0]
    loud = [array[:20].copy() for array in inputs]
    loud[0][filling[0]], loud[3][filling[1]] = 100, 100
    np.testing.assert_array_equal(together, conformance.run_onnx(nano, Rectangles(*loud)))
