"""Embeddings on another grid: the nearest pixel's, wherever they are read, and the same where the grid is."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import CRS, ORIGIN, write_roi
from outputs import made_up_output
from rasterio.warp import transform
from staged import landscape

from tessera_engine import convert, open_embeddings, verify
from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings import regridded
from tessera_engine.formats.embeddings.regridded import grid_in
from tessera_engine.scene import Grid, Window

EMBEDDING = landscape(40, 30, 32)


@pytest.fixture(scope="module", params=["int8", "float32"])
def output(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("o") / "a"
    return open_embeddings(made_up_output(folder, EMBEDDING, "npy", request.param, year=2020))


def plain(embeddings, grid):
    """(height, width, K): pixel by pixel, of the pixel in which each centre lies."""
    values = embeddings.read()
    found = np.full((grid.height, grid.width, values.shape[2]), np.nan, np.float32)
    for row, col in np.ndindex(grid.height, grid.width):
        x, y = grid.transform @ (col + 0.5, row + 0.5)
        (x,), (y,) = transform(grid.crs, embeddings.grid.crs, [x], [y])
        c, r = ~embeddings.grid.transform @ (x, y)
        if 0 <= c < values.shape[1] and 0 <= r < values.shape[0]:
            found[row, col] = values[int(r), int(c)]
    return found


@pytest.mark.parametrize(
    ("crs", "resolution"), [("EPSG:4326", None), ("EPSG:4326", 0.0003), ("EPSG:3857", 12.5), (None, 7.0)]
)
def test_each_pixel_is_that_in_which_its_centre_lies(output, crs, resolution):
    there = output.on(crs, resolution)
    np.testing.assert_array_equal(there.read(), plain(output, there.grid))
    assert np.isfinite(there.read()[..., 0]).any()
    if resolution is not None:
        assert there.grid.transform.a == resolution
    # All of the embeddings lie on it
    left, top = there.grid.transform @ (0, 0)
    right, bottom = there.grid.transform @ (there.grid.width, there.grid.height)
    for corner in ((0, 0), (30, 0), (0, 40), (30, 40)):
        (x,), (y,) = transform(CRS, there.grid.crs, *([each] for each in output.grid.transform @ corner))
        assert left - 1e-6 <= x <= right + 1e-6
        assert bottom - 1e-6 <= y <= top + 1e-6


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_windows_equal_the_whole(output, data):
    there = output.on("EPSG:4326")
    whole, grid = there.read(), there.grid
    col, row = data.draw(st.integers(0, grid.width - 1)), data.draw(st.integers(0, grid.height - 1))
    width, height = (data.draw(st.integers(1, most)) for most in (grid.width - col, grid.height - row))
    part = there.read(Window(col, row, width, height))
    np.testing.assert_array_equal(part, whole[row : row + height, col : col + width])


def test_the_cells_that_are_read_do_not_matter(output, monkeypatch):
    expected = output.on("EPSG:4326").read()
    monkeypatch.setattr(regridded, "CELL", 7)
    np.testing.assert_array_equal(output.on("EPSG:4326").read(), expected)


def test_the_same_grid_is_the_same(output, tmp_path):
    assert output.on() is output
    assert output.on(CRS, 10.0) is output
    assert output.on(like=output.grid) is output
    write_roi(tmp_path / "like.tif", 30, 40, ORIGIN)
    assert output.on(like=tmp_path / "like.tif") is output
    first, second = convert(output, tmp_path / "a", "cog"), convert(output.on(CRS, 10), tmp_path / "b", "cog")
    for file in ("embeddings.tif", "observations.tif"):
        assert (first / file).read_bytes() == (second / file).read_bytes()
    assert json.loads((first / "item.json").read_text()) == json.loads((second / "item.json").read_text())


def test_like_a_file_gives_exactly_its_pixels(output, tmp_path):
    shifted = ORIGIN @ Affine.translation(4.3, -2.2) @ Affine.scale(1.7)
    write_roi(tmp_path / "like.tif", 15, 12, shifted)
    there = output.on(like=tmp_path / "like.tif")
    assert there.grid == Grid(15, 12, CRS, shifted)
    np.testing.assert_array_equal(there.read(), plain(output, there.grid))


@pytest.mark.parametrize("format", ["cog", "npy"])
def test_what_is_converted_says_so_and_passes_verify(output, tmp_path, format):
    there = output.on("EPSG:4326", 0.0002)
    made = convert(there, tmp_path / "out", format)
    again = open_embeddings(made)
    np.testing.assert_array_equal(again.read(), there.read())
    window = again.grid.window
    np.testing.assert_array_equal(again.read_observations(window), there.read_observations(window))
    item = json.loads((made / "item.json").read_text())
    facts = item["properties"]
    valid = np.isfinite(there.read()[..., 0])
    assert facts["tessera:pixels_with_data"] == valid.sum()
    assert facts["tessera:pixels"] == valid.size
    assert facts["tessera:resampled"] == "nearest"
    assert "nearest" in facts["title"]
    assert facts["tessera:resampled_from"]["proj:code"] == CRS
    assert (facts["proj:code"], facts["proj:shape"]) == ("EPSG:4326", list(valid.shape))
    assert item["bbox"][0] == pytest.approx(again.grid.transform.c)
    assert (again.read_observations(window)[~valid] == 0).all()
    verify(made)
    if format == "cog":
        with rasterio.open(made / "embeddings.tif") as file:
            assert (file.crs.to_epsg(), file.transform.a) == (4326, 0.0002)


def test_xarray_is_on_the_grid_too(output):
    pytest.importorskip("xarray")
    there = output.on("EPSG:4326")
    array = there.to_xarray()
    np.testing.assert_array_equal(array.values, np.moveaxis(there.read(), 2, 0))
    assert float(array.x[0]) == pytest.approx(there.grid.transform.c + there.grid.transform.a / 2)


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ({"crs": "EPSG:999999"}, "EPSG:999999"),
        ({"crs": "http://example.com/x.prj"}, "valid CRS"),
        ({"crs": "EPSG:4326", "resolution": 0}, "resolution=0"),
        ({"crs": "EPSG:4326", "resolution": -1.0}, "resolution=-1"),
        ({"crs": "EPSG:4326", "resolution": float("nan")}, "resolution=nan"),
        ({"crs": "EPSG:4326", "resolution": 10}, "one pixel"),
        ({"crs": "EPSG:4326", "resolution": 1e-9}, "30 x 40"),
        ({"crs": "EPSG:4326", "resolution": "fine"}, "resolution="),
        ({"crs": "EPSG:4326", "like": "x.tif"}, "like="),
        ({"like": "nothing.tif"}, "nothing.tif"),
        ({"like": Grid(5, 5, "EPSG:32631", Affine(10, 0, 0, 0, -10, 0))}, "share no pixel"),
        ({"like": Grid(5, 5)}, "no CRS"),
    ],
)
def test_mistakes_are_named(output, arguments, fact):
    with pytest.raises(InputError, match=fact):
        output.on(**arguments)


def test_geotessera_keeps_its_own_grids(tmp_path):
    output = open_embeddings(made_up_output(tmp_path / "a", landscape(20, 20, 128), year=2020))
    with pytest.raises(InputError, match=r"geotessera.*EPSG:4326"):
        convert(output.on("EPSG:4326"), tmp_path / "b", "geotessera")
    assert not (tmp_path / "b").exists()


def test_neighbouring_places_get_pixels_that_fit_together():
    one = grid_in(Grid(30, 40, CRS, ORIGIN), "EPSG:4326", 0.0001)
    other = grid_in(Grid(30, 40, CRS, ORIGIN @ Affine.translation(300, 0)), "EPSG:4326", 0.0001)
    apart = (other.transform.c - one.transform.c) / 0.0001
    assert apart == pytest.approx(round(apart), abs=1e-6)


def test_interrupted_commands_know_the_grid(output):
    from tessera_engine.formats.given import identity_of

    assert identity_of("x", (output,)) != identity_of("x", (output.on("EPSG:4326"),))


class WithQuality:
    """A source with a quality layer."""

    dim, stored_as, block = 16, "int8", 1
    grid = Grid(30, 40, CRS, ORIGIN)
    layers = np.arange(40 * 30 * 6, dtype=np.uint16).reshape(40, 30, 6) + 1

    def read_quality(self, window):
        return self.layers[window.row : window.row + window.height, window.col : window.col + window.width]


def test_the_quality_layer_comes_along(output):
    source = WithQuality()
    grid = grid_in(source.grid, "EPSG:4326")
    found = regridded.Regridded(source, grid).read_quality(grid.window)
    col, row = regridded.source_pixels(grid, source.grid, grid.window)
    for here, (c, r) in enumerate(zip(col, row, strict=True)):
        expected = source.layers[r, c] if c >= 0 else np.zeros(6)
        np.testing.assert_array_equal(found.reshape(-1, 6)[here], expected)
    assert regridded.Regridded(output.source, grid).read_quality(grid.window) is None
