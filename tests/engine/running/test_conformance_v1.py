"""The whole engine with v1 models, from tile folders, against the published code's outputs."""

from __future__ import annotations

import conformance
import numpy as np
import pytest

from tessera_engine.api import embed
from tessera_engine.errors import InputError
from tessera_engine.running.loading import load_model
from tessera_engine.running.options import check_dim
from tessera_export.export import export_model

BACKENDS = ("fused", "onnxruntime", "openvino")


@pytest.fixture(scope="module", params=conformance.V1_1_FLAVOURS)
def flavour(request, tmp_path_factory):
    file = tmp_path_factory.mktemp("models") / f"{request.param}.fp32.onnx"
    export_model(conformance.checkpoint("v1_1_tiny"), file, "fp32", statistics=request.param)
    return request.param, file


def loaded(file, backend):
    if backend == "openvino":
        pytest.importorskip("openvino")
    return load_model(str(file), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tile", conformance.V1_1_TILES)
def test_files_equal_the_published_ones(flavour, backend, tile, tmp_path):
    name, file = flavour
    model = loaded(file, backend)
    valid = conformance.conformance_tile(tile).valid
    embed(conformance.FOLDER / "tiles" / tile, model, tmp_path / "float", format="npy")
    embedding = np.load(tmp_path / "float" / f"{tile}.npy")
    np.testing.assert_array_equal(np.isnan(embedding).all(axis=2), ~valid)
    conformance.check_conformance("v1_1_tiny", f"{tile}_{name}", embedding[valid])

    embed(conformance.FOLDER / "tiles" / tile, model, tmp_path / "int8", format="npy", stored_as="int8")
    codes = np.load(tmp_path / "int8" / f"{tile}.npy")
    scales = np.load(tmp_path / "int8" / f"{tile}_scales.npy")
    assert (codes[~valid] == -128).all()
    assert np.isnan(scales[~valid]).all()
    conformance.check_codes("v1_1_tiny", f"{tile}_{name}", codes[valid], scales[valid], valid)


def test_a_v1_1_embedding_can_not_be_cut(flavour):
    with pytest.raises(InputError, match=r"dim=64.* 128"):
        check_dim(64, loaded(flavour[1], "onnxruntime").facts)


def test_v1_0_embeds_the_same_whatever_windows_and_threads(tmp_path):
    file = tmp_path / "v1_0.fp32.onnx"
    export_model(conformance.checkpoint("v1_0_tiny"), file, "fp32")
    found = []
    for i, threads in enumerate((1, 2)):
        model = load_model(str(file), threads=threads)
        out = tmp_path / str(i)
        embed(conformance.FOLDER / "tiles" / "edge", model, out, format="npy", memory=(400 - 50 * i) * 10**6)
        found.append(np.load(out / "edge.npy"))
    assert np.isfinite(found[0]).any()
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
