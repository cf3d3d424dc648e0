"""The recipe of the demo model, in small: that it runs to its end, and that the card says what was done."""

from dataclasses import replace

import pytest
from training_pixels import TINY

from tessera_engine.model_file import read_model_file
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
    monkeypatch.setattr(demo, "TEACHER", replace(demo.TEACHER, model=TINY, steps=3, batch=32))
    monkeypatch.setattr(demo, "DISTILLED", replace(demo.DISTILLED, steps=3, batch=32))
    monkeypatch.setattr(demo, "ALONE", replace(demo.ALONE, steps=3, batch=32))
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
    assert "share of the teacher's variance 16 dims" in facts.card
