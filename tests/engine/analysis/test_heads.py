"""ONNX networks from elsewhere: right on every pixel in any tiling, and nothing that a small network doesn't need."""

from __future__ import annotations

import csv

import heads
import numpy as np
import onnxruntime
import pytest
import rasterio
from onnx import helper, numpy_helper
from outputs import made_up_output

from tessera_engine import apply, open_embeddings
from tessera_engine.analysis.maps import head
from tessera_engine.errors import InputError, ModelError

DIM, HEIGHT, WIDTH = 16, 45, 62


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    embedding = np.random.default_rng(0).normal(size=(HEIGHT, WIDTH, DIM)).astype(np.float32)
    embedding[10:14, 20:30] = np.nan
    return made_up_output(tmp_path_factory.mktemp("o") / "a.embeddings", embedding, year=2024)


def saved(path, model):
    path.write_bytes(model.SerializeToString())
    return path


def raster(path):
    with rasterio.open(path) as file:
        return file.read(1)


def test_a_network_of_pixels(output, tmp_path):
    model, weights = heads.pixels(classes=["maize", "water", "oak"], model_sha256="a" * 64)
    made = apply(saved(tmp_path / "h.onnx", model), output, tmp_path / "out", progress=False)
    x = open_embeddings(output).read()
    scores = np.maximum(x @ weights["w1"] + weights["b1"], 0) @ weights["w2"].T + weights["b2"]
    valid, found = np.isfinite(x[..., 0]), raster(made.out / "map.tif")
    np.testing.assert_array_equal(found[valid], scores.argmax(axis=2)[valid] + 1)
    assert (found[~valid] == 0).all()
    shares = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(
        raster(made.out / "confidence.tif")[valid], 100 * shares.max(axis=2)[valid], atol=0.51
    )
    names = [row["class"] for row in csv.DictReader((made.out / "legend.csv").open(encoding="utf-8"))]
    assert names == ["maize", "water", "oak"]
    assert made.notes == ()


def test_a_network_of_numbers_whose_model_is_not_recorded(output, tmp_path):
    model, weights = heads.pixels(outputs=1, softmax=False)
    made = apply(saved(tmp_path / "height.onnx", model), output, tmp_path / "out", progress=False)
    x = open_embeddings(output).read()
    expected = np.maximum(x @ weights["w1"] + weights["b1"], 0) @ weights["w2"].T + weights["b2"]
    np.testing.assert_allclose(raster(made.out / "map.tif"), expected[..., 0], rtol=1e-4, atol=1e-4)
    assert "doesn't record" in made.notes[0]


@pytest.mark.parametrize("patch", [4, 20, 256])
def test_patches_are_those_of_the_whole_scene(output, tmp_path, monkeypatch, patch):
    model = heads.u_net()
    monkeypatch.setattr(head, "PATCH", patch)
    made = apply(saved(tmp_path / "u.onnx", model), output, tmp_path / "out", progress=False)
    x = open_embeddings(output).read()
    whole = np.zeros((1, DIM, 48, 64), np.float32)
    whole[0, :, :HEIGHT, :WIDTH] = np.nan_to_num(x).transpose(2, 0, 1)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    scores = session.run(None, {"x": whole})[0][0, :, :HEIGHT, :WIDTH]
    valid, (second, best) = np.isfinite(x[..., 0]), np.sort(scores, axis=0)[-2:]
    clear = valid & (best - second > 1e-4)
    np.testing.assert_array_equal(raster(made.out / "map.tif")[clear], scores.argmax(axis=0)[clear] + 1)


def test_only_embeddings_that_it_was_learned_for(output, tmp_path):
    wrong, _ = heads.pixels(model="small", model_sha256="c" * 64)
    wide, _ = heads.pixels(dim=32)
    with pytest.raises(InputError, match=r"aaaaaaaaaaaa.*small.*cccccccccccc"):
        apply(saved(tmp_path / "h.onnx", wrong), output, tmp_path / "out")
    with pytest.raises(InputError, match=r"16 dimensions.*32"):
        apply(saved(tmp_path / "h.onnx", wide), output, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def changed(change):
    model, _ = heads.pixels()
    change(model)
    return model


def outside(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def infinite(model):
    tensor = model.graph.initializer[0]
    tensor.raw_data = np.full(tensor.dims, np.inf, np.float32).tobytes()


def bomb(count):
    nodes = [
        helper.make_node("Concat", [f"t{i}" if i else "x"] * 2, [f"t{i + 1}"], axis=1) for i in range(count)
    ]
    nodes.append(helper.make_node("Identity", [f"t{count}"], ["y"]))
    return heads.model(nodes, {}, ["pixels", 16], 16 * 2**count)


def patches(*nodes, **weights):
    return heads.model(list(nodes), weights, [1, 16, "height", "width"], 16)


SQUARE = np.zeros((16, 16, 3, 3), np.float32)
REFUSED = {
    "a file elsewhere": (changed(outside), "another file"),
    "infinite": (changed(infinite), "aren't finite"),
    "a loop": (changed(lambda m: m.graph.node.extend([helper.make_node("Loop", ["x"], ["z"])])), "'Loop'"),
    "another domain": (
        changed(lambda m: m.graph.node.extend([helper.make_node("Relu", ["x"], ["z"], domain="custom")])), "custom.Relu",
    ),
    "an old opset": (heads.model([helper.make_node("Relu", ["x"], ["y"])], {}, ["n", 16], 16, opset=12), "opset"),
    "channels without end": (bomb(30), "channels"),
    "a missing input": (changed(lambda m: m.graph.node[0].input.__setitem__(0, "nothing")), "'nothing'"),
    "one name twice": (changed(lambda m: m.graph.node[1].output.__setitem__(0, "a")), "exists already"),
    "no output": (changed(lambda m: m.graph.node[-1].output.__setitem__(0, "z")), "output 'y'"),
    "names": (heads.pixels(classes=["a", "a", "b"])[0], "'classes'"),
    "no list": (heads.pixels(classes="[[[")[0], "'classes'"),
    "larger than the input": (
        patches(helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[3, 3]), w=SQUARE), "more pixels",
    ),
    "unaligned": (patches(helper.make_node("Conv", ["x", "w"], ["y"]), w=SQUARE), "pads"),
    "random": (
        patches(helper.make_node("Dropout", ["x", "r", "t"], ["y"]), r=np.float32(0.5), t=np.array(True)), "",
    ),
    "over all pixels": (patches(helper.make_node("Softmax", ["x"], ["y"], axis=3)), "axis 3"),
    "the mean of the scene": (patches(helper.make_node("GlobalAveragePool", ["x"], ["y"])), "GlobalAveragePool"),
    "along the columns": (
        patches(helper.make_node("Add", ["x", "w"], ["y"]), w=np.zeros((1, 1, 1, 16), np.float32)), "constant of shape",
    ),
    "an end without scale": (
        patches(helper.make_node("Resize", ["x", "", "w"], ["y"]), w=np.array([1, 1, 0.5, 0.5], np.float32)), "scales",
    ),
    "fixed patches": (heads.model([helper.make_node("Relu", ["x"], ["y"])], {}, [1, 16, 8, 8], 16), "dynamic"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_small_network_needs_is_refused(output, tmp_path, name):
    model, message = REFUSED[name]
    path = saved(tmp_path / "h.onnx", model)
    with pytest.raises(ModelError, match=rf"^[^\n]*h\.onnx[^\n]*{message}[^\n]*$"):
        apply(path, output, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_constants_in_the_graph_are_weights(output, tmp_path):
    """PyTorch writes scales and limits so."""
    model, _ = heads.pixels(softmax=False)
    model.graph.node[2].op_type = "Clip"
    model.graph.node[2].input.append("low")
    low = numpy_helper.from_array(np.array(0, np.float32), "low")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["low"], value=low))
    plain, _ = heads.pixels(softmax=False)
    for name, each in (("one", model), ("two", plain)):
        apply(saved(tmp_path / f"{name}.onnx", each), output, tmp_path / name, progress=False)
    np.testing.assert_array_equal(*(raster(tmp_path / name / "map.tif") for name in ("one", "two")))


def test_neither_a_classifier_nor_onnx(output, tmp_path):
    (tmp_path / "x").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ModelError, match=r"x is neither"):
        apply(tmp_path / "x", output, tmp_path / "out")
