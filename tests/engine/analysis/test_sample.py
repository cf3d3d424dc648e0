"""Tables of embeddings at shapes: the right pixels for every row, from every format, and reopened by other libraries."""

from __future__ import annotations

import json
import sqlite3

import duckdb
import geopandas
import numpy as np
import pandas
import pyarrow.parquet
import pytest
import shapely
from affine import Affine
from geoparquet import check_geo, check_geoparquet
from hypothesis import given
from hypothesis import strategies as st
from made_up import CRS, ORIGIN, made_up_arrays, write_tile
from naive_shapes import naive_pool
from outputs import made_up_output
from staged import landscape

import tessera_engine as te
from tessera_engine.analysis.sampling import embedding, pooling, rows, spool
from tessera_engine.analysis.sampling.spool import Runs, Spool
from tessera_engine.errors import InputError, SceneWarning, TesseraError
from tessera_engine.files.record import Record
from tessera_engine.formats.embeddings import base
from tessera_engine.places.pixels import PixelSet, spans_of
from tessera_engine.scene import Grid, Window

HEIGHT, WIDTH, DIM = 40, 50, 16
EMBEDDING = landscape(HEIGHT, WIDTH, DIM)
GRID = Grid(WIDTH, HEIGHT, CRS, ORIGIN)


def at(col, row):
    """Coordinates of a place in pixels."""
    return ORIGIN @ (col, row)


def box(col, row, width, height):
    (left, top), (right, bottom) = at(col, row), at(col + width, row + height)
    return shapely.box(left, bottom, right, top)


def write(path, shapes, crs="EPSG:4326", **columns):
    columns = columns or {"id": range(len(shapes))}
    frame = geopandas.GeoDataFrame(columns, geometry=list(shapes), crs=CRS).to_crs(crs)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path)
    return path


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return made_up_output(tmp_path_factory.mktemp("outputs") / "field", EMBEDDING, year=2024)


@pytest.fixture
def points(tmp_path):
    """Twenty points, the last three beside the output or without a shape, one more on a pixel without data."""
    rng = np.random.default_rng(5)
    cols, lines = rng.uniform(15, WIDTH, 20), rng.uniform(10, HEIGHT, 20)
    shapes = [shapely.Point(at(*place)) for place in zip(cols, lines, strict=True)]
    shapes[16], shapes[17], shapes[18] = (
        shapely.Point(at(1, 1)),
        shapely.Point(at(-3, 5)),
        shapely.Point(at(9e4, 5)),
    )
    shapes[19] = None
    return write(tmp_path / "points.gpkg", shapes, id=range(20), crop=list("abcde") * 4)


def vectors(frame, word="embedding"):
    return frame.filter(regex=rf"^{word}_\d+$").to_numpy(np.float32)


def wanted_at(frame, path):
    shapes = frame.geometry.to_crs(CRS)
    found = np.full((len(shapes), te.open_embeddings(path).dim), np.nan, np.float32)
    read = te.open_embeddings(path).read()
    for i, shape in enumerate(shapes):
        if shape is None:
            continue
        col, row = (int(np.floor(n)) for n in ~ORIGIN @ (shape.x, shape.y))
        if 0 <= col < WIDTH and 0 <= row < HEIGHT:
            found[i] = read[row, col]
    return found


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


# Polygons


def polygons(rng, count):
    found = []
    for _ in range(count):
        centre = rng.uniform((-4, -4), (WIDTH + 4, HEIGHT + 4))
        corners = centre + rng.uniform(-9, 9, (6, 2))
        found.append(shapely.convex_hull(shapely.MultiPoint([at(*corner) for corner in corners])))
    return found


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


# Several outputs


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


# Scenes


@pytest.mark.parametrize("stored_as", ["int8", "fp32"])
def test_a_scene_gives_what_its_output_gives(tmp_path, stored_as, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scene = te.open_scene(write_tile(tmp_path / "scene", made_up_arrays(20, 24, 8)), year=2024)
    model = te.load_model("demo", precision=stored_as)
    places = [shapely.Point(at(*place)) for place in ((0.5, 0.5), (3.2, 4.1), (20.9, 15.5))]
    for shapes in ([*places, shapely.Point(at(99, 5))], [box(2, 3, 6, 5), box(15, 2, 20, 3)]):
        path = write(tmp_path / "shapes.gpkg", shapes)
        with pytest.warns(SceneWarning):
            te.embed(scene, model, "dense", overwrite=True)
        with pytest.warns(SceneWarning):
            one = te.sample(scene, path, "scene.parquet", model=model, overwrite=True)
        two = te.sample("dense", path, "output.parquet", overwrite=True)
        assert (one.rows, one.empty) == (two.rows, two.empty)
        assert pyarrow.parquet.read_table(one.out).equals(pyarrow.parquet.read_table(two.out))
    left = {entry.name for entry in tmp_path.iterdir()}
    assert left == {"scene", "shapes.gpkg", "dense", "scene.parquet", "output.parquet"}


class Stopped(BaseException):
    """What ends a process at once."""


def stop(*arguments):
    raise Stopped


@pytest.mark.filterwarnings("ignore::tessera_engine.errors.SceneWarning")
@pytest.mark.parametrize("stored_as", ["int8", "fp32"])
def test_an_interrupted_table_of_a_scene_is_finished_by_the_same_command(tmp_path, stored_as, monkeypatch):
    arrays = made_up_arrays(20, 24, 8)
    scene = te.open_scene(write_tile(tmp_path / "scene", arrays), year=2024)
    model = te.load_model("demo", precision=stored_as)
    path = write(tmp_path / "shapes.gpkg", [box(2, 3, 6, 5), box(10, 2, 20, 3), box(3, 10, 20, 8)])
    whole = te.sample(scene, path, tmp_path / "whole.parquet", model=model)
    monkeypatch.setattr(embedding.Demand, "window_pixels", lambda self, memory: 64)
    out, computed, plain = tmp_path / "t.parquet", [], Spool.write

    def stop_after(count):
        def write(self, window, *values):
            if len(computed) == count:
                raise Stopped
            computed.append(window)
            plain(self, window, *values)

        monkeypatch.setattr(Spool, "write", write)

    def again(**options):
        announced = []
        made = te.sample(scene, path, out, model=model, announce=announced.append, **options)
        return made, " ".join(announced)

    stop_after(2)
    with pytest.raises(Stopped):
        again()
    assert not out.exists()
    with pytest.raises(InputError, match=r"differs in options .*pool.*std"):
        again(pool="std")
    with pytest.raises(InputError, match=r"t\.parquet\.partial"):
        te.sample(made_up_output(tmp_path / "other", EMBEDDING), path, out)
    # A finished window that is damaged is computed again
    (spool,) = (each for each in (tmp_path / "t.parquet.partial" / "staging").iterdir() if each.suffix == "")
    first = computed[0]
    with spool.open("r+b") as file:
        file.write(b"\x01\x02\x03")
    computed.clear()
    stop_after(-1)
    made, announced = again()
    assert "damaged" in announced
    assert "resuming an interrupted run" in announced
    assert first in computed
    total = len(computed) + 1
    assert total > 3
    assert pyarrow.parquet.read_table(out).equals(pyarrow.parquet.read_table(whole.out))
    assert (made.rows, made.empty, made.columns) == (whole.rows, whole.empty, whole.columns)
    assert not (tmp_path / "t.parquet.partial").exists()
    # After a kill that left the record of the published table, nothing is computed again
    out.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Record, "last", stop)
        with pytest.raises(Stopped):
            again()
    computed.clear()
    made, _ = again()
    assert not computed
    assert (made.rows, made.empty, made.columns) == (whole.rows, whole.empty, whole.columns)
    assert pyarrow.parquet.read_table(out).equals(pyarrow.parquet.read_table(whole.out))
    assert not (tmp_path / "t.parquet.partial").exists()
    # What changed meanwhile is noticed
    computed.clear()
    stop_after(2)
    with pytest.raises(Stopped):
        again(overwrite=True)
    arrays["bands"][:] += 1
    changed = te.open_scene(write_tile(tmp_path / "changed", arrays), year=2024)
    with pytest.raises(InputError, match="differs in sources"):
        te.sample(changed, path, out, model=model, overwrite=True)
    assert pyarrow.parquet.read_table(out).equals(pyarrow.parquet.read_table(whole.out))


# Files


def test_geoparquet_says_what_it_is(tmp_path, output, points):
    made = te.sample(output, points, tmp_path / "t.parquet")
    metadata = pyarrow.parquet.read_schema(made.out).metadata
    geo = check_geoparquet(made.out)
    column = geo["columns"][geo["primary_column"]]
    assert column["geometry_types"] == ["Point"]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 4326}
    about = json.loads(metadata[b"tessera"])
    assert (about["model"], about["model_sha256"], about["dim"]) == ("nano", "a" * 64, DIM)
    assert (about["years"], about["sources"]) == ([2024], ["field"])
    found = duckdb.sql(f"select count(*), max(embedding_{DIM:03d}), min(year) from '{made.out}'").fetchall()[
        0
    ]
    table = geopandas.read_parquet(made.out)
    assert found == (20, pytest.approx(np.nanmax(vectors(table)[:, -1])), 2024)


def test_every_kind_of_geometry_is_valid_geoparquet(tmp_path, output):
    x, y = ORIGIN @ (10, 10)
    square = shapely.box(x, y - 40, x + 40, y)
    shapes = [
        square,
        shapely.Point(x, y, 12.0),
        shapely.MultiPolygon([square, shapely.box(x + 60, y - 20, x + 80, y)]),
        shapely.LineString([(x, y), (x + 30, y)]),
        shapely.GeometryCollection([square, shapely.Point(x, y)]),
        None,
    ]
    frame = geopandas.GeoDataFrame({"plot": range(len(shapes))}, geometry=shapes, crs=CRS)
    frame.to_parquet(tmp_path / "p.parquet")
    geo = check_geoparquet(te.sample(output, tmp_path / "p.parquet", tmp_path / "t.parquet").out)
    assert set(geo["columns"]["geometry"]["geometry_types"]) == {
        "Polygon", "Point Z", "MultiPolygon", "LineString", "GeometryCollection"
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": "1.0.0"},
        {"primary_column": "other"},
        {"columns": {"geometry": {"encoding": "WKB"}}},
        {"columns": {"geometry": {"encoding": "WKT", "geometry_types": []}}},
        {"columns": {"geometry": {"encoding": "WKB", "geometry_types": ["LinearRing"]}}},
        {"columns": {"geometry": {"encoding": "WKB", "geometry_types": [], "bbox": [1, 2, 3]}}},
        {"columns": {"geometry": {"encoding": "WKB", "geometry_types": [], "crs": {"name": "x"}}}},
    ],
)
def test_what_geoparquet_does_not_allow_is_found(wrong):
    right = {"version": "1.1.0", "primary_column": "geometry"}
    right["columns"] = {"geometry": {"encoding": "WKB", "geometry_types": ["Point"], "bbox": [1, 2, 3, 4]}}
    check_geo(right)
    with pytest.raises((AssertionError, KeyError)):
        check_geo(right | wrong)


@pytest.mark.parametrize("ending", ["gpkg", "csv"])
def test_other_tables_hold_the_same(tmp_path, output, points, ending):
    wanted = geopandas.read_parquet(te.sample(output, points, tmp_path / "t.parquet").out)
    made = te.sample(output, points, tmp_path / f"t.{ending}")
    if ending == "gpkg":
        found = geopandas.read_file(made.out)
        assert found.crs == wanted.crs
        assert list(found.geometry[:19]) == list(wanted.geometry[:19])
        with sqlite3.connect(made.out) as base:
            texts = [text for (text,) in base.execute("select metadata from gpkg_metadata")]
        assert any("a" * 64 in text for text in texts)
    else:
        found = pandas.read_csv(made.out)
        assert set(found["model_sha256"]) == {"a" * 64}
        assert shapely.from_wkt(found["geometry"][0]) == wanted.geometry[0]
    np.testing.assert_allclose(vectors(found), vectors(wanted), rtol=1e-6)
    for column in ("id", "crop", "year", "pixels", "nodata"):
        assert list(found[column]) == list(wanted[column])


def test_names_that_the_user_has_already_are_kept_and_ours_say_so(tmp_path, output):
    shapes = [shapely.Point(at(20, 20))]
    columns = {"Year": [1999], "embedding_001": ["x"], "geom": [7], "fid": [12], "pixels": [3]}
    path = write(tmp_path / "p.parquet", shapes, **columns)
    for ending in ("parquet", "gpkg"):
        made = te.sample(output, path, tmp_path / f"t.{ending}")
        table = geopandas.read_parquet(made.out) if ending == "parquet" else geopandas.read_file(made.out)
        for name, values in columns.items():
            assert list(table[name]) == values
        assert list(table["tessera_year"]) == [2024]
        assert np.isfinite(table["tessera_embedding_001"][0])
        assert any("'tessera_year'" in note for note in made.notes)


def test_lists_and_categories_of_the_user(tmp_path, output):
    frame = geopandas.GeoDataFrame(
        {"tags": [["a", "b"], None], "kind": pandas.Categorical(["x", "y"])},
        geometry=[shapely.Point(at(20, 20)), shapely.Point(at(21, 20))],
        crs=CRS,
    )
    frame.to_parquet(tmp_path / "p.parquet")
    for ending in ("parquet", "gpkg", "csv"):
        made = te.sample(output, tmp_path / "p.parquet", tmp_path / f"t.{ending}")
        read = {"parquet": geopandas.read_parquet, "gpkg": geopandas.read_file, "csv": pandas.read_csv}[
            ending
        ]
        table = read(made.out)
        assert json.loads(table["tags"][0]) == ["a", "b"]
        assert list(table["kind"]) == ["x", "y"]


# Mistakes


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"out": "t.xlsx"}, ("t.xlsx", ".parquet, .csv, .gpkg")),
        ({"out": "no_ending"}, ("no_ending", ".parquet")),
        ({"shapes": "gone.csv"}, ("no such file", "gone.csv")),
        ({"shapes": "empty.csv"}, ("empty.csv",)),
        ({"shapes": "utm.csv"}, ("utm.csv has no CRS", "shapes_crs=")),
        ({"shapes": "swapped.csv"}, ("swapped",)),
        ({"shapes": "far.csv"}, ("no shape of far.csv", "x 10 to 10", "the scene at")),
        ({"shapes": "utm.csv", "shapes_crs": "EPSG:99999999"}, ("shapes_crs=EPSG:99999999",)),
        ({"sources": "nowhere"}, ("nowhere",)),
        ({"sources": []}, ("sources=",)),
        ({"pool": "average"}, ("pool=average", "mean, std, median")),
        ({"id": "plott"}, ("no column 'plott'", "did you mean 'plot'")),
        ({"id": "plot"}, ("several rows with the same value (a)", "id=plot")),
        ({"buffer": "wide"}, ("buffer=wide",)),
        ({"dim": 48}, ("dim=48",)),
        ({"year": 1999}, ("1999",)),
        ({"poool": "mean"}, ("did you mean 'pool'",)),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path, output, monkeypatch, change, facts):
    monkeypatch.chdir(tmp_path)
    good = geopandas.GeoSeries([shapely.Point(at(20, 20))], crs=CRS).to_crs(4326)[0]
    tmp_path.joinpath("good.csv").write_text(f"plot,lon,lat\na,{good.x},{good.y}\na,{good.x},{good.y}\n")
    tmp_path.joinpath("empty.csv").write_text("")
    tmp_path.joinpath("utm.csv").write_text("x,y\n500200,5599800\n")
    tmp_path.joinpath("swapped.csv").write_text(f"lon,lat\n{good.y},{good.x}\n")
    tmp_path.joinpath("far.csv").write_text("lon,lat\n10,10\n")
    before = {entry.name for entry in tmp_path.iterdir()}
    given = {"sources": output, "shapes": "good.csv", "out": "t.csv"} | change
    with pytest.raises(InputError) as error:
        te.sample(given.pop("sources"), given.pop("shapes"), given.pop("out"), **given)
    for fact in facts:
        assert fact in str(error.value)
    assert "\n" not in str(error.value)
    assert {entry.name for entry in tmp_path.iterdir()} == before


def test_ids_that_repeat_are_said_and_kept(tmp_path, output):
    path = write(tmp_path / "p.gpkg", [shapely.Point(at(20, 20))] * 3, id=[7, 8, 7])
    made = te.sample(output, path, tmp_path / "t.csv")
    assert made.rows == 3
    assert any("(7)" in note and note.startswith("warning: ") for note in made.notes)


def test_an_existing_table_is_replaced_only_when_asked(tmp_path, output, points):
    out = tmp_path / "t.csv"
    out.write_text("mine")
    with pytest.raises(InputError, match=r"t\.csv exists already.*overwrite"):
        te.sample(output, points, out)
    assert out.read_text() == "mine"
    te.sample(output, points, out, overwrite=True)
    assert len(pandas.read_csv(out)) == 20
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        te.sample(output, points, tmp_path / "folder.csv", overwrite=True)


def test_a_table_that_can_not_be_written_leaves_nothing(tmp_path, output, points, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="can't write"):
        te.sample(output, points, file / "t.csv")

    def full(self):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr(rows.Rows, "batches", full)
    for ending in ("csv", "gpkg", "parquet"):
        with pytest.raises((TesseraError, OSError)):
            te.sample(output, points, tmp_path / f"t.{ending}")
    assert {entry.name for entry in tmp_path.iterdir()} == {"points.gpkg", "file"}


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
