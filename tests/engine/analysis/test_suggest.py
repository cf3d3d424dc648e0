"""`suggest`: a file of points where labels help, apart from the labels that there are."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import shapely
from made_up import CRS, ORIGIN
from outputs import made_up_output
from pyogrio.raw import write as write_shapes
from rasterio.warp import transform

import tessera_engine as te
from tessera_engine.analysis.suggestions import FEW_LABELS
from tessera_engine.errors import InputError
from tessera_engine.places.read import read_features
from tessera_engine.places.shapes import ShapeFile

SIDE, DIM, KINDS = 48, 16, 6
generator = np.random.default_rng(0)
KIND = np.kron(np.arange(144).reshape(12, 12) * 7 % KINDS, np.ones((4, 4), int))
EMBEDDING = 3 + generator.normal(size=(KINDS, DIM))[KIND] + 0.1 * generator.normal(size=(SIDE, SIDE, DIM))
EMBEDDING[:6, :, :] = np.nan


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("o") / "a.embeddings"
    return made_up_output(folder, EMBEDDING.astype(np.float32))


def label(path, pixels):
    cols, rows = np.array(pixels).T
    shapes = shapely.points(*(ORIGIN @ np.stack([cols + 0.5, rows + 0.5])))
    names = np.array([f"kind {each}" for each in KIND[rows, cols]], object)
    write_shapes(
        path, shapely.to_wkb(shapes), [names], ["crop"], driver="GPKG", geometry_type="Point", crs=CRS
    )
    return path


def pixels_of(path):
    columns = read_features(ShapeFile(path)).table.to_pydict()
    x, y = transform("EPSG:4326", CRS, columns["lon"], columns["lat"])
    return *np.floor(~ORIGIN @ np.array([x, y])).astype(int), columns


@pytest.mark.parametrize("ending", ["gpkg", "csv", "geojson", "parquet"])
def test_the_first_labels_go_to_each_kind_of_land(output, tmp_path, ending):
    te.suggest(output, tmp_path / f"next.{ending}", count=KINDS)
    cols, rows, columns = pixels_of(tmp_path / f"next.{ending}")
    assert sorted(KIND[rows, cols]) == list(range(KINDS))
    assert rows.min() >= 6  # no data above
    assert columns["rank"] == list(range(1, KINDS + 1))
    assert columns["class"] == [None] * KINDS


def test_what_is_labelled_is_left_out(output, tmp_path):
    labelled = [tuple(np.argwhere(KIND[6:] == each)[0][::-1] + np.array((0, 6))) for each in range(KINDS - 1)]
    labels = label(tmp_path / "labels.gpkg", labelled)
    found = te.suggest(output, tmp_path / "next.csv", labels, "crop", count=1)
    cols, rows, columns = pixels_of(found.out)
    assert KIND[rows, cols].tolist() == [KINDS - 1]
    assert "crop" in columns
    many = te.suggest(output, tmp_path / "many.csv", labels, "crop", count=60)
    cols, rows, _ = pixels_of(many.out)
    for col, row in labelled:
        assert np.hypot(cols - col, rows - row).min() >= 2


def write_confidence(folder, source, percent):
    """A folder of `map` that is as sure as this."""
    with rasterio.open(folder / "confidence.tif") as file:
        profile = file.profile
    with rasterio.open(folder / "confidence.tif", "w", **{**profile, "driver": "GTiff"}) as file:
        file.write(percent.astype(np.uint8), 1)
    return folder


def test_with_many_labels_points_go_where_the_map_is_not_sure(output, tmp_path):
    places = np.argwhere(KIND >= 0)
    places = places[places[:, 0] >= 6][:: len(places) // (FEW_LABELS + 20)][: FEW_LABELS + 5, ::-1]
    labels = label(tmp_path / "labels.gpkg", places)
    mapped = te.map(output, labels, "crop", tmp_path / "a.map", progress=False).out
    write_confidence(mapped, output, np.where(KIND == 3, 20, 100))
    found = te.suggest(output, tmp_path / "next.csv", labels, "crop", map=mapped, count=5)
    assert found.notes == ()
    cols, rows, _ = pixels_of(found.out)
    assert (KIND[rows, cols] == 3).all()
    without = te.suggest(output, tmp_path / "without.csv", labels, "crop", count=5)
    assert "map=" in without.notes[0]


def test_the_same_input_gives_the_same_points_and_the_command_prints_them(output, tmp_path, run):
    code, out, _ = run("suggest", output, "-n", 5, "-o", "a.geojson", "--json")
    assert code == 0
    found = te.suggest(output, tmp_path / "b.geojson", count=5)
    assert json.loads(out)["points"] == found.points.tolist()
    assert run("suggest", output, "-o", "a.geojson")[0] == 2
    asked = ("--labels", "a.geojson", "--field", "class", "--overwrite")
    code, _, messages = run("suggest", output, "-o", "a.geojson", *asked)
    assert code == 2
    assert "a.geojson" in messages
    code, _, messages = run(
        "suggest", output, "-o", "c.csv", "--labels", label(tmp_path / "l.gpkg", [(9, 9)])
    )
    assert code == 2
    assert "--field" in messages
    with pytest.raises(InputError, match="100,000"):
        te.suggest(output, tmp_path / "d.csv", count=100_000)


@pytest.mark.parametrize("probabilities", [True, False])
def test_a_map_alone_is_enough(output, tmp_path, run, probabilities):
    places = np.argwhere(KIND >= 0)[6 * SIDE :: 37, ::-1]
    labels = label(tmp_path / "labels.gpkg", places)
    mapped = te.map(
        output, labels, "crop", tmp_path / "a.map", probabilities=probabilities, progress=False
    ).out
    write_confidence(mapped, output, np.where(KIND == 3, 20, 100))
    code, out, err = run("suggest", mapped, "-n", 5, "-o", "next.csv")
    assert (code, out.strip()) == (0, "next.csv")
    assert "--map" in err
    cols, rows, _ = pixels_of(tmp_path / "next.csv")
    assert (KIND[rows, cols] == 3).all()
    assert rows.min() >= 6
    assert len({(c, r) for c, r in zip(cols, rows, strict=True)}) == 5
    beside = te.suggest(mapped, tmp_path / "labelled.csv", tmp_path / "next.csv", "rank", count=5)
    again = pixels_of(beside.out)[:2]
    for col, row in zip(cols, rows, strict=True):
        assert np.hypot(again[0] - col, again[1] - row).min() >= 2
    assert run("suggest", mapped, "-n", 5, "-o", "a.csv", "--map", mapped)[0] == 2
    (mapped / "confidence.tif").unlink()
    with pytest.raises(InputError, match=r"confidence\.tif.*folder of map"):
        te.suggest(mapped, tmp_path / "none.csv")


def test_a_map_alone_is_spread_over_what_it_confuses(output, tmp_path):
    """Two kinds of doubt, between classes 0 and 1 in one half and between 2 and 3 in the other: both get points."""
    labels = label(tmp_path / "labels.gpkg", np.argwhere(KIND >= 0)[6 * SIDE :: 37, ::-1])
    mapped = te.map(output, labels, "crop", tmp_path / "a.map", probabilities=True, progress=False).out
    right = np.arange(SIDE) >= SIDE // 2
    shares = np.zeros((KINDS, SIDE, SIDE), np.uint8)
    shares[:2, :, ~right] = shares[2:4, :, right] = 50
    with rasterio.open(mapped / "probabilities.tif") as file:
        profile = file.profile | {"driver": "GTiff"}
    with rasterio.open(mapped / "probabilities.tif", "w", **profile) as file:
        file.write(shares)
    write_confidence(mapped, output, np.full((SIDE, SIDE), 50))
    found = te.suggest(mapped, tmp_path / "next.csv", count=2)
    cols, _, _ = pixels_of(found.out)
    assert sorted(right[cols]) == [False, True]
