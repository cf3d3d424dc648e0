"""How far GPU files drift on real and simulated scenes; prints what docs/gpu-files.md has."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from places import FLANDERS

from tessera_engine.model.drift import measure
from tessera_engine.model.installed import open_model
from tessera_engine.simulate import simulate
from tessera_export.export import Source
from tessera_export.gpu_files import build
from tessera_export.gpu_files.build import build_calibrated, build_half
from tessera_export.gpu_files.graph import build_gpu_graph, plain
from tessera_export.gpu_files.rounded import RoundedNetwork
from tessera_export.gpu_files.running import embed, onnx_run
from tessera_export.gpu_files.weights import gpu_weights
from tessera_export.onnx_graph import load_network
from tessera_export.reference import SIZES, Reference
from tessera_export.train.pixels import sample_scene

PIXELS = {"demo": (256, 256), "nano": (64, 64), "small": (32, 24), "medium": (16, 12)}
"""Of each scene: to calibrate on, and to measure on. The larger networks take minutes even so."""


@pytest.mark.slow
@pytest.mark.skipif(not FLANDERS.is_dir(), reason=f"needs {FLANDERS}")
@pytest.mark.parametrize("size", PIXELS)
def test_drift_on_real_and_simulated_scenes(size, tmp_path, monkeypatch):
    """The demo model, and the published shapes with random weights; the third scene isn't calibrated on."""
    scenes = [FLANDERS, tmp_path / "simulated"]
    simulate(scenes[1], (48, 32), seed=1)
    simulate(tmp_path / "other", (48, 32), seed=2)
    facts = open_model("demo", "fp32").facts
    if size == "demo":
        source = Source(load_network(open_model("demo", "fp32").path), facts)
    else:
        torch.manual_seed(0)
        config = SIZES[size]
        shape = {"latent_dim", "num_layers", "num_heads", "ffn_dim"}
        changes = {name: getattr(config, name) for name in shape}
        source = Source(Reference(config).eval(), replace(facts, size=size, **changes))
    calibration, pixels = PIXELS[size]
    monkeypatch.setattr(build, "CALIBRATION_PIXELS", calibration)
    monkeypatch.setattr(build, "TEST_PIXELS", calibration // 2)
    calibrated = build_calibrated(source.network, replace(source.facts, precision="qdq"), scenes)
    models = {
        "fp16": build_half(source.network, replace(source.facts, precision="fp16")),
        "qdq": calibrated.model,
    }
    print(f"\n{size} calibrated", {name: round(d.centred_mean, 6) for name, d in calibrated.drifts.items()})
    exact = onnx_run(
        build_gpu_graph(gpu_weights(source.network), facts, plain(np.float32)).SerializeToString()
    )
    for scene in (*scenes, tmp_path / "other"):
        tokens = sample_scene(scene, facts, pixels, seed=9)
        truth = embed(exact, tokens, facts.dims)
        for precision, model in models.items():
            drift = measure(truth, embed(RoundedNetwork(model).run, tokens, facts.dims))
            print(
                size,
                scene.name,
                precision,
                f"{drift.centred_mean:.6f} {drift.centred_p1:.6f} of {drift.pixels}",
            )
            assert drift.centred_mean >= (0.9999 if precision == "fp16" else 0.995)
