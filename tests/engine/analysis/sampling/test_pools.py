"""Tables of embeddings in polygons: pooled as a plain twin pools them, with the same bits whatever is read at a time."""

from __future__ import annotations

import geopandas
import numpy as np
import pyarrow.parquet
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from made_up import CRS, ORIGIN
from naive_shapes import naive_pool
from sampled import DIM, GRID, HEIGHT, WIDTH, at, box, polygons, vectors, write

import tessera_engine as te
from tessera_engine.analysis.sampling import pooling, rows, spool
from tessera_engine.analysis.sampling.spool import Runs, Spool
from tessera_engine.formats.embeddings import base
from tessera_engine.places.pixels import PixelSet, spans_of
from tessera_engine.scene import Grid


def pixels_in(shape):
    """(N, K) of the pixels whose centre lies in a shape, and how many centres do anywhere."""
    inside, total = [], 0
    for row in range(-20, HEIGHT + 20):
        for col in range(-20, WIDTH + 20):
            if shape.contains(shapely.Point(at(col + 0.5, row + 0.5))):
                total += 1
                if 0 <= row < HEIGHT and 0 <= col < WIDTH:
                    inside.append((row, col))
    return inside, total


def test_polygons_are_pooled_as_their_naive_twin(tmp_path, output):
    shapes = polygons(np.random.default_rng(1), 12)
    path = write(tmp_path / "a.gpkg", shapes, CRS)
    made = te.sample(output, path, tmp_path / "t.parquet", pool=["mean", "std", "median"])
    table = geopandas.read_parquet(made.out)
    opened = te.open_embeddings(output)
    read, counts = opened.read(), opened.read_observations(GRID.window)
    for i, shape in enumerate(shapes):
        inside, total = pixels_in(shape)
        values = np.array([read[place] for place in inside]).reshape(-1, DIM)
        valid = np.isfinite(values[:, 0])
        assert table["pixels"][i] == valid.sum()
        assert table["nodata"][i] == pytest.approx(1 - valid.sum() / total)
        if not valid.any():
            assert np.isnan(vectors(table, "mean")[i]).all()
            continue
        for how in ("mean", "std", "median"):
            np.testing.assert_allclose(
                vectors(table, how)[i], naive_pool(values, how), rtol=1e-6, atol=1e-7, err_msg=how
            )
        places = [place for place, good in zip(inside, valid, strict=True) if good]
        assert table["s2_observations"][i] == pytest.approx(np.mean([counts[place][0] for place in places]))
        assert table["s1_observations"][i] == pytest.approx(np.mean([counts[place][1] for place in places]))


@given(
    seed=st.integers(0, 2**32),
    stored_as=st.sampled_from(["int8", "float32"]),
    width=st.integers(1, 30),
    height=st.integers(1, 30),
)
def test_pools_are_the_same_bits_whatever_the_windows(tmp_path_factory, seed, stored_as, width, height):
    folder = tmp_path_factory.mktemp("spools")
    rng = np.random.default_rng(seed)
    grid = Grid(20, 16, CRS, ORIGIN)
    shapes = np.array(polygons(rng, 3), object)
    spans = spans_of(shapes, grid, grid.window)
    pixels = PixelSet(spans, grid.window)
    size = (grid.height, grid.width)
    if stored_as == "int8":
        values = rng.integers(-127, 128, (*size, 5)).astype(np.int8)
        scales = rng.uniform(0.001, 2, size).astype(np.float32)
        scales[rng.random(size) < 0.2] = np.nan
        read = values * scales[..., None]
    else:
        values, scales = rng.normal(0, 1e3, (*size, 5)).astype(np.float32), None
        values[rng.random(size) < 0.2] = np.nan
        read = values
    counts = rng.integers(0, 300, (*size, 2)).astype(np.uint16)
    found = []
    for number, (across, down) in enumerate(((grid.width, grid.height), (width, height))):
        made = Spool(folder / str(number), pixels, 5, stored_as)
        windows = list(grid.window.blocks(across, down))
        for i in rng.permutation(len(windows)):
            window = windows[i]
            part = slice(window.row, window.row + window.height), slice(window.col, window.col + window.width)
            made.write(window, values[part], None if scales is None else scales[part], counts[part])
        found.append(made)
    assert found[0].path.read_bytes() == found[1].path.read_bytes()
    for owner in range(3):
        mine = spans.owner == owner
        runs = Runs(pixels.ranks(spans.row[mine], spans.start[mine]), (spans.stop - spans.start)[mine])
        places = [
            read[row, col]
            for row, start, stop in zip(spans.row[mine], spans.start[mine], spans.stop[mine], strict=True)
            for col in range(start, stop)
        ]
        values_here = np.array(places, np.float32).reshape(-1, 5)
        if not np.isfinite(values_here[:, 0]).any():
            continue
        pools = [pooling.pool(each, runs, pooling.POOLS)[0] for each in found]
        assert pools[0].tobytes() == pools[1].tobytes()
        for how, pooled in zip(pooling.POOLS, pools[0], strict=True):
            np.testing.assert_allclose(pooled, naive_pool(values_here, how), rtol=1e-9, atol=1e-6)


def test_large_shapes_are_pooled_piece_by_piece(tmp_path, output, monkeypatch):
    path = write(tmp_path / "a.gpkg", [box(0, 0, WIDTH, HEIGHT)])
    monkeypatch.setattr(spool, "CHUNK", 97)
    monkeypatch.setattr(pooling, "MEDIAN_BYTES", 60_000)  # three dimensions at a time
    made = te.sample(output, path, tmp_path / "t.parquet", pool="mean,std,median")
    read = te.open_embeddings(output).read().reshape(-1, DIM)
    table = geopandas.read_parquet(made.out)
    for how in ("mean", "std", "median"):
        np.testing.assert_allclose(vectors(table, how)[0], naive_pool(read, how), rtol=1e-6)


def test_the_same_table_whatever_is_read_and_written_at_a_time(tmp_path, output, points, monkeypatch):
    shapes = write(tmp_path / "a.gpkg", polygons(np.random.default_rng(2), 9))
    tables = []
    for number, values in enumerate((10, 1000, 10**9)):
        monkeypatch.setattr(base, "BLOCK_VALUES", values)
        monkeypatch.setattr(rows, "VALUES", values)
        for file in (shapes, points):
            made = te.sample(output, file, tmp_path / f"{number}_{file.stem}.parquet")
            tables.append(pyarrow.parquet.read_table(made.out))
    assert tables[0].equals(tables[2])
    assert tables[0].equals(tables[4])
    assert tables[1].equals(tables[3])
    assert tables[1].equals(tables[5])


def test_a_buffer_pools_around_points(tmp_path, output):
    place = (30.5, 20.5)
    path = write(tmp_path / "p.gpkg", [shapely.Point(at(*place))])
    made = te.sample(output, path, tmp_path / "t.parquet", buffer="25m")
    inside, _ = pixels_in(shapely.Point(at(*place)).buffer(25))
    read = te.open_embeddings(output).read()
    values = np.array([read[place] for place in inside])
    found = vectors(geopandas.read_parquet(made.out), "mean")[0]
    np.testing.assert_allclose(found, naive_pool(values, "mean"), rtol=1e-6)
    assert len(inside) > 10
