"""Several outputs at once: each as it would be alone, in one result, and only of one model."""

from __future__ import annotations

import json

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from made_up import CRS, ORIGIN
from outputs import made_up_output
from pyogrio.raw import write as write_shapes
from rasterio.warp import transform

from tessera_engine import map as make_map
from tessera_engine import open_embeddings, similar, verify
from tessera_engine.analysis.similar import similarity
from tessera_engine.errors import InputError
from tessera_engine.scene import Grid

DIM, SIZE = 16, 36
CROPS = np.random.default_rng(8).normal(size=(3, DIM)) * 3
NEXT_ZONE = Grid(SIZE, SIZE, "EPSG:32632", ORIGIN)


def place(seed):
    """(embedding, crop): a chessboard of three crops."""
    rng = np.random.default_rng(seed)
    crop = (np.add.outer(np.arange(SIZE) // 6, np.arange(SIZE) // 6) + seed) % 3
    return (CROPS[crop] + rng.normal(size=(SIZE, SIZE, DIM)) * 0.3).astype(np.float32), crop


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Two outputs of one name, in neighbouring zones."""
    folder = tmp_path_factory.mktemp("o")
    first = made_up_output(folder / "x" / "farm.embeddings", place(0)[0], year=2023)
    second = made_up_output(folder / "y" / "farm.embeddings", place(1)[0], grid=NEXT_ZONE, year=2023)
    return [first, second]


def degrees(grid, col, row):
    (lon,), (lat,) = transform(
        grid.crs, "EPSG:4326", *([each] for each in grid.transform @ (col + 0.5, row + 0.5))
    )
    return lon, lat


def raster(path):
    with rasterio.open(path) as file:
        return file.read(1), file.crs.to_epsg()


def test_a_point_in_one_is_searched_in_all(outputs, tmp_path):
    opened = [open_embeddings(each) for each in outputs]
    at = degrees(NEXT_ZONE, 3, 3)
    found = similar(outputs, at, tmp_path / "out", top=0.3, progress=False)
    own, epsg = raster(tmp_path / "out" / "farm-2" / "similarity.tif")
    assert epsg == 32632
    np.testing.assert_array_equal(own, similarity(opened[1], [at]))
    other, epsg = raster(tmp_path / "out" / "farm" / "similarity.tif")
    assert epsg == int(CRS[5:])
    # Where the point's crop grows in the other output too, and nowhere else
    np.testing.assert_array_equal(other > 0.8, place(0)[1] == place(1)[1][3, 3])
    # One threshold for both
    together = np.sort(np.concatenate([own.ravel(), other.ravel()]))
    assert found.threshold == together[-int(0.3 * len(together))]
    assert {region["embeddings"] for region in found.regions} == {"farm", "farm-2"}
    hectares = [region["hectares"] for region in found.regions]
    assert hectares == sorted(hectares, reverse=True)


def test_the_item_has_all_places(outputs, tmp_path):
    out = similar(outputs, degrees(NEXT_ZONE, 3, 3), tmp_path / "out", progress=False).out
    item = pystac.Item.from_file(str(out / "item.json"))
    assert set(item.assets) == {"similarity-farm", "similarity-farm-2", "regions"}
    codes = {key: asset.extra_fields.get("proj:code") for key, asset in item.assets.items()}
    assert (codes["similarity-farm"], codes["similarity-farm-2"]) == (CRS, "EPSG:32632")
    assert len(shapely.geometry.shape(item.geometry).geoms) == 2
    west, _, east, _ = item.bbox
    assert (west < 4, east > 8) == (True, True)
    assert "proj:shape" not in item.properties
    assert len(json.loads((out / "item.json").read_text())["properties"]["tessera:embeddings"]) == 2
    assert verify(out).files == 3


@pytest.mark.parametrize("method", ["linear", "knn"])
def test_labels_in_one_map_all(outputs, tmp_path, method):
    crop = place(0)[1]
    chosen = np.random.default_rng(3).choice(SIZE * SIZE, 60, replace=False)
    rows, cols = chosen // SIZE, chosen % SIZE
    points = shapely.points(*(ORIGIN @ np.stack([cols + 0.5, rows + 0.5])))
    names = np.array(["beet", "maize", "wheat"])[crop[rows, cols]]
    file = tmp_path / "labels.gpkg"
    write_shapes(file, shapely.to_wkb(points), [names.astype(object)], ["crop"], driver="GPKG", geometry_type="Point", crs=CRS)  # fmt: skip
    made = make_map(outputs, file, "crop", tmp_path / "map", method=method, progress=False)
    for name, seed in (("farm", 0), ("farm-2", 1)):
        values, _ = raster(made.out / name / "map.tif")
        assert (values - values.min() == place(seed)[1]).mean() > 0.95
        assert (made.out / name / "map.png").exists()
    alone = make_map(outputs[0], file, "crop", tmp_path / "alone", method=method, progress=False)
    one, both = raster(alone.out / "map.tif")[0], raster(made.out / "farm" / "map.tif")[0]
    np.testing.assert_array_equal(one, both)
    assert verify(made.out).files == 10


def test_what_differs_is_named(outputs, tmp_path):
    at = degrees(NEXT_ZONE, 3, 3)
    other = made_up_output(tmp_path / "other", place(0)[0], model_sha256="b" * 64)
    with pytest.raises(InputError, match=f"{outputs[0]}.*{other}"):
        similar([*outputs, other], at, tmp_path / "out")
    short = open_embeddings(made_up_output(tmp_path / "short", np.tile(place(0)[0], 2)), 16)
    assert short.dim == DIM
    whole = made_up_output(tmp_path / "whole", np.tile(place(0)[0], 2))
    with pytest.raises(InputError, match="dim=16"):
        similar([outputs[0], whole], at, tmp_path / "out")
    floats = made_up_output(tmp_path / "floats", place(0)[0], stored_as="float32")
    with pytest.raises(InputError, match=r"int8.*float32"):
        similar([outputs[0], floats], at, tmp_path / "out")
    with pytest.raises(InputError, match="twice"):
        similar([outputs[0], outputs[0]], at, tmp_path / "out")
    with pytest.raises(InputError, match="empty"):
        similar([], at, tmp_path / "out")
    with pytest.raises(InputError, match="none of the 2 outputs"):
        similar(outputs, (100.0, 10.0), tmp_path / "out")
    assert not (tmp_path / "out").exists()
