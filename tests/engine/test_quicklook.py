"""The quicklook shows the structure of the embeddings, the same picture every time, for any scene at all."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import rasterio
from staged import landscape, stage

from tessera_engine import quicklook
from tessera_engine.quicklook import write_quicklook
from tessera_engine.scene import Grid
from tessera_engine.staging import Staging


def picture(staging, folder):
    """(height, width, 4), as the PNG has it."""
    path = folder / "quicklook.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_quicklook(staging, path)
    assert not list(folder.glob("*.aux.xml"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            assert (file.driver, file.dtypes[0], file.count) == ("PNG", "uint8", 4)
            return np.moveaxis(file.read(), 0, 2)


def test_colours_are_the_principal_components(tmp_path):
    embedding = landscape(256, 256, 16)
    found = picture(stage(tmp_path / "staging", embedding, "float32"), tmp_path)
    valid = np.isfinite(embedding[..., 0])
    np.testing.assert_array_equal(found[..., 3], np.where(valid, 255, 0))
    values = embedding[valid].astype(np.float64)
    _, _, components = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    for band, component in enumerate(components[:3]):
        expected = values @ component
        low, high = np.percentile(expected, [2, 98])
        shown = found[valid][:, band].astype(float)
        # The picture stretches a sample of the pixels, so the ends lie a little elsewhere.
        assert abs(np.corrcoef(shown, expected.clip(low, high))[0, 1]) > 0.999
        assert 0.01 < (shown == 0).mean() < 0.03
        assert 0.01 < (shown == 255).mean() < 0.03


def test_int8_looks_like_float32(tmp_path):
    embedding = landscape(100, 300)
    pictures = [picture(stage(tmp_path / s, embedding, s), tmp_path).astype(int) for s in ("int8", "float32")]
    assert np.abs(pictures[0] - pictures[1]).max() < 12
    np.testing.assert_array_equal(pictures[0][..., 3], pictures[1][..., 3])


def test_the_order_of_staging_and_the_size_of_strips_do_not_show(tmp_path, monkeypatch):
    embedding = landscape(60, 300)
    staging = stage(tmp_path / "rows", embedding, "float32")
    backwards = Staging.create(tmp_path, staging.grid, 16, "float32")
    for window in reversed(list(staging.grid.window.blocks(37, 11))):
        backwards.embeddings.write(window, staging.embeddings.read(window))
    first = picture(staging, tmp_path)
    np.testing.assert_array_equal(picture(backwards, tmp_path), first)
    monkeypatch.setattr(quicklook, "STRIP_VALUES", 1)
    # Matrix products of other sizes may round otherwise.
    assert np.abs(picture(staging, tmp_path).astype(int) - first).max() <= 1


def test_an_eigenvectors_sign_is_not_left_to_chance(monkeypatch):
    sample = np.random.default_rng(0).normal(size=(500, 16)) * np.arange(1, 17)
    first = quicklook._colours(sample).components
    eigh = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda matrix: (eigh(matrix)[0], -eigh(matrix)[1]))
    np.testing.assert_array_equal(quicklook._colours(sample).components, first)
    assert (first.max(axis=0) >= -first.min(axis=0)).all()


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (64, 64, (256, 256)),
        (1, 1, (256, 256)),
        (100, 40, (300, 120)),
        (3, 255, (6, 510)),
        (20, 256, (20, 256)),
    ],
)
def test_small_scenes_are_enlarged_by_whole_pixels(tmp_path, height, width, expected):
    embedding = landscape(height, width)
    embedding[0, 0] = 1
    found = picture(stage(tmp_path / "staging", embedding), tmp_path)
    assert found.shape[:2] == expected
    factor = expected[0] // height
    once = found[::factor, ::factor]
    np.testing.assert_array_equal(found, once.repeat(factor, axis=0).repeat(factor, axis=1))


def test_large_scenes_are_thinned(tmp_path, monkeypatch):
    monkeypatch.setattr(quicklook, "LARGEST_SIDE", 256)
    monkeypatch.setattr(quicklook, "SMALLEST_SIDE", 1)
    monkeypatch.setattr(quicklook, "STRIP_VALUES", 20_000)
    embedding = landscape(131, 600)
    staging = stage(tmp_path / "staging", embedding, "float32")
    found = picture(staging, tmp_path)
    assert found.shape[:2] == (44, 200)
    np.testing.assert_array_equal(found[..., 3] > 0, np.isfinite(embedding[::3, ::3, 0]))
    thin = picture(stage(tmp_path / "thin", embedding[::3, ::3], "float32"), tmp_path)
    assert np.abs(thin.astype(int) - found).max() <= 1
    grid = quicklook._picture_grid(staging.grid, 3, 1, found)
    assert grid.transform.a == 3 * staging.grid.transform.a
    assert (grid.transform.c, grid.transform.f) == (staging.grid.transform.c, staging.grid.transform.f)


def test_the_sample_is_small_and_spread_over_all_data(tmp_path, monkeypatch):
    monkeypatch.setattr(quicklook, "SAMPLE", 100)
    monkeypatch.setattr(quicklook, "STRIP_VALUES", 3 * 70 * 4)
    embedding = np.full((50, 70, 4), np.nan, np.float32)
    embedding[20:] = np.arange(30 * 70).reshape(30, 70, 1)
    sample = quicklook._sample(stage(tmp_path / "staging", embedding, "float32"), 1)
    np.testing.assert_array_equal(sample[:, 0], np.arange(0, 30 * 70, 27))


def test_a_scene_without_data_is_transparent(tmp_path):
    found = picture(Staging.create(tmp_path, Grid(40, 30), 16, "int8"), tmp_path)
    assert found.shape == (210, 280, 4)
    assert (found == 0).all()


@pytest.mark.parametrize("store", ["int8", "float32"])
def test_one_pixel_and_pixels_all_alike_are_grey(tmp_path, store):
    value = np.random.default_rng(0).normal(size=16).astype(np.float32)
    lonely = np.full((300, 290, 16), np.nan, np.float32)
    lonely[123, 45] = value
    found = picture(stage(tmp_path / "lonely", lonely, store), tmp_path)
    assert found[123, 45].tolist() == [128, 128, 128, 255]
    assert (found[..., 3] > 0).sum() == 1
    found = picture(stage(tmp_path / "alike", np.tile(value, (300, 290, 1)), store), tmp_path)
    assert (found == [128, 128, 128, 255]).all()


WITH_A_FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from tessera_engine.errors import TesseraError
from tessera_engine.quicklook import _write_png
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    _write_png(Path(sys.argv[1]), np.random.default_rng(0).integers(0, 255, (300, 300, 4), np.uint8))
except TesseraError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    path = tmp_path / "quicklook.png"
    quicklook._write_png(path, np.random.default_rng(0).integers(0, 255, (300, 300, 4), np.uint8))
    whole = path.stat().st_size
    for limit in (whole // 2, whole - 5):
        child = subprocess.run(
            [sys.executable, "-c", WITH_A_FULL_DISK, str(path), str(limit)],
            capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert "can't write" in child.stdout, f"nothing was said at {limit} of {whole} bytes"
        assert list(tmp_path.iterdir()) == []


def test_the_asset_says_what_lies_there(tmp_path):
    asset = write_quicklook(stage(tmp_path / "staging", landscape(64, 32)), tmp_path / "quicklook.png")
    assert (asset.key, asset.file_name, asset.media_type) == ("quicklook", "quicklook.png", "image/png")
    assert asset.fields["proj:shape"] == [256, 128]
    assert asset.fields["proj:transform"] == [2.5, 0, 500_000, 0, -2.5, 5_600_000]
