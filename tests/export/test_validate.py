"""Validation finds what it is there to find."""

from collections.abc import Callable

import conformance
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tessera_engine.errors import CheckFailed, ModelError
from tessera_export.checkpoint import load_checkpoint
from tessera_export.export import export_model
from tessera_export.validate import validate


@pytest.fixture(scope="module", params=["fp32", "int8"])
def model_file(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / f"tiny.{request.param}.onnx"
    export_model(conformance.checkpoint("tiny"), out, request.param)
    return out


def found(model_file, folder, change: Callable[[onnx.ModelProto], object]) -> str:
    """What validation says of the model file after a change."""
    proto = onnx.load(model_file)
    change(proto)
    path = folder / "changed.onnx"
    onnx.save(proto, path)
    with pytest.raises((CheckFailed, ModelError)) as error:
        validate(path, load_checkpoint(conformance.checkpoint("tiny")).model)
    assert "\n" not in str(error.value)
    return str(error.value)


def initializer(proto: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in proto.graph.initializer if tensor.name == name)


def replace_initializer(
    proto: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    tensor = initializer(proto, name)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))


def rename(proto: onnx.ModelProto, old: str, new: str) -> None:
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        value.name = new if value.name == old else value.name
    for node in proto.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def test_an_untouched_file_passes(model_file):
    report = validate(model_file, load_checkpoint(conformance.checkpoint("tiny")).model)
    assert report.path == model_file
    assert report.facts.name == "tiny"
    assert report.drift.pixels > 50
    assert report.facts.precision in report.summary()


@pytest.mark.parametrize(
    "name", ["s2.layers.0.norm1.bias", "s1.pool.weight", "fusion.0.bias", "s1.day_of_year"]
)
def test_finds_a_changed_weight(model_file, tmp_path, name):
    def change(proto: onnx.ModelProto) -> None:
        rng = np.random.default_rng(0)
        replace_initializer(proto, name, lambda w: w + rng.standard_normal(w.shape, np.float32) * 5)

    assert "drifts too far" in found(model_file, tmp_path, change)


def test_finds_filling_that_has_an_effect(model_file, tmp_path):
    def change(proto: onnx.ModelProto) -> None:
        for tensor in proto.graph.initializer:
            if numpy_helper.to_array(tensor).tobytes() == np.float32(-1e4).tobytes():
                tensor.CopyFrom(numpy_helper.from_array(np.array(-3, np.float32), tensor.name))

    assert "tokens of multiplicity 0 change embeddings" in found(model_file, tmp_path, change)


def test_finds_a_renamed_input(model_file, tmp_path):
    assert "inputs is" in found(model_file, tmp_path, lambda proto: rename(proto, "s2_doy", "s2_day"))


def test_finds_a_renamed_output(model_file, tmp_path):
    assert "output is" in found(model_file, tmp_path, lambda proto: rename(proto, "embedding", "vector"))


def test_finds_a_fixed_axis(model_file, tmp_path):
    def change(proto: onnx.ModelProto) -> None:
        axis = proto.graph.input[0].type.tensor_type.shape.dim[0]
        axis.Clear()
        axis.dim_value = 4

    assert "s2 FLOAT (4, s2_tokens, 10)" in found(model_file, tmp_path, change)


def test_finds_a_renamed_weight(model_file, tmp_path):
    said = found(model_file, tmp_path, lambda proto: rename(proto, "s2.pool.weight", "s2.pool.w"))
    assert "s2.pool.w" in said


def test_finds_a_weight_that_is_not_finite(model_file, tmp_path):
    def change(proto: onnx.ModelProto) -> None:
        replace_initializer(proto, "fusion.norm.bias", lambda w: w * np.float32(np.nan))

    assert "'fusion.norm.bias' has values that aren't finite" in found(model_file, tmp_path, change)


def test_finds_foreign_metadata_and_versions(model_file, tmp_path):
    def add_metadata(proto: onnx.ModelProto) -> None:
        proto.metadata_props.add(key="tessera.extra", value="1")

    def raise_ir(proto: onnx.ModelProto) -> None:
        proto.ir_version = 10

    assert "'tessera.extra'" in found(model_file, tmp_path, add_metadata)
    assert "IR version is 10, expected 8" in found(model_file, tmp_path, raise_ir)


def test_finds_facts_that_are_not_the_weights(model_file, tmp_path):
    def change(proto: onnx.ModelProto) -> None:
        metadata = {entry.key: entry.value for entry in proto.metadata_props}
        helper.set_model_props(proto, metadata | {"tessera.ffn_dim": "64"})

    assert "layers.0.up" in found(model_file, tmp_path, change)


def test_finds_an_invalid_graph(model_file, tmp_path):
    def change(proto: onnx.ModelProto) -> None:
        del proto.graph.node[5]

    assert "takes 'Relu.5'" in found(model_file, tmp_path, change)
