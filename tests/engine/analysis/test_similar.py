"""Similarity maps: what is like a point is found, on every format, and the regions are where the map says."""

from __future__ import annotations

import json

import numpy as np
import pystac
import pytest
import rasterio
from made_up import CRS, ORIGIN
from outputs import made_up_output
from rasterio.features import rasterize
from rasterio.warp import transform, transform_geom
from rio_cogeo import cog_validate
from staged import landscape

from tessera_engine import open_embeddings
from tessera_engine.analysis.similar import similar, similarity
from tessera_engine.errors import InputError
from tessera_engine.files.output import is_output


def world(height=60, width=80, dim=32):
    """Two fields that are alike in a landscape of another direction."""
    embedding = landscape(height, width, dim)
    field = np.random.default_rng(5).normal(size=dim) * 3
    for rows, cols in ((slice(20, 30), slice(30, 50)), (slice(45, 50), slice(60, 70))):
        noise = np.random.default_rng(6).normal(size=(rows.stop - rows.start, cols.stop - cols.start, dim))
        embedding[rows, cols] = field + 0.05 * noise
    embedding[5:, :20] = landscape(height, width, dim, seed=3)[5:, :20]
    return embedding.astype(np.float32)


EMBEDDING = world()
HEIGHT, WIDTH, _ = EMBEDDING.shape


def degrees(col, row):
    x, y = ORIGIN @ (col + 0.5, row + 0.5)
    (lon,), (lat,) = transform(CRS, "EPSG:4326", [x], [y])
    return lon, lat


@pytest.fixture(scope="module", params=["cog int8", "npy int8", "cog float32"])
def output(request, tmp_path_factory):
    format, store = request.param.split()
    return open_embeddings(made_up_output(tmp_path_factory.mktemp("o") / "a", EMBEDDING, format, store))


def numpy_cosine(embedding, *pixels):
    queries = np.stack([embedding[row, col] for col, row in pixels]).astype(np.float64)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    wide = embedding.astype(np.float64)
    return (wide @ queries.T).max(axis=2) / np.linalg.norm(wide, axis=2)


def test_it_is_the_cosine_to_the_most_similar_point(output):
    pixels = [(35, 25), (5, 40)]
    found = similarity(output, [degrees(*pixel) for pixel in pixels])
    expected = numpy_cosine(output.read(), *pixels)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[25, 35] == pytest.approx(1, abs=1e-6)
    one = open_embeddings(output.path, 16)
    np.testing.assert_allclose(
        similarity(one, [degrees(35, 25)]), numpy_cosine(one.read(), (35, 25)), atol=1e-6
    )


def test_the_map_and_the_regions_are_written(output, tmp_path):
    share = (10 * 20 + 5 * 10) / np.isfinite(EMBEDDING[..., 0]).sum()
    done = similar(output, [degrees(35, 25)], tmp_path / "out", top=share * 1.0001)
    assert cog_validate(tmp_path / "out" / "similarity.tif")[0]
    with rasterio.open(tmp_path / "out" / "similarity.tif") as file:
        assert (file.crs.to_string(), file.transform, file.dtypes) == (CRS, ORIGIN, ("float32",))
        assert np.isnan(file.nodata)
        values = file.read(1)
    np.testing.assert_array_equal(values, similarity(output, [degrees(35, 25)]))
    features = json.loads((tmp_path / "out" / "regions.geojson").read_text())["features"]
    valid = np.isfinite(EMBEDDING[20:30, 30:50, 0]).sum(), np.isfinite(EMBEDDING[45:50, 60:70, 0]).sum()
    assert [feature["properties"]["pixels"] for feature in features][:1] == [valid[0]]
    assert done.regions == [feature["properties"] for feature in features]
    covered = [(transform_geom("EPSG:4326", CRS, feature["geometry"]), 1) for feature in features]
    inside = rasterize(covered, (HEIGHT, WIDTH), transform=ORIGIN) > 0
    np.testing.assert_array_equal(inside, values >= done.threshold)
    largest = features[0]["properties"]
    assert largest["hectares"] == pytest.approx(valid[0] / 100)
    assert largest["max_similarity"] == pytest.approx(1, abs=1e-6)
    col, row = output.pixels_at(largest["lon"], largest["lat"])
    assert values[row[0], col[0]] == pytest.approx(1, abs=1e-6)
    assert is_output(tmp_path / "out")
    item = pystac.Item.from_file(str(tmp_path / "out" / "item.json"))
    assert item.properties["tessera:model_sha256"] == "a" * 64


def test_points_without_an_embedding_are_refused(output, tmp_path):
    for point, message in (
        (degrees(0, 0), "without data"),
        ((100.0, 10.0), "100.0 10.0.*outside of.*covers"),
        (degrees(35, 25)[::-1], "swapped.*covers"),
    ):
        with pytest.raises(InputError, match=message):
            similar(output, [point], tmp_path / "out")
    with pytest.raises(InputError, match=r"top=1\.5"):
        similar(output, [degrees(35, 25)], tmp_path / "out", top=1.5)
    assert list(tmp_path.iterdir()) == []


def test_a_map_holds_no_embeddings(output, tmp_path):
    similar(output, [degrees(35, 25)], tmp_path / "out")
    with pytest.raises(InputError, match=r"\(similar\), not embeddings"):
        open_embeddings(tmp_path / "out")


@pytest.mark.parametrize(
    ("at", "options", "facts"),
    [
        ("3.1 50.5", {}, "at='3.1 50.5'.*longitude, latitude"),
        ([], {}, "at=.*longitude, latitude"),
        ([(3.1, 50.5, 7)], {}, r"at=\[3.1, 50.5, 7\]"),
        ([(3.1, "north")], {}, r"at=\[3.1, 'north'\]"),
        ((3.1, 50.5), {"top": "1 %"}, "top='1 %'"),
        ((3.1, 50.5), {"tops": 0.1}, "'tops'.*'top'"),
        ((3.1, 50.5), {"dim": 16}, "dim=16.*open_embeddings"),
        ((3.1, 50.5), {"out": 7}, "out=7"),
        ((3.1, 50.5), {"overwrite": "yes"}, "overwrite='yes'"),
    ],
)
def test_an_argument_of_a_wrong_type_is_one_line(output, at, options, facts):
    with pytest.raises(InputError, match=facts) as error:
        similar(output, at, **options)
    assert len(str(error.value).splitlines()) == 1


def test_a_folder_and_one_point_are_enough(output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = similar(output.path, degrees(35, 25), dim=16)
    assert str(found.out) == "a.similar"
    assert is_output(tmp_path / "a.similar")
    assert len(repr(found)) < 120
