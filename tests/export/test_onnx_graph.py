"""The exported graph against the published outputs, and its contract with the backends."""

from functools import cache
from pathlib import Path

import conformance
import numpy as np
import onnx
import pytest
import torch
from conformance import Rectangles

from tessera_engine.errors import ModelError
from tessera_engine.model.file import INPUT_NAMES, OUTPUT_NAME
from tessera_export.checkpoint import load_checkpoint
from tessera_export.export import export_model
from tessera_export.onnx_graph import load_network, named_weights

PLAIN_OPERATORS = {
    *(
        "Add",
        "Concat",
        "Div",
        "Gather",
        "Gemm",
        "LayerNormalization",
        "Log",
        "MatMul",
        "Max",
        "Mul",
        "ReduceMean",
    ),
    *("Relu", "Reshape", "Shape", "Softmax", "Split", "Sqrt", "Squeeze", "Transpose", "Unsqueeze"),
}
"""What both ONNX Runtime 1.18 and TensorRT 10.3 have at opset 17."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")

    @cache
    def export(model: str) -> Path:
        out = folder / f"{model}.fp32.onnx"
        export_model(conformance.checkpoint(model), out, "fp32")
        return out

    return export


@pytest.mark.parametrize("model", conformance.MODELS)
@pytest.mark.parametrize("tile", conformance.TILES)
def test_onnx_gives_the_published_outputs(exported, model, tile):
    embeddings = conformance.run_onnx(exported(model), conformance.conformance_tile(tile).inputs)
    conformance.check_conformance(model, tile, embeddings)


@pytest.mark.parametrize("model", conformance.MODELS)
def test_filling_has_exactly_no_effect(exported, model):
    inputs = Rectangles(*(array[:32] for array in conformance.conformance_tile("edge").inputs))
    noisy = {}
    for branch in ("s2", "s1"):
        filling = getattr(inputs, f"{branch}_multiplicity") == 0
        noisy[branch] = np.where(filling[..., None], np.float32(30), getattr(inputs, branch))
        noisy[f"{branch}_doy"] = np.where(filling, np.int32(200), getattr(inputs, f"{branch}_doy"))
    path = exported(model)
    clean = conformance.run_onnx(path, inputs)
    np.testing.assert_array_equal(clean, conformance.run_onnx(path, inputs._replace(**noisy)))


def test_pixels_do_not_depend_on_their_batch(exported):
    inputs = conformance.conformance_tile("edge").inputs
    path = exported("tiny")
    together = conformance.run_onnx(path, Rectangles(*(array[:20] for array in inputs)))
    for i in (0, 7, 19):
        alone = conformance.run_onnx(path, Rectangles(*(array[i : i + 1] for array in inputs)))
        np.testing.assert_allclose(together[i : i + 1], alone, atol=2e-6)


def test_graph_is_what_old_runtimes_take(exported):
    proto = onnx.load(exported("tiny_qknorm"))
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 17)]
    assert proto.ir_version == 8
    assert {node.domain for node in proto.graph.node} == {""}
    assert {node.op_type for node in proto.graph.node} <= PLAIN_OPERATORS
    assert tuple(value.name for value in proto.graph.input) == INPUT_NAMES
    assert [value.name for value in proto.graph.output] == [OUTPUT_NAME]
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*proto.graph.input, *proto.graph.output]
    }
    assert axes["s2"] == ["pixels", "s2_tokens", 10]
    assert axes["s1_multiplicity"] == ["pixels", "s1_tokens"]
    assert axes["embedding"] == ["pixels", 128]


@pytest.mark.parametrize("model", ["tiny", "tiny_qknorm"])
def test_named_weights_compute_the_reference(model):
    """x @ W + b with the model file's matrices is the reference's layer: (in, out), q k v side by side."""
    network = load_checkpoint(conformance.checkpoint(model)).model
    weights = named_weights(network)
    layer = network.s2_backbone.get_submodule(
        "transformer_encoder.1" if model == "tiny_qknorm" else "transformer_encoder.layers.1"
    )
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        if model == "tiny_qknorm":
            qkv = torch.cat([layer.q_proj(x), layer.k_proj(x), layer.v_proj(x)], dim=1)
        else:
            qkv = torch.nn.functional.linear(x, layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias)
        up = layer.linear1(x)
    for name, wanted in (("s2.layers.1.qkv", qkv), ("s2.layers.1.up", up)):
        found = x.numpy() @ weights[f"{name}.weight"] + weights[f"{name}.bias"]
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize("model", conformance.MODELS)
def test_network_comes_back_from_its_model_file(exported, model):
    original, again = load_checkpoint(conformance.checkpoint(model)).model, load_network(exported(model))
    assert again.config == original.config
    assert not again.training
    state = again.state_dict()
    for key, value in original.state_dict().items():
        assert torch.equal(state[key], value), key


def test_network_cannot_come_from_int8(tmp_path):
    out = tmp_path / "tiny.int8.onnx"
    export_model(conformance.checkpoint("tiny"), out, "int8")
    with pytest.raises(ModelError, match=r"int8.*fp32"):
        load_network(out)


def test_network_with_missing_or_misshapen_weights_is_refused(exported, tmp_path):
    proto = onnx.load(exported("tiny"))
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "s1.layers.0.out.weight")
    weight.dims[:] = [16, 64]
    onnx.save(proto, tmp_path / "misshapen.onnx")
    with pytest.raises(ModelError, match=r"\(16, 64\)"):
        load_network(tmp_path / "misshapen.onnx")
    weight.name = "something.else"
    onnx.save(proto, tmp_path / "missing.onnx")
    with pytest.raises(ModelError, match=r"lacks the initialiser 's1\.layers\.0\.out\.weight'"):
        load_network(tmp_path / "missing.onnx")
