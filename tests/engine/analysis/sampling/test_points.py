"""Tables of embeddings at points: the right pixels for every row, from every format, year and zone."""

from __future__ import annotations

import json

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from made_up import CRS, ORIGIN
from outputs import made_up_output
from sampled import DIM, EMBEDDING, GRID, HEIGHT, WIDTH, box, vectors, wanted_at, write
from staged import landscape

import tessera_engine as te
from tessera_engine.errors import InputError
from tessera_engine.scene import Grid, Window


@pytest.mark.parametrize("format", ["cog", "npy", "zarr"])
@pytest.mark.parametrize("stored_as", ["int8", "float32"])
def test_points_have_the_vector_of_their_pixel_from_every_format(tmp_path, points, format, stored_as):
    if (format, stored_as) == ("zarr", "float32"):
        pytest.skip("zarr holds int8 only")
    path = tmp_path / "field"
    if format == "zarr":
        te.convert(made_up_output(tmp_path / "cog", EMBEDDING, "cog", stored_as), path, "zarr", year=2024)
    else:
        made_up_output(path, EMBEDDING, format, stored_as)
    made = te.sample(path, points, tmp_path / "table.parquet")
    table = geopandas.read_parquet(made.out)
    np.testing.assert_array_equal(vectors(table), wanted_at(table, path))
    assert list(table["id"]) == list(range(20))
    assert list(table["crop"]) == list("abcde") * 4
    assert (made.rows, made.empty) == (20, 4)
    assert list(table["pixels"]) == [1] * 16 + [0] * 4
    assert list(table["nodata"]) == [0.0] * 16 + [1.0] * 4
    counts = te.open_embeddings(path).read_observations(GRID.window)
    for shape, s2, s1 in zip(
        table.geometry.to_crs(CRS)[:16], table["s2_observations"], table["s1_observations"], strict=False
    ):
        col, row = (int(np.floor(n)) for n in ~ORIGIN @ (shape.x, shape.y))
        assert (s2, s1) == tuple(counts[row, col])
    (warning,) = made.notes
    for fact in (
        "4 of 20",
        "2 shapes beside the scene",
        "1 pixel without an embedding",
        "1 shape without a geometry",
    ):
        assert fact in warning


def test_a_tree_of_geotessera(tmp_path, v1_1_outputs):
    cog, tree = v1_1_outputs
    grid = te.open_embeddings(tree).grid
    places = [grid.transform @ (col + 0.5, row + 0.5) for col, row in ((4, 4), (11, 9), (20, 15))]
    frame = geopandas.GeoDataFrame(geometry=[shapely.Point(place) for place in places], crs=grid.crs)
    frame.to_file(tmp_path / "p.gpkg")
    for path in (cog, tree):
        made = te.sample(path, tmp_path / "p.gpkg", tmp_path / f"{path.name}.parquet")
        table, opened = geopandas.read_parquet(made.out), te.open_embeddings(path)
        wgs84 = frame.to_crs(4326).geometry
        np.testing.assert_array_equal(vectors(table), opened.points(wgs84.x, wgs84.y))


def test_years_zones_and_overlaps(tmp_path, points):
    whole = made_up_output(tmp_path / "y2023", EMBEDDING, year=2023)
    # The same place in 2024, in two outputs that overlap; and one far away
    other = landscape(HEIGHT, WIDTH, DIM, seed=4)
    left = made_up_output(
        tmp_path / "left", np.ascontiguousarray(other[:, :30]), year=2024, grid=Grid(30, HEIGHT, CRS, ORIGIN)
    )
    moved = Grid(30, HEIGHT, CRS, ORIGIN @ Affine.translation(20, 0))
    right = made_up_output(tmp_path / "right", np.ascontiguousarray(other[:, 20:]), year=2024, grid=moved)
    far = Grid(30, HEIGHT, "EPSG:32632", ORIGIN)
    zone = made_up_output(tmp_path / "zone", np.ascontiguousarray(other[:, :30]), year=2024, grid=far)
    made = te.sample([whole, left, right, zone], points, tmp_path / "t.parquet")
    table = geopandas.read_parquet(made.out)
    assert list(table["year"]) == [2023] * 20 + [2024] * 20
    assert list(table["id"]) == list(range(20)) * 2
    first = table[table["year"] == 2023]
    np.testing.assert_array_equal(vectors(first), wanted_at(first, whole))
    second = table[table["year"] == 2024].reset_index(drop=True)
    for i, shape in enumerate(second.geometry.to_crs(CRS)[:17]):
        col, row = (int(np.floor(n)) for n in ~ORIGIN @ (shape.x, shape.y))
        name = "left" if col < 30 else "right"
        path, start = (left, 0) if col < 30 else (right, 20)
        expected = te.open_embeddings(path).read(Window(col - start, row, 1, 1))[0, 0]
        if np.isnan(expected[0]) and 20 <= col < 30:
            continue
        np.testing.assert_array_equal(vectors(second)[i], expected)
        assert second["source"].fillna("")[i] == (name if np.isfinite(expected[0]) else "")


def test_a_shape_across_outputs_is_read_where_most_of_its_pixels_are(tmp_path):
    flat = np.ones((10, 10, DIM), np.float32)
    for name, col in (("a", 0), ("b", 10)):
        grid = Grid(10, 10, CRS, ORIGIN @ Affine.translation(col, 0))
        made_up_output(tmp_path / name, flat * (col + 1), grid=grid, year=2024, stored_as="float32")
    path = write(tmp_path / "p.gpkg", [box(7, 2, 10, 2), box(2, 2, 10, 2), box(5, 5, 10, 2)], CRS)
    table = geopandas.read_parquet(
        te.sample([tmp_path / "a", tmp_path / "b"], path, tmp_path / "t.parquet").out
    )
    assert list(table["source"]) == ["b", "a", "a"]
    assert list(table["mean_001"]) == [11, 1, 1]
    np.testing.assert_allclose(table["nodata"], [0.3, 0.2, 0.5])


def test_all_years_of_a_store_or_one(tmp_path, points):
    store = tmp_path / "store"
    for year in (2022, 2023):
        cog = made_up_output(tmp_path / str(year), landscape(HEIGHT, WIDTH, DIM, seed=year), year=year)
        te.convert(cog, store, "zarr", append=store.exists())
    both = geopandas.read_parquet(te.sample(store, points, tmp_path / "both.parquet").out)
    assert list(both["year"]) == [2022] * 20 + [2023] * 20
    for year in (2022, 2023):
        part = both[both["year"] == year].reset_index(drop=True)
        np.testing.assert_array_equal(vectors(part), wanted_at(part, tmp_path / str(year)))
    one = geopandas.read_parquet(te.sample(store, points, tmp_path / "one.parquet", year=2023).out)
    assert vectors(one).tobytes() == vectors(both)[20:].tobytes()


def test_other_models_are_refused(tmp_path, output, points):
    other = made_up_output(tmp_path / "other", EMBEDDING, model_sha256="b" * 64)
    with pytest.raises(InputError, match="can't be compared"):
        te.sample([output, other], points, tmp_path / "t.parquet")


def test_the_command(run, tmp_path, output, points):
    code, out, err = run("sample", output, points, "-o", "t.csv", "--json")
    assert code == 0
    facts = json.loads(out)
    assert (facts["rows"], facts["empty"]) == (20, 4)
    assert "4 of 20 rows" in err
    code, out, err = run("sample", output, points, "-o", "t.csv")
    assert (code, out) == (2, "")
    assert "--overwrite" in err
    assert len(err.strip().splitlines()) == 1
    code, out, err = run("sample", output, points, "-o", "u.gpkg", "--pool", "mean,median", "--quiet")
    assert (code, out.strip()) == (0, "u.gpkg")
    assert {"mean_016", "median_001"} <= set(geopandas.read_file(tmp_path / "u.gpkg").columns)
