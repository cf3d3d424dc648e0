"""`make bench-gpu` over the stand-in of the driver: its stages for our own kernels."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from tessera_engine.backends.base import Part
from tessera_engine.backends.gpu import cuda
from tessera_engine.backends.gpu.found import Found
from tessera_engine.model.installed import open_model

pytest.importorskip("triton", reason="the kernels' interpreter needs Triton")


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("cc") is None or sys.platform != "linux", reason="needs a C compiler on Linux"
)
def test_all_stages_of_our_own_kernels_run(driver, monkeypatch, tmp_path):
    import gpu
    from standin_kernels import Interpreted

    import tessera_engine.backends.cuda as module
    from tessera_export.reference import SIZES

    interpreted = Interpreted(driver, open_model("demo", "fp32").facts, SIZES["nano"])
    monkeypatch.setattr(module, "check_answer", lambda *_: None)  # it has its own test and takes long here
    missing = {name: Part(None, f"{name} is not here") for name in ("torch", "tensorrt", "onnxruntime")}
    found = Found(Part("Stand-in driver"), {"cuda": Part("Triton"), **missing})
    monkeypatch.setattr(gpu, "look", lambda: found)
    assert gpu.main([str(tmp_path / "gpu.json"), "--tiny", "--budget", "10000"]) == 0
    stages = json.loads((tmp_path / "gpu.json").read_text())["stages"]
    right = stages["right: cuda fp32"]["result"]
    assert right["drift"]["centred_mean"] > 0.9999
    assert right["same_bits_again"]
    assert right["same_codes_again"]
    assert stages["speed: nano cuda"]["result"]["launches_alone"]["pixels_per_second"] > 0
    assert stages["speed: nano cuda"]["result"]["memory"]["later_runs"] == 0
    assert sum(stages["run: cuda int8"]["result"]["shares"].values()) == pytest.approx(1)
    assert stages["right: onnxruntime fp32"]["skipped"] == "onnxruntime is not here"
    assert interpreted.launched
    assert cuda.LIBRARY.endswith("standin.so")
