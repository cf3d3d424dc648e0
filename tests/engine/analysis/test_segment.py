"""Segments: fields are found where they are, cover the data once, and don't depend on how they were read."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pyogrio
import pytest
import shapely
from geoparquet import check_fiboa
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import CRS, ORIGIN
from outputs import made_up_output
from rasterio.features import rasterize

from tessera_engine import open_embeddings, segment
from tessera_engine.analysis.segments.find import find_segments, mean_vectors
from tessera_engine.analysis.segments.groups import groups_of
from tessera_engine.analysis.segments.make import outlines
from tessera_engine.errors import CheckFailed, InputError
from tessera_engine.scene import Grid

HEIGHT, WIDTH, DIM = 60, 80, 16


def fields(seed=1):
    """(embedding, number of the field): a chessboard of fields of 20 pixels, and a hole without data."""
    rng = np.random.default_rng(seed)
    number = (np.arange(HEIGHT)[:, None] // 20) * 4 + np.arange(WIDTH)[None] // 20
    embedding = rng.normal(size=(12, DIM))[number] * 3 + rng.normal(size=(HEIGHT, WIDTH, DIM)) * 0.05
    embedding[5:9, 25:35] = np.nan
    return embedding.astype(np.float32), number


EMBEDDING, NUMBER = fields()


@pytest.fixture(scope="module", params=["cog int8", "cog float32", "npy int8"])
def output(request, tmp_path_factory):
    format, store = request.param.split()
    made = made_up_output(tmp_path_factory.mktemp("o") / "a", EMBEDDING, format, store, year=2024)
    return open_embeddings(made)


def test_fields_are_found(output, tmp_path):
    found = segment(output, tmp_path / "f.parquet", scale=1000, progress=False)
    table = pyarrow.parquet.read_table(found.out)
    assert found.count == table.num_rows == 12
    shapes = shapely.from_wkb(table["geometry"].to_numpy())
    data = np.isfinite(EMBEDDING[..., 0])
    burnt = rasterize(
        zip(shapes, range(1, 13), strict=True), (HEIGHT, WIDTH), transform=output.grid.transform
    )
    np.testing.assert_array_equal(burnt > 0, data)
    # In the order of their first pixels, which is that of the fields
    np.testing.assert_array_equal(burnt[data] - 1, NUMBER[data])
    pixels = np.bincount(NUMBER[data])
    np.testing.assert_allclose(table["hectares"].to_numpy(), pixels * 0.01)
    np.testing.assert_allclose(table["metrics:area"].to_numpy(), shapely.area(shapes))
    np.testing.assert_allclose(table["metrics:perimeter"].to_numpy(), shapely.length(shapes))
    assert found.hectares == pytest.approx((data.sum() * 0.01, np.median(pixels) * 0.01))
    stored = output.read()
    for number in range(12):
        vector = [table[f"mean_{k + 1:03d}"][number].as_py() for k in range(DIM)]
        np.testing.assert_allclose(
            vector, stored[(number == NUMBER) & data].mean(axis=0), rtol=1e-4, atol=1e-5
        )


def test_the_parquet_file_has_what_fiboa_asks_for(output, tmp_path):
    found = segment(output, tmp_path / "f.parquet", scale=1000, progress=False)
    check_fiboa(found.out)
    metadata = pyarrow.parquet.read_schema(found.out).metadata
    geo = json.loads(metadata[b"geo"])
    assert geo["columns"]["geometry"]["crs"]["id"] == {"authority": "EPSG", "code": int(CRS[5:])}
    assert geo["columns"]["geometry"]["geometry_types"] == ["Polygon"]
    assert json.loads(metadata[b"tessera"])["model_sha256"] == "a" * 64
    table = pyarrow.parquet.read_table(found.out)
    assert set(table["determination:method"].to_pylist()) == {"auto-imagery"}
    assert table["determination:datetime"][0].as_py().date().isoformat() == "2024-11-30"
    assert "scale 1000" in table["determination:details"][0].as_py()


@pytest.mark.parametrize("moment", ["soon", "0001-01-01T00:00:00+02:00"])
def test_an_item_whose_end_is_no_time_is_named(output, tmp_path, moment):
    item = json.loads((output.path / "item.json").read_text())
    item["properties"]["end_datetime"] = moment
    changed = shutil.copytree(output.path, tmp_path / "changed")
    (changed / "item.json").write_text(json.dumps(item))
    with pytest.raises(CheckFailed, match="end_datetime") as error:
        segment(changed, tmp_path / "f.parquet", scale=1000, progress=False)
    assert moment in str(error.value)
    assert list(tmp_path.iterdir()) == [changed]


@pytest.mark.parametrize(
    "change",
    [
        {"metrics:area": pyarrow.array([0.0], pyarrow.float32())},
        {"metrics:perimeter": pyarrow.array([1.0], pyarrow.float64())},
        {"determination:method": pyarrow.array(["guessed"])},
        {"id": pyarrow.array([""])},
    ],
)
def test_what_fiboa_does_not_allow_is_found(tmp_path, change):
    path = segment(
        made_up_output(tmp_path / "a", EMBEDDING[:12, :12]), tmp_path / "f.parquet", progress=False
    ).out
    table = pyarrow.parquet.read_table(path)
    check_fiboa(path)
    assert "determination:datetime" not in table.column_names  # the year isn't known
    for name, values in change.items():
        at = table.column_names.index(name)
        table = table.slice(0, 1).set_column(at, name, values)
    pyarrow.parquet.write_table(table, path)
    with pytest.raises(AssertionError):
        check_fiboa(path)


def test_a_geopackage_has_the_same(output, tmp_path):
    parquet = pyarrow.parquet.read_table(
        segment(output, tmp_path / "f.parquet", scale=1000, progress=False).out
    )
    out = segment(output, tmp_path / "g.gpkg", scale=1000, progress=False).out
    information = pyogrio.read_info(out)
    assert (information["crs"], information["features"], information["geometry_type"]) == (CRS, 12, "Polygon")
    _, _, geometry, columns = pyogrio.raw.read(out)
    values = dict(zip(information["fields"], columns, strict=True))
    assert geometry.tolist() == parquet["geometry"].to_pylist()
    np.testing.assert_array_equal(values["mean_003"], parquet["mean_003"].to_numpy())
    np.testing.assert_array_equal(values["metrics_area"], parquet["metrics:area"].to_numpy())


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([1, 4, 8, 16]), st.integers(1, 1200), st.integers(1, 12))
def test_the_result_does_not_depend_on_the_windows(tmp_path_factory, seed, tile, pixels, least):
    embedding = fields(seed)[0][:35, :30, :8]
    embedding += np.random.default_rng(seed).normal(size=embedding.shape).astype(np.float32)
    opened = open_embeddings(made_up_output(tmp_path_factory.mktemp("o") / "a", embedding, "npy"))
    whole = find_segments(opened, 10**9, 60.0, least)
    tiled = replace(opened, source=replace(opened.source, block=tile))
    part = find_segments(tiled, pixels * 8, 60.0, least)
    np.testing.assert_array_equal(whole, part)
    [every] = groups_of(whole, 10**6)
    groups = groups_of(part, least)
    assert [group.first for group in groups] == list(range(0, every.count, least))
    parts = [
        (*mean_vectors(tiled, part, group, pixels * 8), outlines(part, group, opened.grid))
        for group in groups
    ]
    expected = (*mean_vectors(opened, whole, every, 10**9), outlines(whole, every, opened.grid))
    for found, once in zip(map(np.concatenate, zip(*parts, strict=True)), expected, strict=True):
        np.testing.assert_array_equal(found, once)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.integers(2, 30))
def test_small_segments_join_others_where_there_are_any(tmp_path_factory, seed, least):
    rng = np.random.default_rng(seed)
    embedding = rng.normal(size=(20, 20, 4)).astype(np.float32)
    embedding[rng.random((20, 20)) < 0.2] = np.nan
    opened = open_embeddings(made_up_output(tmp_path_factory.mktemp("o") / "a", embedding, "npy"))
    labels = find_segments(opened, 10**6, 5.0, least)
    valid = np.isfinite(opened.read()[..., 0])
    np.testing.assert_array_equal(labels >= 0, valid)
    for label in np.unique(labels[valid]):
        here = labels == label
        around = np.zeros_like(here)
        around[1:] |= here[:-1]
        around[:-1] |= here[1:]
        around[:, 1:] |= here[:, :-1]
        around[:, :-1] |= here[:, 1:]
        alone = not (around & valid & ~here).any()
        assert here.sum() >= least or alone


@pytest.mark.parametrize("ending", ["parquet", "gpkg"])
def test_more_segments_than_fit_the_memory_give_the_same_file(output, tmp_path, monkeypatch, ending):
    """Each segment of 16 dimensions takes 1,948 bytes; all that is left of the memory holds a part of them."""
    options = {"scale": 0.01, "min_area": 0.01, "progress": False}
    monkeypatch.setattr("tessera_engine.analysis.segments.files.BATCH", 100)
    monkeypatch.setattr("tessera_engine.analysis.segments.make.BATCH", 100)
    whole = segment(output, tmp_path / f"w.{ending}", **options)
    taken = []

    def counted(labels, most):
        taken.append(most)
        return groups_of(labels, most)

    monkeypatch.setattr("tessera_engine.analysis.segments.make.groups_of", counted)
    # The strip takes what it can use, and half a megabyte is left for segments
    needed = (
        290_000_000 + HEIGHT * WIDTH * (24 + DIM * (output.bytes_per_value + 16)) + (HEIGHT + WIDTH) * DIM * 4
    )
    part = segment(output, tmp_path / "p" / f"w.{ending}", memory=needed + 500_000, **options)
    assert taken == [200]
    assert part.count == whole.count > 1000
    assert part.hectares == whole.hectares
    if ending == "parquet":
        assert part.out.read_bytes() == whole.out.read_bytes()
    else:
        for one, other in zip(pyogrio.raw.read(part.out)[2:], pyogrio.raw.read(whole.out)[2:], strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_outlines_have_holes():
    labels = np.zeros((5, 5), np.int32)
    labels[2, 2] = 1
    [group] = groups_of(labels, 10)
    outer, inner = outlines(labels, group, Grid(5, 5, CRS, ORIGIN))
    assert len(outer.interiors) == 1
    assert (outer.area, inner.area) == (2400, 100)


def test_what_cannot_be_segmented_is_refused(tmp_path):
    output = made_up_output(tmp_path / "a", EMBEDDING[:12, :12])
    with pytest.raises(InputError, match=r"\.parquet.*\.gpkg"):
        segment(output, tmp_path / "fields.shp")
    with pytest.raises(InputError, match="scale=-1"):
        segment(output, tmp_path / "f.gpkg", scale=-1)
    with pytest.raises(InputError, match="min_area=-1"):
        segment(output, tmp_path / "f.gpkg", min_area=-1)
    with pytest.raises(InputError, match="memory=200MB"):
        segment(output, tmp_path / "f.gpkg", memory="200MB")
    (tmp_path / "there.gpkg").write_text("mine")
    with pytest.raises(InputError, match=r"there\.gpkg.*overwrite=True"):
        segment(output, tmp_path / "there.gpkg")
    assert (tmp_path / "there.gpkg").read_text() == "mine"
    degrees = Grid(12, 12, "EPSG:4326", ORIGIN.identity().scale(1e-4, -1e-4))
    with pytest.raises(InputError, match=r"EPSG:4326.*metres"):
        segment(made_up_output(tmp_path / "b", EMBEDDING[:12, :12], grid=degrees), tmp_path / "f.gpkg")
    nothing = np.full((8, 8, 16), np.nan, np.float32)
    with pytest.raises(InputError, match="no pixel with data"):
        segment(made_up_output(tmp_path / "c", nothing), tmp_path / "f.gpkg")
    assert not (tmp_path / "f.gpkg").exists()
