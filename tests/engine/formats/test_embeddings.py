"""Reading back: every format gives the embeddings that were written, as a whole, by windows, points and prefixes."""

from __future__ import annotations

import json
from collections import Counter
from itertools import product

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rioxarray  # noqa: F401
from made_up import CRS, ORIGIN
from outputs import made_up_output
from rasterio.warp import transform
from staged import landscape, stage

from tessera_engine import open_embeddings
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.formats.cog.reading import BANDS
from tessera_engine.formats.embeddings.bands import FEW_VALUES
from tessera_engine.scene import Grid, Window

EMBEDDING = landscape(70, 300, 32)
HEIGHT, WIDTH, DIM = EMBEDDING.shape


@pytest.fixture(scope="module", params=["cog int8", "cog float32", "npy int8", "npy float32"])
def output(request, tmp_path_factory):
    format, store = request.param.split()
    folder = tmp_path_factory.mktemp("outputs") / "field.embeddings"
    return made_up_output(folder, EMBEDDING, format, store)


def close(found, expected, store):
    """Equal, to half a step of the codes where codes are stored."""
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    step = np.abs(expected).max(axis=-1, keepdims=True) / 254 if store == "int8" else np.zeros(1)
    valid = np.isfinite(expected)
    assert (np.abs(found - expected) <= step * 1.001 + 1e-9)[valid].all()


@pytest.mark.parametrize("stored_as", ["int8", "float32"])
@pytest.mark.parametrize("size", [(9, 7), (190, 180)], ids=["few values", "many values"])
def test_more_bands_than_a_geotiff_is_read_by_come_back_bit_for_bit(tmp_path, stored_as, size):
    embedding = np.random.default_rng(3).normal(size=(*size, 2 * BANDS + 6)).astype(np.float32)
    staging = stage(tmp_path / "staging", embedding, stored_as)
    window = staging.grid.window
    opened = open_embeddings(made_up_output(tmp_path / "out", embedding, "cog", stored_as))
    for dim in (1, BANDS, BANDS + 1, embedding.shape[2]):
        found = opened.source.read(window, dim).values
        np.testing.assert_array_equal(found, staging.embeddings.read(window)[..., :dim])
        assert found.flags.c_contiguous


def test_everything_comes_back(output):
    found = open_embeddings(output)
    assert found.grid == Grid(WIDTH, HEIGHT, CRS, ORIGIN)
    assert (found.dim, found.read().dtype) == (DIM, np.float32)
    # The codes' step follows from the whole vector
    close(found.read(), EMBEDDING, found.stored_as)
    assert found.provenance["model_sha256"] == "a" * 64
    assert (found.provenance["precision"], found.provenance["dim"]) == ("int8", DIM)


def test_windows_and_prefixes_are_parts_of_it(output):
    whole = open_embeddings(output).read()
    part = open_embeddings(output, dim=16)
    np.testing.assert_array_equal(part.read(Window(250, 3, 20, 60)), whole[3:63, 250:270, :16])
    counts = part.source.read_observations(part.grid.window)
    np.testing.assert_array_equal((counts > 0).all(axis=2), np.isfinite(whole[..., 0]))
    with pytest.raises(InputError, match=r"dim=17 .*16, 32$"):
        open_embeddings(output, dim=17)
    with pytest.raises(InputError, match="doesn't lie in"):
        part.read(Window(290, 0, 20, 2))


@pytest.mark.parametrize("part", [None, Window(3, 5, 290, 60), Window(257, 1, 2, 3)])
def test_tiles_cover_the_grid_or_a_part_and_each_is_decoded_once(output, part):
    found = open_embeddings(output)
    side = found.source.block
    tile = side * side * DIM
    for values in (1, 16 * side * DIM, tile - 1, tile, 3 * tile, 10**9):
        seen = np.zeros((HEIGHT, WIDTH), int)
        times = Counter()
        for window in found.tiles(values, part):
            seen[window.slices] += 1
            rows, cols = window.slices
            touched = (range(each.start // side, (each.stop - 1) // side + 1) for each in (rows, cols))
            times.update(product(*touched))
            assert window.pixels * DIM <= max(values, side * DIM)  # a row of a tile at least
        expected = np.zeros_like(seen)
        expected[(part or found.grid.window).slices] = 1
        np.testing.assert_array_equal(seen, expected)
        if values >= tile:
            assert set(times.values()) == {1}
        elif values == 16 * side * DIM and not found.distinct_values:
            assert max(times.values()) <= max(1, side // 16)


def test_points_are_the_pixels_in_which_they_lie(output):
    found = open_embeddings(output)
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, HEIGHT, 50), rng.integers(0, WIDTH, 50)
    x, y = ORIGIN @ np.stack([cols + rng.uniform(0.05, 0.95, 50), rows + rng.uniform(0.05, 0.95, 50)])
    lon, lat = transform(CRS, "EPSG:4326", x, y)
    np.testing.assert_array_equal(found.points(lon, lat), found.read()[rows, cols])
    assert np.isnan(found.points([lon[0], 100, np.inf], [-30, lat[0], 0])).all()


def test_xarray_reads_what_is_asked_for(output, monkeypatch):
    found = open_embeddings(output)
    whole = np.moveaxis(found.read(), 2, 0)
    asked = []
    read = type(found.source).read
    monkeypatch.setattr(type(found.source), "read", lambda *a: asked.append(a[1]) or read(*a))
    array = found.to_xarray()
    assert array.dims == ("band", "y", "x")
    assert array.rio.crs.to_string() == CRS
    assert array.rio.transform() == ORIGIN
    assert asked == []
    np.testing.assert_array_equal(array[3:9, 10:2:-3, 7].values, whole[3:9, 10:2:-3, 7])
    assert asked == [Window(7, 4, 1, 7)]
    np.testing.assert_array_equal(array[5].values, whole[5])
    np.testing.assert_array_equal(array[:, [1, 5, 2], 3:3].values, whole[:, [1, 5, 2], 3:3])
    np.testing.assert_array_equal(array.sel(x=array.x[4], y=array.y[20]).values, whole[:, 20, 4])
    assert array.attrs["tessera_model"] == "nano"


def test_what_is_no_output_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no embeddings.*item\.json"):
        open_embeddings(tmp_path)


def test_a_missing_or_damaged_file_is_one_line(tmp_path):
    folder = made_up_output(tmp_path / "o", EMBEDDING[:20, :20], "npy")
    np.save(folder / "field_scales.npy", np.zeros((3, 3), np.float32))
    with pytest.raises(TesseraError, match=r"float32 \(3, 3\), expected float32 \(20, 20\)"):
        open_embeddings(folder)
    (folder / "field_scales.npy").unlink()
    with pytest.raises(InputError, match=r"field_scales\.npy is missing.*item\.json"):
        open_embeddings(folder)
    folder = made_up_output(tmp_path / "c", EMBEDDING[:20, :20])
    (folder / "embeddings.tif").write_bytes(b"II*")
    with pytest.raises(TesseraError, match=r"can't read .*embeddings\.tif(?!.*previous exception)"):
        open_embeddings(folder).read()


def test_embeddings_that_are_nowhere_have_no_points(tmp_path):
    folder = made_up_output(tmp_path / "o", EMBEDDING[:20, :20], grid=Grid(20, 20))
    found = open_embeddings(folder)
    close(found.read(), EMBEDDING[:20, :20], "int8")
    assert found.to_xarray().rio.crs is None
    with pytest.raises(InputError, match="has no CRS"):
        found.points(4, 50)
    assert json.loads((folder / "item.json").read_text())["geometry"] is None


def test_large_windows_and_files_of_earlier_versions_have_the_same_values(tmp_path):
    """Large windows are reordered by a kernel. Until 0.2, GeoTIFFs were compressed by DEFLATE."""
    whole = open_embeddings(made_up_output(tmp_path / "a", landscape(130, 140, 64)))
    path = whole.path / "embeddings.tif"
    values = whole.read_stored().values
    assert values.size > FEW_VALUES
    for row in range(0, 130, 10):
        part = whole.read_stored(Window(0, row, 140, 10)).values
        assert part.size < FEW_VALUES
        np.testing.assert_array_equal(values[row : row + 10], part)
    with rasterio.open(path) as file:
        assert file.compression.name == "zstd"
        bands = file.read()
    np.testing.assert_array_equal(values, np.moveaxis(bands, 0, 2))
    rasterio.shutil.copy(path, tmp_path / "before.tif", COMPRESS="DEFLATE", PREDICTOR="2")
    (tmp_path / "before.tif").replace(path)
    np.testing.assert_array_equal(open_embeddings(whole.path).read_stored().values, values)
