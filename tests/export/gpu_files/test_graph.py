"""GPU graphs: what TensorRT's parser takes, the reference's values, and padding that has no effect."""

from dataclasses import replace

import conformance
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conformance import Rectangles
from onnx import TensorProto, numpy_helper
from tensorrt_parser import problems

from tessera_engine.model.check import check_graph
from tessera_engine.model.drift import measure
from tessera_engine.model.file import INPUT_NAMES
from tessera_export.checkpoint import load_checkpoint
from tessera_export.export import open_source
from tessera_export.gpu_files.graph import build_gpu_graph, plain
from tessera_export.gpu_files.qdq import quantized
from tessera_export.gpu_files.rounded import RoundedNetwork
from tessera_export.gpu_files.running import onnx_run
from tessera_export.gpu_files.weights import gpu_weights
from tessera_export.int8 import INT8
from tessera_export.onnx_builder import FLOAT32
from tessera_export.onnx_graph import build_onnx

MODELS = ("tiny", "tiny_qknorm", "nano", "v1_1_tiny", "v1_0_tiny")


def source(name):
    return open_source(conformance.checkpoint(name), "mpc" if name == "v1_1_tiny" else None)


class Everything(dict):
    """The same threshold for each layer."""

    def __missing__(self, layer):
        return 4.0


def build(name, precision):
    made = source(name)
    facts = replace(made.facts, precision=precision, quantization="as a test has it")
    how = {"fp32": plain(np.float32), "fp16": plain(np.float16), "qdq": quantized(Everything())}[precision]
    return build_gpu_graph(gpu_weights(made.network), facts, how), facts


def made_up(facts, pixels=8, longest=16, seed=0):
    """Tokens as a network takes them, filled up behind each pixel's own."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for branch, bands in (("s2", facts.s2_bands), ("s1", facts.s1_bands)):
        lengths = rng.integers(1, longest, pixels)
        filled = np.arange(longest) < lengths[:, None]
        inputs[branch] = rng.standard_normal((pixels, longest, len(bands))).astype(np.float32)
        inputs[f"{branch}_doy"] = rng.integers(1, 367, filled.shape).astype(np.int32)
        repeats = rng.integers(1, 9, filled.shape) if facts.generation == "v2" else 1
        inputs[f"{branch}_multiplicity"] = np.where(filled, repeats, 0).astype(np.float32)
    return inputs


def reference(name, inputs):
    with torch.inference_mode():
        return source(name).network(*(torch.from_numpy(inputs[each]) for each in INPUT_NAMES)).numpy()


@pytest.mark.parametrize("precision", ["fp16", "qdq"])
@pytest.mark.parametrize("name", MODELS)
def test_tensorrt_takes_it(name, precision):
    model, facts = build(name, precision)
    assert problems(model) == []
    check_graph(model, facts, "the graph")  # and so do we
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 19)]
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    assert axes["s2"] == ["pixels", "s2_tokens", 10]
    assert axes["s1_multiplicity"] == ["pixels", "s1_tokens"]
    assert axes["embedding"] == ["pixels", facts.dims]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    assert list(inferred.graph.output) == list(model.graph.output)


def test_the_parsers_table_refuses_what_tensorrt_refuses():
    made = source("tiny")
    assert problems(build_onnx(made.network, made.facts, FLOAT32)) == []  # fp32 files run there too
    dynamic = problems(build_onnx(made.network, replace(made.facts, precision="int8"), INT8))
    assert any("MatMulInteger" in line for line in dynamic)

    half, _ = build("tiny", "fp16")
    bias = next(tensor for tensor in half.graph.initializer if tensor.name == "s2.layers.0.up.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias).astype(np.float32), bias.name))
    with pytest.raises(onnx.shape_inference.InferenceError, match="inconsistent type"):
        problems(half)

    codes, _ = build("tiny", "qdq")
    zero = next(
        tensor
        for tensor in codes.graph.initializer
        if tensor.data_type == TensorProto.INT8 and not tensor.dims
    )
    zero.CopyFrom(numpy_helper.from_array(np.array(3, np.int8), zero.name))
    assert any("zero point" in line for line in problems(codes))


@pytest.mark.parametrize("name", MODELS)
def test_in_float32_it_is_the_reference(name):
    """Folding the scale, filling heads up and the other form change nothing; and both ways to run it agree."""
    model, facts = build(name, "fp32")
    inputs = made_up(facts)
    expected = reference(name, inputs)
    for run in (RoundedNetwork(model).run, onnx_run(model.SerializeToString())):
        np.testing.assert_allclose(run(inputs), expected, atol=2e-5)


@pytest.mark.parametrize("name", MODELS)
def test_float16_drifts_little(name):
    model, facts = build(name, "fp16")
    inputs = made_up(facts, pixels=16)
    drift = measure(reference(name, inputs), RoundedNetwork(model).run(inputs))
    assert drift.centred_mean >= 0.9999
    assert drift.max_difference > 1e-6  # it is float16


@pytest.mark.parametrize("precision", ["fp16", "qdq"])
@pytest.mark.parametrize("name", ["nano", "v1_1_tiny"])
def test_padding_and_neighbours_have_no_effect(name, precision):
    model, facts = build(name, precision)
    inputs = made_up(facts, pixels=4)
    for run in (RoundedNetwork(model).run, onnx_run(model.SerializeToString())):
        together = run(inputs)
        assert np.isfinite(together).all()
        loud = dict(inputs)
        for branch in ("s2", "s1"):
            filling = inputs[f"{branch}_multiplicity"] == 0
            loud[branch] = np.where(filling[..., None], np.float32(60), inputs[branch])
            loud[f"{branch}_doy"] = np.where(filling, np.int32(366), inputs[f"{branch}_doy"])
        np.testing.assert_array_equal(run(loud), together)
        for pixel in range(2):
            alone = {
                key: array[pixel : pixel + 1, : int((inputs[f"{key[:2]}_multiplicity"][pixel] > 0).sum())]
                for key, array in inputs.items()
            }
            # sums of other lengths are added up in another order: a last bit of float16 may differ
            np.testing.assert_allclose(run(alone)[0], together[pixel], atol=3e-3)


def test_padding_weighs_exactly_nothing_in_float16():
    """-1e4 stands for log(0): beside scores of any believable size, float16 makes a weight of 0 of it."""
    scores = torch.tensor([[-300.0, -1e4 - 300.0], [5.5, -1e4], [300.0, -1e4 + 300.0]]).half()
    assert torch.equal(torch.softmax(scores.float(), dim=1).half()[:, 1], torch.zeros(3).half())
    assert np.isfinite(np.float16(-1e4))


def test_many_repeats_are_distinguished_in_float16():
    """log(m) up to log(256) is stored to within 0.2 %."""
    repeats = np.arange(1, 257)
    back = np.exp(np.log(repeats.astype(np.float32)).astype(np.float16).astype(np.float32))
    assert np.abs(back / repeats - 1).max() < 2.5e-3


def test_heads_are_padded_to_multiples_of_8():
    made = source("nano")
    weights = gpu_weights(made.network)
    assert weights["s2.layers.0.qkv.weight"].shape == (144, 3 * 4 * 40)
    assert weights["s2.layers.0.out.weight"].shape == (4 * 40, 144)
    added = weights["s2.layers.0.qkv.weight"].reshape(144, 3, 4, 40)[..., 36:]
    assert not added.any()
    assert not weights["s2.layers.0.out.weight"].reshape(4, 40, 144)[:, 36:].any()


def test_float32_is_where_it_matters():
    model, _ = build("v1_1_tiny", "qdq")
    stored = {tensor.name: numpy_helper.to_array(tensor).dtype for tensor in model.graph.initializer}
    weights = {name: dtype for name, dtype in stored.items() if not name.startswith("constant.")}
    float32 = {name for name, dtype in weights.items() if dtype == np.float32}
    assert float32 == {
        *(
            f"{b}.pool.{part}"
            for b in ("s2", "s1")
            for part in ("weight", "bias", "norm.weight", "norm.bias")
        ),
        *(
            f"{b}.gru.{part}"
            for b in ("s2", "s1")
            for part in ("input.weight", "input.bias", "hidden.weight")
        ),
        *(f"fusion.{layer}.{part}" for layer in ("0", "1", "norm") for part in ("weight", "bias")),
    }
    assert {name for name, dtype in weights.items() if dtype == np.int8} == {
        f"{b}.{layer}.weight.int8"
        for b in ("s2", "s1")
        for layer in (
            "embedding.1",
            *(f"layers.{i}.{part}" for i in range(2) for part in ("qkv", "out", "up", "down")),
        )
    }


def test_onnx_runtime_needs_no_other_domain():
    model, facts = build("tiny", "qdq")
    assert {node.domain for node in model.graph.node} == {""}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run(None, made_up(facts, pixels=2))[0].shape == (2, 128)


def test_conformance_tiles_stay_close_in_float16():
    tile = conformance.conformance_tile("edge")
    inputs = Rectangles(*(array[:8] for array in tile.inputs))
    model, _ = build("nano", "fp16")
    wanted = conformance.expected("nano", "edge")[tile.valid][:8]
    drift = measure(wanted, RoundedNetwork(model).run(inputs._asdict()))
    assert drift.centred_mean >= 0.9999
    network = load_checkpoint(conformance.checkpoint("nano")).model
    with torch.inference_mode():
        same = network(*map(torch.from_numpy, inputs)).numpy()
    np.testing.assert_allclose(same, wanted, atol=2e-4)
