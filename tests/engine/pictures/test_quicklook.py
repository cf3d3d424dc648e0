"""The quicklook shows the structure of the embeddings, the same picture every time, for any scene at all."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import rasterio
from made_up import CRS, ORIGIN
from staged import landscape, stage

from tessera_engine.files.staging import Staging
from tessera_engine.pictures import frame, quicklook
from tessera_engine.pictures.caption import Caption
from tessera_engine.pictures.palette import fit_projection
from tessera_engine.pictures.quicklook import write_quicklook
from tessera_engine.scene import Grid

CAPTION = Caption("field", "2018-01-03 to 2018-12-29", "TESSERA model nano (int8), 128 dimensions")


def picture(staging, folder, kind="pca", palette=None):
    """(height, width, 4), as the PNG has it within its frame."""
    path = folder / "quicklook.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_quicklook(staging, path, CAPTION, kind, palette)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            assert (file.driver, file.dtypes[0], file.count) == ("PNG", "uint8", 4)
            framed = np.moveaxis(file.read(), 0, 2)
    grid = frame.thinned(staging.grid)[1]
    factor = max(1, -(-frame.SMALLEST_SIDE // max(grid.width, grid.height)))
    height, width = grid.height * factor, grid.width * factor
    letter = max(15, max(height, width) // 64)
    outside = framed.copy()
    outside[letter : letter + height, letter : letter + width] = 255
    assert (outside[..., 3] == 255).all()
    assert (outside[letter + height + letter :, :, :3] < 100).any(), "nothing is written below the picture"
    return framed[letter : letter + height, letter : letter + width]


def test_colours_are_the_principal_components(tmp_path):
    embedding = landscape(512, 512, 16)
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
    first = fit_projection(sample).axes
    eigh = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda matrix: (eigh(matrix)[0], -eigh(matrix)[1]))
    np.testing.assert_array_equal(fit_projection(sample).axes, first)
    assert (first.max(axis=0) >= -first.min(axis=0)).all()


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (64, 64, (512, 512)),
        (1, 1, (512, 512)),
        (200, 40, (600, 120)),
        (3, 511, (6, 1022)),
        (20, 512, (20, 512)),
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
    monkeypatch.setattr(frame, "LARGEST_SIDE", 256)
    monkeypatch.setattr(frame, "SMALLEST_SIDE", 1)
    monkeypatch.setattr(quicklook, "STRIP_VALUES", 20_000)
    embedding = landscape(131, 600)
    staging = stage(tmp_path / "staging", embedding, "float32")
    found = picture(staging, tmp_path)
    assert found.shape[:2] == (44, 200)
    np.testing.assert_array_equal(found[..., 3] > 0, np.isfinite(embedding[::3, ::3, 0]))
    thin = picture(stage(tmp_path / "thin", embedding[::3, ::3], "float32"), tmp_path)
    assert np.abs(thin.astype(int) - found).max() <= 1


def test_the_sample_is_small_and_spread_over_all_data(tmp_path, monkeypatch):
    monkeypatch.setattr(quicklook, "SAMPLE", 100)
    monkeypatch.setattr(quicklook, "STRIP_VALUES", 3 * 70 * 4)
    embedding = np.full((50, 70, 4), np.nan, np.float32)
    embedding[20:] = np.arange(30 * 70).reshape(30, 70, 1)
    sample = quicklook._sample(stage(tmp_path / "staging", embedding, "float32"), 1)
    np.testing.assert_array_equal(sample[:, 0], np.arange(0, 30 * 70, 27))


def test_a_scene_without_data_is_transparent(tmp_path):
    found = picture(Staging.create(tmp_path, Grid(40, 30), 16, "int8"), tmp_path)
    assert found.shape == (390, 520, 4)
    assert (found == 0).all()


@pytest.mark.parametrize("stored_as", ["int8", "float32"])
def test_one_pixel_and_pixels_all_alike_are_grey(tmp_path, stored_as):
    value = np.random.default_rng(0).normal(size=16).astype(np.float32)
    lonely = np.full((600, 590, 16), np.nan, np.float32)
    lonely[123, 45] = value
    found = picture(stage(tmp_path / "lonely", lonely, stored_as), tmp_path)
    assert found[123, 45].tolist() == [128, 128, 128, 255]
    assert (found[..., 3] > 0).sum() == 1
    found = picture(stage(tmp_path / "alike", np.tile(value, (600, 590, 1)), stored_as), tmp_path)
    assert (found == [128, 128, 128, 255]).all()


def test_true_colours_are_stretched_alike(tmp_path):
    grid = Grid(520, 512, CRS, ORIGIN)
    staging = Staging.create(tmp_path, grid, 16, "int8", colours=True)
    rng = np.random.default_rng(0)
    colours = rng.integers(200, 3000, (512, 520, 3)).astype(np.uint16)
    colours[:20] = (900, 900, 900)
    colours[100:110, 50:90] = 0  # never clear
    colours[300, 300] = 65535  # a glint shall not darken all else
    staging.colours.write(grid.window, colours)
    found = picture(staging, tmp_path, "rgb")
    np.testing.assert_array_equal(found[..., 3] == 0, (colours == 0).all(axis=2))
    assert (np.ptp(found[:20, :, :3].astype(int), axis=2) == 0).all(), "grey land has a tint"
    clear = (colours > 0).all(axis=2)
    order = np.argsort(colours[clear].ravel(), kind="stable")
    assert (np.diff(found[..., :3][clear].ravel()[order].astype(int)) >= 0).all()
    assert found[300, 300].tolist() == [255] * 4
    assert 0.005 < (found[..., :3][clear] == 255).mean() < 0.02


def test_a_scene_that_was_never_clear_is_transparent(tmp_path):
    staging = Staging.create(tmp_path, Grid(40, 30), 16, "int8", colours=True)
    assert (picture(staging, tmp_path, "rgb") == 0).all()


def test_clusters_are_few_colours(tmp_path):
    embedding = np.repeat(np.eye(16, dtype=np.float32)[[1, 5, 5, 9]], 200, axis=0)[:, None].repeat(
        600, axis=1
    )
    found = picture(stage(tmp_path / "staging", embedding), tmp_path, "clusters")
    bands = [np.unique(found[i * 200 : (i + 1) * 200].reshape(-1, 4), axis=0) for i in range(4)]
    assert all(len(band) == 1 for band in bands)
    assert (bands[1] == bands[2]).all()
    assert len(np.unique(np.concatenate(bands), axis=0)) == 3


WITH_A_FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from tessera_engine.errors import TesseraError
from tessera_engine.pictures.frame import write_framed
from tessera_engine.scene import Grid
picture = np.random.default_rng(0).integers(0, 255, (600, 600, 4), np.uint8)
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    write_framed(Path(sys.argv[1]), [picture], Grid(600, 600), ["field"])
except TesseraError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    path = tmp_path / "quicklook.png"
    noise = np.random.default_rng(0).integers(0, 255, (600, 600, 4), np.uint8)
    frame.write_framed(path, [noise], Grid(600, 600), ["field"])
    whole = path.stat().st_size
    for limit in (whole // 2, whole - 5):
        child = subprocess.run(
            [sys.executable, "-c", WITH_A_FULL_DISK, str(path), str(limit)],
            capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert "can't write" in child.stdout, f"nothing was said at {limit} of {whole} bytes"
        assert list(tmp_path.iterdir()) == []


def test_the_asset_says_what_lies_there(tmp_path):
    staging = stage(tmp_path / "staging", landscape(64, 32))
    asset = write_quicklook(staging, tmp_path / "quicklook.png", CAPTION)
    assert (asset.key, asset.file_name, asset.media_type) == ("quicklook", "quicklook.png", "image/png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "quicklook.png") as file:
            assert asset.fields["proj:shape"] == [file.height, file.width]
    # Eight picture pixels for one of 10 m, and a margin of a letter
    assert asset.fields["proj:transform"] == [
        1.25, 0, 500_000 - 15 * 1.25, 0, -1.25, 5_600_000 + 15 * 1.25,
    ]  # fmt: skip
