"""The recipe of the demo model, in small: that it runs to its end, and that the card says what was done."""

from dataclasses import replace

import numpy as np
import pytest

from tessera_engine.model.file import read_model_file
from tessera_export.checkpoint import load_checkpoint
from tessera_export.reference import SIZES
from tessera_export.train import demo


@pytest.mark.slow
def test_the_recipe_runs_and_repeats_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "SCENES_PER_CLIMATE", 1)
    monkeypatch.setattr(demo, "TRAINING_SIZE", 24)
    monkeypatch.setattr(demo, "TRAINING_PIXELS", 40)
    monkeypatch.setattr(demo, "TEST_SIZE", 64)
    monkeypatch.setattr(demo, "TEST_PIXELS", 400)
    monkeypatch.setattr(demo, "DISTILLED", replace(demo.DISTILLED, steps=3, batch=32))
    monkeypatch.setattr(demo, "FINISH", replace(demo.FINISH, steps=2, batch=8))
    for name in ("a", "b"):
        demo.make_demo(tmp_path / name, [])
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "demo.fp32.onnx", "demo.fp32.onnx.sha256", "demo.int8.onnx", "demo.int8.onnx.sha256", "demo.pt",
    ]  # fmt: skip
    loaded = load_checkpoint(tmp_path / "a" / "demo.pt")
    assert loaded.config == SIZES["nano"]
    assert (tmp_path / "a" / "demo.pt").read_bytes() == (tmp_path / "b" / "demo.pt").read_bytes()
    facts = read_model_file(tmp_path / "a" / "demo.int8.onnx").facts
    assert "not a published TESSERA model" in facts.card
    assert "6 simulated scenes of 6 climates" in facts.card
    assert "share of the seasons' variance 16 dims" in facts.card


def test_targets_weigh_the_same():
    targets = np.random.default_rng(0).normal(3, [1, 20, 0], (50, 3)).astype(np.float32)
    found = demo.standardised(targets)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(0), [1, 1, 0], rtol=1e-4)
