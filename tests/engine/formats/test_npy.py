"""The published layout: the files that the published code writes, bit for bit."""

from __future__ import annotations

import errno
import shutil

import numpy as np
import pytest
from outputs import made_up_output
from staged import landscape, stage

from tessera_engine import open_embeddings
from tessera_engine.errors import TesseraError
from tessera_engine.formats.writing import write

EMBEDDING = landscape(12, 9, 4)


@pytest.fixture(params=["link", "copy"])
def linking(request, monkeypatch):
    """With hard links, and on a file system without."""

    def refuse(source, target):
        raise OSError(errno.EPERM, "no hard links here")

    if request.param == "copy":
        monkeypatch.setattr("os.link", refuse)


def test_int8_is_codes_and_scales(tmp_path, linking):
    staging = stage(tmp_path / "staging", EMBEDDING)
    assets = write("npy", staging, tmp_path, "grid_0.15_52.05")
    codes, scales = (
        np.load(tmp_path / "grid_0.15_52.05.npy"),
        np.load(tmp_path / "grid_0.15_52.05_scales.npy"),
    )
    assert (codes.dtype, codes.shape) == (np.int8, (12, 9, 4))
    assert (scales.dtype, scales.shape) == (np.float32, (12, 9))
    nodata = np.isnan(EMBEDDING[..., 0])
    assert nodata.any()
    assert (codes[nodata] == -128).all()
    assert (codes[~nodata] > -128).all()
    embedding = codes * scales[..., None]
    np.testing.assert_array_equal(np.isnan(embedding), np.isnan(EMBEDDING))
    error = np.abs(embedding - EMBEDDING)[~nodata]
    assert (error <= 0.5001 * scales[~nodata][:, None]).all()
    counts = np.load(tmp_path / "grid_0.15_52.05_observations.npy")
    assert (counts.dtype, counts.shape) == (np.uint16, (12, 9, 2))
    assert (counts[nodata] == 0).all()
    assert (counts[~nodata] > 0).all()
    assert {asset.key: asset.file_name for asset in assets} == {
        "embeddings": "grid_0.15_52.05.npy",
        "scales": "grid_0.15_52.05_scales.npy",
        "observations": "grid_0.15_52.05_observations.npy",
    }


def test_float32_is_one_file_without_scales(tmp_path, linking):
    staging = stage(tmp_path / "staging", EMBEDDING, "float32")
    write("npy", staging, tmp_path, "tile")
    np.testing.assert_array_equal(np.load(tmp_path / "tile.npy"), EMBEDDING)
    assert {path.name for path in tmp_path.glob("*.npy")} == {"tile.npy", "tile_observations.npy"}


def test_the_output_outlives_the_staging(tmp_path, linking):
    staging = stage(tmp_path / "staging", EMBEDDING, "float32")
    write("npy", staging, tmp_path, "tile")
    shutil.rmtree(tmp_path / "staging")
    np.testing.assert_array_equal(np.load(tmp_path / "tile.npy"), EMBEDDING)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def no_links(source, target):
        raise OSError(errno.EPERM, "no hard links here")

    def full(source, target):
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.link", no_links)
    monkeypatch.setattr("shutil.copyfile", full)
    staging = stage(tmp_path / "staging", EMBEDDING)
    with pytest.raises(TesseraError, match=r"tile\.npy: No space left on device"):
        write("npy", staging, tmp_path, "tile")
    assert list(tmp_path.glob("*.npy")) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:60],
        lambda content: content[:-1],
        lambda content: content.replace(b"'descr'", b"'descr("),
        lambda content: content.replace(b"(20,", b"(2 ,"),
        lambda content: (
            content.replace(b"'|i1'", b"'|O1'").replace(b"'<f4'", b"'<O8'").replace(b"'<u2'", b"'<M8'")
        ),
        lambda content: content.replace(b"False", b"True "),
        lambda content: b"",
    ],
)
def test_a_damaged_array_is_refused_in_one_line(tmp_path, damage):
    folder = made_up_output(tmp_path / "a.embeddings", landscape(20, 20, 16), "npy")
    path = max(folder.glob("*.npy"), key=lambda path: path.stat().st_size)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TesseraError) as error:
        open_embeddings(folder).read()
    assert path.name in str(error.value)
