"""A whole run over the stand-in device: published outputs, files, and the lines announced before it begins."""

from __future__ import annotations

import numpy as np
import pytest
from conformance import FOLDER, TILES, check_conformance, checkpoint, conformance_tile
from made_up import made_up_arrays, write_tile
from standin_device import StandInDevice

from tessera_engine.api import embed
from tessera_engine.backends.tensorrt import TensorRtBackend
from tessera_engine.model.file import read_model_file
from tessera_engine.model.installed import open_model
from tessera_engine.running.loading import Model, load_model
from tessera_export.export import export_model


def on_gpu(file, folder, told=None, device=None):
    tell = (told if told is not None else []).append
    return Model(TensorRtBackend(file, device or StandInDevice(), tell, folder / "plans"), 1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny.fp32.onnx"
    export_model(checkpoint("tiny"), path, "fp32")
    return read_model_file(path)


@pytest.mark.parametrize("tile", TILES)
def test_files_are_those_of_the_published_code(tiny, tile, tmp_path):
    embed(FOLDER / "tiles" / tile, on_gpu(tiny, tmp_path), tmp_path / "out", format="npy")
    check_conformance("tiny", tile, np.load(tmp_path / "out" / f"{tile}.npy")[conformance_tile(tile).valid])


@pytest.mark.slow
def test_v1_sees_the_order_of_tokens(tmp_path):
    path = tmp_path / "v1_1.fp32.onnx"
    export_model(checkpoint("v1_1_tiny"), path, "fp32", statistics="mpc")
    embed(FOLDER / "tiles" / "edge", on_gpu(read_model_file(path), tmp_path), tmp_path / "out", format="npy")
    found = np.load(tmp_path / "out" / "edge.npy")[conformance_tile("edge").valid]
    check_conformance("v1_1_tiny", "edge_mpc", found)


def test_plans_are_built_from_a_sample_before_the_first_window(tmp_path):
    scene = write_tile(tmp_path / "scene", made_up_arrays(12, 16, steps=15))
    told, device, built = [], StandInDevice(), []
    model = on_gpu(open_model("demo", "fp32"), tmp_path, told, device)
    embed(
        scene, model, tmp_path / "out", format="npy", memory=320_000_000,
        progress=lambda done, total: built.append(len(device.builds)),
    )  # fmt: skip
    assert built[0] == len(device.builds) >= 1
    assert [line for line in told if not line.startswith("building")] == []
    embed(scene, load_model("demo", "fp32", "onnxruntime"), tmp_path / "cpu", format="npy")
    found, expected = (np.load(tmp_path / name / "scene.npy") for name in ("out", "cpu"))
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_output_says_what_computed_it(tmp_path):
    scene = write_tile(tmp_path / "scene", made_up_arrays())
    gpu = on_gpu(open_model("demo", "fp32"), tmp_path)
    assert gpu.backend.description == "tensorrt 10.3.0 (NVIDIA Stand-in 1)"
    embed(scene, gpu, tmp_path / "out")
    item = (tmp_path / "out" / "item.json").read_text()
    assert '"tensorrt"' in item
    assert "NVIDIA Stand-in 1" in item


def test_the_command_line_says_what_is_missing(run, tmp_path):
    from tessera_engine.backends.gpu.found import look

    if look().gpu.version is not None:
        pytest.skip("there is a GPU")
    write_tile(tmp_path / "scene", made_up_arrays())
    for command in (("embed", "scene"), ("bench", "demo")):
        code, out, err = run(*command, "--device", "cuda")
        assert (code, out) == (2, "")
        assert "--device cuda is not available" in err
        assert "no NVIDIA driver" in err
        assert err.count("\n") == 1
    code, out, err = run("embed", "scene", "--backend", "cuda")
    assert (code, out) == (2, "")
    assert "no NVIDIA driver" in err
    code, out, _ = run("doctor")
    assert code == 0
    assert "no NVIDIA driver" in " ".join(out.split())
