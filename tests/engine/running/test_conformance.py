"""The whole engine, from tile folders and from arrays, against the published code's outputs."""

from __future__ import annotations

import numpy as np
import pytest
from conformance import FOLDER, MODELS, TILES, check_conformance, checkpoint, conformance_tile, expected_codes

from tessera_engine.api import embed
from tessera_engine.running.loading import load_model
from tessera_engine.scenes import open_scene
from tessera_export.export import export_model


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    file = tmp_path_factory.mktemp("models") / f"{request.param}.fp32.onnx"
    export_model(checkpoint(request.param), file, "fp32")
    return request.param, load_model(str(file))


@pytest.mark.parametrize("tile", TILES)
def test_the_array_interface(model, tile):
    name, loaded = model
    read = open_scene(FOLDER / "tiles" / tile).reader
    o = read.read(read.grid.window)

    def pixels_first(values):
        return values.reshape(values.shape[0], read.grid.window.pixels, *values.shape[3:]).swapaxes(0, 1)

    embedding = loaded.embed_pixels(
        pixels_first(o.s2), o.s2_doy, pixels_first(o.s2_valid),
        pixels_first(o.s1_ascending), o.s1_ascending_doy, pixels_first(o.s1_descending), o.s1_descending_doy,
    )  # fmt: skip
    valid = conformance_tile(tile).valid.ravel()
    assert np.isnan(embedding[~valid]).all()
    check_conformance(name, tile, embedding[valid])


@pytest.mark.parametrize("tile", TILES)
def test_files(model, tile, tmp_path):
    name, loaded = model
    embed(FOLDER / "tiles" / tile, loaded, tmp_path / "float", format="npy")
    embedding = np.load(tmp_path / "float" / f"{tile}.npy")
    valid = conformance_tile(tile).valid
    np.testing.assert_array_equal(np.isnan(embedding).all(axis=2), ~valid)
    check_conformance(name, tile, embedding[valid])

    embed(FOLDER / "tiles" / tile, loaded, tmp_path / "int8", format="npy", stored_as="int8")
    codes = np.load(tmp_path / "int8" / f"{tile}.npy")
    scales = np.load(tmp_path / "int8" / f"{tile}_scales.npy")
    wanted, wanted_scales = expected_codes(name, tile)
    assert (codes[~valid] == -128).all()
    assert np.isnan(scales[~valid]).all()
    np.testing.assert_allclose(scales[valid], wanted_scales[valid], rtol=1e-4)
    difference = np.abs(codes[valid].astype(int) - wanted[valid])
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= np.ceil(difference.size / 10_000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"s2": np.zeros((2, 3, 9), np.uint16)}, r"s2 has shape \(2, 3, 9\), expected \(pixels, dates, 10\)"),
        ({"s2": np.zeros((2, 3, 10))}, "s2 has dtype float64, expected uint16"),
        ({"s2_valid": np.ones((3, 2))}, r"s2_valid has shape \(3, 2\), expected \(2, 3\)"),
        ({"s2_doy": [1, 2]}, r"s2_doy has shape \(2,\), expected \(3,\) or \(2, 3\)"),
        ({"s2_doy": [1, 2, 367]}, "s2_doy must be whole days of year"),
        ({"s2_doy": [1.0, 2.0, 3.5]}, "s2_doy must be whole days of year"),
        ({"s1_ascending": np.ones((2, 4, 2), np.int16)}, "s1_ascending_doy is missing"),
        ({"s1_ascending": np.ones((5, 1, 2), np.int16), "s1_ascending_doy": [1]}, "s1_ascending has 5 pixels, s2 has 2"),
        ({"dim": 17}, "dim=17"),
    ],
)  # fmt: skip
def test_arrays_that_can_not_be_right_are_refused(change, message):
    from tessera_engine.errors import InputError

    good = {
        "s2": np.ones((2, 3, 10), np.uint16),
        "s2_doy": [1, 50, 366],
        "s2_valid": np.ones((2, 3), bool),
    }
    loaded = load_model("demo")
    assert loaded.embed_pixels(**good).shape == (2, 128)
    with pytest.raises(InputError, match=message):
        loaded.embed_pixels(**(good | change))


def test_pixels_with_dates_of_their_own():
    rng = np.random.default_rng(0)
    s2 = rng.integers(200, 5000, (3, 9, 10)).astype(np.uint16)
    doy = rng.integers(1, 367, (3, 9))
    valid = rng.random((3, 9)) < 0.7
    loaded = load_model("demo")
    together = loaded.embed_pixels(s2, doy, valid)
    for i in range(3):
        alone = loaded.embed_pixels(s2[i : i + 1], doy[i], valid[i : i + 1])
        np.testing.assert_allclose(together[i], alone[0], atol=1e-5)
