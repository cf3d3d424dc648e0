"""The demo model in the package: what its card promises."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from tessera_engine.model import installed
from tessera_engine.model.drift import THRESHOLDS, measure
from tessera_engine.running.loading import load_model
from tessera_engine.scenes import open_scene
from tessera_engine.scenes.sampling import sample_tokens
from tessera_engine.simulate import simulate
from tessera_engine.tokens import pack
from tessera_export.train.probe import linear_probe, mean_spectrum


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "scene"
    simulate(folder, 64, seed=77)
    return folder


@pytest.fixture(scope="module")
def model():
    return load_model("demo", "int8")


def test_it_tells_land_covers_apart_better_than_the_mean_spectrum(scene, model):
    reader = open_scene(scene).reader
    observations = reader.read(reader.grid.window)
    packed = pack(observations, model.facts)
    embedding = model.backend.run(packed.tokens)
    with rasterio.open(scene / "cover.tif") as file:
        cover = file.read(1).ravel().astype(np.int64)
    assert len(packed.pixels) == len(cover)
    truth = (cover, *np.divmod(np.arange(len(cover)), 64))
    ours, baseline = linear_probe(embedding, *truth), linear_probe(mean_spectrum(observations), *truth)
    assert ours.accuracy > baseline.accuracy + 0.03


@pytest.mark.parametrize("backend", ["fused", "onnxruntime"])
def test_int8_stays_within_the_threshold(scene, model, backend):
    tokens = sample_tokens(str(scene), model.facts, 512)
    reference = load_model("demo", "fp32", "onnxruntime").backend.run(tokens)
    drift = measure(reference, load_model("demo", "int8", backend).backend.run(tokens))
    assert THRESHOLDS["int8"].failures(drift) == []
    assert drift.centred_mean > 0.999  # the demo does better than a model must


def test_the_fused_float32_is_onnx_runtimes(scene, model):
    tokens = sample_tokens(str(scene), model.facts, 512)
    reference = load_model("demo", "fp32", "onnxruntime").backend.run(tokens)
    drift = measure(reference, load_model("demo", "fp32", "fused").backend.run(tokens))
    assert THRESHOLDS["fp32"].failures(drift) == []


def test_the_card_says_what_it_is(model):
    assert "not a published TESSERA model" in model.facts.card
    assert "Copernicus" in model.facts.card
    assert model.facts.licence == "MIT"
    assert model.facts.size == "nano"


def test_every_packaged_model_has_its_checksum():
    for path in installed.packaged_folder().glob("*.onnx"):
        assert installed.checksum_file(path).is_file()
