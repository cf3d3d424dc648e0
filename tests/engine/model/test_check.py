"""A model file that contains anything this engine doesn't write is refused, in one line, before anything runs."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from tessera_engine.backends.fused import FusedBackend
from tessera_engine.errors import ModelError
from tessera_engine.model import facts as model_facts
from tessera_engine.model import installed
from tessera_engine.model.file import MAX_BYTES, read_arrays, read_content, read_model_file
from tessera_engine.model.layout import expected_initializers

DEMO = {precision: installed.packaged_folder() / f"demo.{precision}.onnx" for precision in ("fp32", "int8")}


@pytest.fixture(params=["fp32", "int8"])
def proto(request):
    return onnx.load(DEMO[request.param])


def tensor(proto, name):
    return next(each for each in proto.graph.initializer if each.name.startswith(name))


def facts(proto, **changes):
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    helper.set_model_props(proto, metadata | {f"tessera.{key}": value for key, value in changes.items()})


def outside(proto):
    each = tensor(proto, "s2.layers.0.up.weight")
    each.data_location = TensorProto.EXTERNAL
    each.external_data.add(key="location", value="/etc/passwd")


def outside_by_the_way(proto):
    tensor(proto, "fusion.0.bias").external_data.add(key="location", value="weights.bin")


def huge_dims(proto):
    tensor(proto, "fusion.0.bias").dims[:] = [1 << 40, 1 << 40]


def negative_dims(proto):
    tensor(proto, "fusion.0.bias").dims[:] = [-576]


def short_bytes(proto):
    each = tensor(proto, "s1.layers.1.down.weight")
    each.raw_data = each.raw_data[:-1]


def other_storage(proto):
    each = tensor(proto, "fusion.0.bias")
    values = numpy_helper.to_array(each)
    each.ClearField("raw_data")
    each.float_data.extend(values)


def both_storages(proto):
    tensor(proto, "fusion.0.bias").float_data.append(1)


def smaller_norm(proto):
    each = tensor(proto, "s2.layers.0.norm1.weight")
    each.CopyFrom(numpy_helper.from_array(np.ones(8, np.float32), each.name))


def smaller_table(proto):
    each = tensor(proto, "s2.day_of_year")
    each.CopyFrom(numpy_helper.from_array(np.ones((1, 144), np.float32), each.name))


def other_dtype(proto):
    each = tensor(proto, "fusion.0.bias")
    each.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(each).view(np.int32), each.name))


def strange_type(proto):
    tensor(proto, "fusion.0.bias").data_type = 77


def twice(proto):
    proto.graph.initializer.append(tensor(proto, "fusion.0.bias"))


def shadowed(proto):
    # The fused backend would prefer it to the real weight, and read by its shape
    extra = numpy_helper.from_array(np.ones((2, 2), np.int8), "s2.pool.weight.int8")
    proto.graph.initializer.append(extra)


def without(proto):
    proto.graph.initializer.remove(tensor(proto, "s1.pool.weight"))


def not_finite(proto):
    each = tensor(proto, "fusion.norm.weight")
    values = numpy_helper.to_array(each).copy()
    values[3] = np.inf
    each.raw_data = values.tobytes()


def large_constant(proto):
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros(5000, np.float32), "constant.x"))


def a_loop(proto):
    body = helper.make_graph([], "body", [], [])
    proto.graph.node.append(helper.make_node("Loop", ["s2"], ["looped"], body=body))


def a_graph_in_an_attribute(proto):
    node = next(n for n in proto.graph.node if n.op_type == "Softmax")
    node.attribute[0].type = AttributeProto.GRAPH


def a_fill(proto):
    proto.graph.node.append(helper.make_node("ConstantOfShape", ["constant.1"], ["filled"]))


def a_domain(proto):
    proto.graph.node[0].domain = "com.microsoft"


def an_opset(proto):
    proto.opset_import.add(domain="com.microsoft", version=1)


def a_function(proto):
    proto.functions.add(name="f", domain="x")


def training(proto):
    proto.training_info.add()


def sparse(proto):
    proto.graph.sparse_initializer.add()


def a_strange_attribute(proto):
    node = next(n for n in proto.graph.node if n.op_type == "Add")
    node.attribute.append(helper.make_attribute("axis", 1))


def dangling(proto):
    del proto.graph.node[7]


def overwriting(proto):
    proto.graph.node[3].output[0] = "fusion.0.bias"


def many_nodes(proto):
    for i in range(5000):
        proto.graph.node.append(helper.make_node("Relu", ["s2"], [f"r{i}"]))


def other_inputs(proto):
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 11


HOSTILE = {
    outside: "in another file",
    outside_by_the_way: "in another file",
    huge_dims: "has 2304 bytes, expected 4835703278458516698824704",
    negative_dims: "(-576,)",
    short_bytes: "bytes, expected",
    other_storage: "as raw data",
    both_storages: "as raw data",
    smaller_norm: "initialiser 's2.layers.0.norm1.weight' is ('float32', (8,)), expected ('float32', (144,))",
    smaller_table: "expected ('float32', (367, 144))",
    other_dtype: "is ('int32', (576,))",
    strange_type: "has ONNX type 77",
    twice: "number of duplicate initialisers is 1",
    shadowed: "unknown initialiser 's2.pool.weight.int8'",
    without: "'s1.pool.weight'",
    not_finite: "'fusion.norm.weight'",
    large_constant: "too large for a constant",
    a_loop: "uses the operator 'Loop'",
    a_graph_in_an_attribute: "Softmax has the attribute 'axis'",
    a_fill: "uses the operator 'ConstantOfShape'",
    a_domain: "uses the operator 'com.microsoft.",
    an_opset: "opset is",
    a_function: "number of functions is 1",
    training: "number of training graphs is 1",
    sparse: "number of sparse initialisers is 1",
    a_strange_attribute: "Add has the attribute 'axis', expected none",
    dangling: "no earlier operator",
    overwriting: "gives 'fusion.0.bias'",
    many_nodes: "nodes, expected at most",
    other_inputs: "inputs is",
}


def refused(path):
    with pytest.raises(ModelError) as error:
        read_model_file(path)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: change.__name__)
def test_a_hostile_graph_is_refused(proto, tmp_path, change):
    change(proto)
    (tmp_path / "hostile.onnx").write_bytes(proto.SerializeToString())
    assert HOSTILE[change] in refused(tmp_path / "hostile.onnx")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("latent_dim", "0"),
        ("latent_dim", "1000000000"),
        ("latent_dim", "true"),
        ("latent_dim", "37"),
        ("num_layers", "3"),
        ("num_layers", "1e9"),
        ("num_heads", "0"),
        ("num_heads", "7"),
        ("ffn_dim", '"384"'),
        ("dims", "64"),
        ("qk_norm", "1"),
        ("qk_norm", "true"),
        ("prefixes", "128"),
        ("prefixes", "[32, 16, 128]"),
        ("prefixes", "[-1, 128]"),
        ("prefixes", '["a", 128]'),
        ("s2_bands", '["B02", "B03", "B04", "B08", "B8A", "B05", "B06", "B07", "B11", "B12"]'),
        ("s2_mean", "[NaN, 1, 1, 1, 1, 1, 1, 1, 1, 1]"),
        ("s2_std", "[0, 1, 1, 1, 1, 1, 1, 1, 1, 1]"),
        ("s1_ascending_mean", "7"),
        ("s1_descending_std", "[1, Infinity]"),
        ("precision", "[]"),
        ("precision", '"fp16"'),
        ("name", '"../../demo"'),
        ("card", '"\\u001b[2J"'),
        ("card", json.dumps("x" * 5000)),
        ("licence", "{}"),
        ("format_version", "3"),
        ("format_version", "true"),
        ("format_version", "[" * 100_000),
        ("format_version", "9" * 10_000),
        ("size", "nano"),
    ],
)
def test_facts_that_cannot_be_true_are_refused(proto, tmp_path, key, value):
    facts(proto, **{key: value})
    (tmp_path / "hostile.onnx").write_bytes(proto.SerializeToString())
    refused(tmp_path / "hostile.onnx")


def test_a_code_or_scale_out_of_range_is_refused(tmp_path):
    for name, value in (("s2.layers.0.up.weight.int8", b"\x80"), ("fusion.0.weight.scale", bytes(4))):
        proto = onnx.load(DEMO["int8"])
        each = tensor(proto, name)
        each.raw_data = value + each.raw_data[len(value) :]
        (tmp_path / "hostile.onnx").write_bytes(proto.SerializeToString())
        assert name in refused(tmp_path / "hostile.onnx")


def test_a_file_too_large_is_not_read(tmp_path, monkeypatch):
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(1 << 40)
    tracemalloc.start()
    assert f"{MAX_BYTES:,}" in refused(tmp_path / "large.onnx")
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_the_kernels_get_is_what_the_facts_imply(precision):
    model = read_model_file(DEMO[precision])
    arrays = read_arrays(model)
    promised = expected_initializers(model.facts)
    assert {name: (str(a.dtype), a.shape) for name, a in arrays.items() if name in promised} == promised
    stored = {each.name: numpy_helper.to_array(each) for each in onnx.load(DEMO[precision]).graph.initializer}
    assert stored.keys() == arrays.keys()
    for name, values in stored.items():
        np.testing.assert_array_equal(arrays[name], values)


def test_a_file_swapped_after_the_check_is_not_loaded(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(DEMO["int8"].read_bytes())
    model = read_model_file(path)
    assert read_content(model) == path.read_bytes()
    path.write_bytes(DEMO["fp32"].read_bytes())
    with pytest.raises(ModelError, match="changed while it was being loaded"):
        FusedBackend(model, 1)


def test_allowed_operators_that_do_not_fit_together_are_one_line(tmp_path):
    from tessera_engine.running.loading import load_model

    proto = onnx.load(DEMO["fp32"])
    for node in proto.graph.node:
        if node.op_type == "Transpose":
            node.attribute[0].ints[:] = [0, 3, 2, 1]
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="ONNX Runtime can't"):
        load_model(str(path), backend="onnxruntime")


def test_the_largest_sizes_are_those_of_checkpoints():
    from tessera_export.checkpoint import LARGEST

    names = {"nhead": "num_heads", "dim_feedforward": "ffn_dim", "repr_dim": "dims"}
    assert {names.get(key, key): value for key, value in LARGEST.items()} == model_facts.LARGEST
