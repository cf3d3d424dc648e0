"""Exporting for GPUs as the user does it: files that say what they are."""

from dataclasses import replace
from pathlib import Path

import conformance
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tessera_engine.backends.choosing import make_backend
from tessera_engine.errors import InputError, ModelError
from tessera_engine.model.drift import THRESHOLDS, measure
from tessera_engine.model.file import read_model_file
from tessera_engine.model.installed import open_model
from tessera_engine.model.layout import expected_initializers
from tessera_engine.running import loading
from tessera_engine.scenes.sampling import sample_tokens
from tessera_engine.simulate import simulate
from tessera_export.export import export_model
from tessera_export.gpu_files import build
from tessera_export.gpu_files.rounded import RoundedNetwork
from tessera_export.gpu_files.running import embed

TINY = conformance.checkpoint("tiny")


@pytest.fixture(scope="module", autouse=True)
def few_pixels():
    """Enough for what these tests look at; test_drift.py calibrates as users do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "CALIBRATION_PIXELS", 16)
        patch.setattr(build, "TEST_PIXELS", 8)
        yield


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "simulated"
    simulate(folder, (24, 16), seed=3)
    return folder


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "demo.fp16.onnx"
    export_model("demo", out, "fp16")
    return out


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "tiny.fp32.onnx"
    export_model(TINY, out, "fp32")
    return out


@pytest.fixture(scope="module")
def codes(tmp_path_factory, scene):
    out = tmp_path_factory.mktemp("models") / "tiny.qdq.onnx"
    report = export_model(TINY, out, "int8", target="tensorrt", calibrate=[scene])
    return out, report


def test_a_float16_file_says_what_it_is(half):
    facts = read_model_file(half).facts
    demo = open_model("demo", "fp32").facts
    assert (facts.precision, facts.is_int8) == ("fp16", False)
    assert "float16" in facts.quantization
    assert replace(facts, precision="fp32", quantization="none") == demo
    promised = expected_initializers(facts)
    assert promised["s2.layers.0.up.weight"] == ("float16", (144, 384))
    assert promised["s2.layers.0.qkv.weight"] == ("float16", (144, 480))
    assert half.stat().st_size < 0.75 * open_model("demo", "fp32").path.stat().st_size


def test_a_calibrated_file_says_on_what(codes):
    path, report = codes
    facts = read_model_file(path).facts
    assert (facts.precision, facts.is_int8) == ("qdq", True)
    best = next(iter(report.calibration))
    assert facts.quantization.endswith(f"calibrated by {best} on 16 pixels of simulated"), facts.quantization
    assert set(report.calibration) == {"max", "percentile", "mse", "entropy"}
    means = [drift.centred_mean for drift in report.calibration.values()]
    assert means == sorted(means, reverse=True)
    assert min(means) >= 0.995
    lines = report.lines()
    assert len(lines) == 5
    assert lines[0].startswith(f"chosen {best}: centred cosine 0.99")
    assert all(line.startswith("tried ") for line in lines[1:4])
    assert "int8" not in expected_initializers(facts)["fusion.0.weight"][0]
    assert expected_initializers(facts)["s1.layers.1.down.input.scale"] == ("float16", ())


def test_exports_repeat_bit_for_bit(codes, tiny, scene, tmp_path):
    """And a model file is as good a source as the checkpoint that it was made of."""
    export_model(tiny, tmp_path / "again.onnx", "int8", target="tensorrt", calibrate=[scene])
    assert (tmp_path / "again.onnx").read_bytes() == codes[0].read_bytes()


@pytest.mark.parametrize("name", ["half", "codes"])
def test_drift_on_a_scene(name, request, tiny, scene):
    """Through the engine's own pipeline and backend, and as a GPU rounds it."""
    path = request.getfixturevalue(name)
    model = read_model_file(path if name == "half" else path[0])
    exact = open_model("demo", "fp32") if name == "half" else read_model_file(tiny)
    tokens = sample_tokens(str(scene), model.facts, 16)
    truth = make_backend(exact, "onnxruntime", 1).run(tokens)
    found = make_backend(model, "onnxruntime", 1).run(tokens)
    assert THRESHOLDS[model.facts.precision].failures(measure(truth, found)) == []
    rounded = embed(RoundedNetwork(onnx.load(model.path)).run, tokens, model.facts.dims)
    drift = measure(truth, rounded)
    assert drift.centred_mean >= (0.9999 if name == "half" else 0.995)


def test_only_backends_that_can_run_it_do(half, codes):
    for path in (half, codes[0]):
        with pytest.raises(InputError, match="backend=fused"):
            make_backend(read_model_file(path), "fused", 1)
    assert loading.load_model(str(codes[0]), "int8", "onnxruntime").facts.precision == "qdq"
    with pytest.raises(ModelError, match="qdq, not in fp32; give precision=qdq"):
        open_model(str(codes[0]), "fp32")
    with pytest.raises(ModelError, match="fp16, not in int8; give precision=fp16"):
        open_model(str(half), "int8")
    with pytest.raises(ModelError, match="as fp16, only as fp32, int8"):
        open_model("demo", "fp16")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"target": "coreml"}, "target=coreml is unknown; choose one of onnx, tensorrt"),
        ({"precision": "int8", "target": "tensorrt"}, "calibrate="),
        ({"precision": "fp16", "calibrate": [Path("scene")]}, "calibrate="),
        ({"precision": "int8", "calibrate": [Path("scene")]}, "calibrate="),
        ({"precision": "qdq"}, "precision=qdq is unknown; choose one of fp32, fp16, int8"),
        ({"precision": "int8", "target": "tensorrt", "calibrate": [Path("nowhere")]}, "nowhere"),
        ({"checkpoint": "demo", "statistics": "mpc"}, "the model demo has its own"),
        ({"checkpoint": "nomodel"}, "unknown model 'nomodel'; models on this machine: demo"),
    ],
)
def test_wrong_commands_say_what_is_wrong(tmp_path, arguments, said):
    arguments = {"checkpoint": TINY, "precision": "fp16"} | arguments
    with pytest.raises(InputError) as raised:
        export_model(
            arguments.pop("checkpoint"), tmp_path / "model.onnx", arguments.pop("precision"), **arguments
        )
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_an_int8_file_is_no_source(tmp_path):
    with pytest.raises(ModelError, match="int8, not in fp32"):
        export_model(open_model("demo", "int8").path, tmp_path / "model.onnx", "fp16")


def test_v1_keeps_its_sequence_when_calibrated(tmp_path, scene):
    checkpoint = conformance.checkpoint("v1_1_tiny")
    report = export_model(
        checkpoint, tmp_path / "v1.onnx", "int8", target="tensorrt", calibrate=[scene], statistics="mpc"
    )
    assert report.facts.generation == "v1.1"
    assert next(iter(report.calibration.values())).centred_mean >= 0.995


def zero_scale(tensor):
    tensor.CopyFrom(numpy_helper.from_array(np.float16(0) * numpy_helper.to_array(tensor), tensor.name))


def other_dtype(tensor):
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))


def lowest_code(tensor):
    tensor.raw_data = b"\x80" + tensor.raw_data[1:]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("s2.layers.0.up.input.scale", zero_scale, "scales that aren't above 0"),
        ("s1.layers.1.down.weight.scale", zero_scale, "scales that aren't above 0"),
        ("s2.layers.0.up.input.scale", other_dtype, "expected ('float16', ())"),
        ("s1.layers.0.norm1.weight", other_dtype, "expected ('float16', (32,))"),
        ("s2.layers.1.qkv.weight.int8", lowest_code, "has the code -128"),
    ],
)
def test_a_changed_file_is_refused(codes, tmp_path, name, change, said):
    proto = onnx.load(codes[0])
    change(next(tensor for tensor in proto.graph.initializer if tensor.name == name))
    onnx.save(proto, tmp_path / "changed.onnx")
    with pytest.raises(ModelError) as raised:
        read_model_file(tmp_path / "changed.onnx")
    assert said in str(raised.value)


def test_the_opset_belongs_to_the_precision(codes, tmp_path):
    proto = onnx.load(codes[0])
    proto.opset_import[0].version = 17
    onnx.save(proto, tmp_path / "changed.onnx")
    with pytest.raises(ModelError, match=r"opset is \[\('', 17\)\], expected \[\('', 19\)\]"):
        read_model_file(tmp_path / "changed.onnx")
