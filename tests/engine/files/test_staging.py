"""Staging: what was written is read back, by whatever windows, and a damaged file is never read as data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera_engine.errors import TesseraError
from tessera_engine.files.staging import CODE_NODATA, RasterFile, Staging
from tessera_engine.scene import Grid, Window

HEIGHT, WIDTH = 7, 9


@st.composite
def windows(draw):
    col, row = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
    return Window(col, row, draw(st.integers(1, WIDTH - col)), draw(st.integers(1, HEIGHT - row)))


def part(window):
    return slice(window.row, window.row + window.height), slice(window.col, window.col + window.width)


@given(
    st.sampled_from([("int8", (3,)), ("float32", ()), ("uint16", (2,))]),
    st.lists(windows(), max_size=4),
    windows(),
    st.integers(1, 5),
)
def test_a_raster_file_is_an_array(tmp_path_factory, kind, writes, read, step):
    dtype, rest = kind
    rng = np.random.default_rng(0)
    expected = np.full((HEIGHT, WIDTH, *rest), 7, dtype)
    path = tmp_path_factory.mktemp("raster") / "raster.npy"
    raster = RasterFile.create(path, expected.shape, np.dtype(dtype), 7)
    for window in writes:
        block = rng.integers(0, 100, (window.height, window.width, *rest)).astype(dtype)
        expected[part(window)] = block
        raster.write(window, block)
    np.testing.assert_array_equal(raster.read(read), expected[part(read)])
    np.testing.assert_array_equal(raster.read(read, step), expected[part(read)][::step, ::step])
    assert raster.read(read, step).dtype == dtype
    np.testing.assert_array_equal(np.load(path), expected)


def test_a_transposed_or_converted_block_lands_as_it_looks(tmp_path):
    raster = RasterFile.create(tmp_path / "r.npy", (4, 5), np.dtype(np.float32), 0)
    block = np.arange(20, dtype=np.float64).reshape(5, 4).T
    raster.write(Window(0, 0, 5, 4), block)
    np.testing.assert_array_equal(raster.read(Window(0, 0, 5, 4)), block)


def test_a_size_in_numpy_integers_gives_a_readable_file(tmp_path):
    RasterFile.create(tmp_path / "r.npy", (np.int64(2), np.int32(3)), np.dtype(np.int8), 1)
    assert np.load(tmp_path / "r.npy").tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize("window", [(-1, 0, 2, 2), (0, -1, 2, 2), (4, 0, 2, 1), (0, 3, 1, 2)])
def test_a_window_outside_is_refused(tmp_path, window):
    raster = RasterFile.create(tmp_path / "r.npy", (4, 5), np.dtype(np.int8), 0)
    with pytest.raises(ValueError, match="5 x 4 pixels"):
        raster.read(Window(*window))
    with pytest.raises(ValueError, match="outside"):
        raster.write(Window(*window), np.zeros((window[3], window[2]), np.int8))
    assert (np.load(tmp_path / "r.npy") == 0).all()


def test_a_block_of_another_shape_is_refused(tmp_path):
    raster = RasterFile.create(tmp_path / "r.npy", (4, 5, 2), np.dtype(np.int8), 0)
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 3, 2\)"):
        raster.write(Window(0, 0, 3, 2), np.ones((2, 3), np.int8))
    assert (np.load(tmp_path / "r.npy") == 0).all()


def test_a_file_cut_short_is_an_error_not_data(tmp_path):
    path = tmp_path / "r.npy"
    raster = RasterFile.create(path, (4, 5), np.dtype(np.float32), 1)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    assert (raster.read(Window(0, 0, 5, 3)) == 1).all()
    with pytest.raises(TesseraError, match="ends within row 3 of 4"):
        raster.read(Window(0, 0, 5, 4))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (np.zeros((4, 6), np.float32), r"\(4, 6\), expected float32 \(4, 5\)"),
        (np.zeros((4, 5), np.int32), "int32"),
    ],
)
def test_another_runs_file_is_refused(tmp_path, other, message):
    raster = RasterFile.create(tmp_path / "r.npy", (4, 5), np.dtype(np.float32), 0)
    np.save(tmp_path / "r.npy", other)
    with pytest.raises(TesseraError, match=message):
        raster.read(Window(0, 0, 1, 1))
    with pytest.raises(TesseraError, match=message):
        raster.write(Window(0, 0, 1, 1), np.ones((1, 1), np.float32))


def test_what_is_no_array_is_refused(tmp_path):
    raster = RasterFile.create(tmp_path / "r.npy", (4, 5), np.dtype(np.float32), 0)
    (tmp_path / "r.npy").write_bytes(b"")
    with pytest.raises(TesseraError, match="damaged"):
        raster.read(Window(0, 0, 1, 1))


@pytest.mark.parametrize("stored_as", ["int8", "float32"])
def test_staging_starts_as_nodata(tmp_path, stored_as):
    staging = Staging.create(tmp_path, Grid(3, 2), 4, stored_as)
    window = staging.grid.window
    assert staging.dim == 4
    assert np.isnan(staging.read_embeddings(window)).all()
    assert (staging.observations.read(window) == 0).all()
    if stored_as == "int8":
        assert (staging.embeddings.read(window) == CODE_NODATA).all()
        assert np.isnan(staging.scales.read(window)).all()
    else:
        assert staging.scales is None


def test_embeddings_are_codes_times_scale(tmp_path):
    staging = Staging.create(tmp_path, Grid(3, 2), 4, "int8")
    place = Window(1, 1, 2, 1)
    codes = np.array([[[127, -3, 0, 5], [1, 2, 3, -127]]], np.int8)
    staging.embeddings.write(place, codes)
    staging.scales.write(place, np.array([[0.5, 2.0]], np.float32))
    found = staging.read_embeddings(staging.grid.window)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[1, 1:], codes[0] * np.array([[0.5], [2.0]]))
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(
        staging.read_embeddings(Window(1, 1, 2, 1), step=2)[0, 0], codes[0, 0] * 0.5
    )
