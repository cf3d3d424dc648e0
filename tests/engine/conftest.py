"""Fixtures that several tests of the engine share."""

from __future__ import annotations

import conformance
import pytest
from made_up import made_up_arrays
from mosaic_files import write_mosaics


@pytest.fixture(scope="session")
def v1_1_outputs(tmp_path_factory):
    """What `embed` makes of one scene with a v1.1 model of random weights: as GeoTIFFs, and as geotessera's tree."""
    from tessera_engine.api import embed
    from tessera_engine.running.loading import load_model
    from tessera_export.export import export_model

    folder = tmp_path_factory.mktemp("v1_1")
    export_model(conformance.checkpoint("v1_1_tiny"), folder / "model.onnx", "fp32", statistics="mpc")
    model = load_model(str(folder / "model.onnx"), backend="onnxruntime")
    scene = write_mosaics(folder / "scene", made_up_arrays(20, 30, 6))
    for format in ("cog", "geotessera"):
        embed(scene, model, folder / format, format=format, stored_as="int8")
    return folder / "cog", folder / "geotessera"
