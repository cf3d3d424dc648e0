"""Maps from labels: points, polygons and rasters label the right pixels, validation is spatial, maps say what they are."""

from __future__ import annotations

import csv
import json

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from made_up import CRS, ORIGIN
from outputs import made_up_output
from PIL import Image, ImageDraw
from pyogrio.raw import write as write_shapes
from rasterio.warp import transform
from rio_cogeo import cog_validate

from tessera_engine import open_embeddings
from tessera_engine.analysis.labels.pixels import Labels, LabelSource
from tessera_engine.analysis.labels.reading import read_labels
from tessera_engine.analysis.maps import make
from tessera_engine.analysis.maps.learn import make_blocks, split
from tessera_engine.errors import InputError
from tessera_engine.pictures.colours import class_colour
from tessera_engine.places.losses import Cause
from tessera_engine.scene import Grid

HEIGHT, WIDTH, DIM = 60, 80, 16
GRID = Grid(WIDTH, HEIGHT, CRS, ORIGIN)
rng = np.random.default_rng(0)

# Stripes of three crops in both directions, so that each block has some of each
TRUTH = (np.add.outer(np.arange(HEIGHT) // 6, np.arange(WIDTH) // 7)) % 3
NAMES = np.array(["maize", "meadow", "wheat"])
EMBEDDING = (rng.normal(size=(3, DIM)) * 2)[TRUTH] + 0.3 * rng.normal(size=(HEIGHT, WIDTH, DIM))
EMBEDDING[:4, :4] = np.nan
EMBEDDING = EMBEDDING.astype(np.float32)


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory):
    return open_embeddings(made_up_output(tmp_path_factory.mktemp("o") / "a.embeddings", EMBEDDING))


def some_pixels(count=30, seed=1):
    chosen = np.random.default_rng(seed).choice(np.arange(10, HEIGHT * WIDTH), count, replace=False)
    return chosen % WIDTH, chosen // WIDTH


def write_points(path, cols, rows, values, crs="EPSG:4326"):
    x, y = ORIGIN @ np.stack([cols + 0.5, rows + 0.5])
    if crs != CRS:
        x, y = transform(CRS, crs, x, y)
    return write_vector(path, shapely.points(x, y), values, crs, "Point")


def write_vector(path, shapes, values, crs, kind):
    driver = {"geojson": "GeoJSON", "gpkg": "GPKG"}[path.suffix[1:]]
    write_shapes(
        path,
        shapely.to_wkb(shapes),
        [np.array(values, dtype=object if isinstance(values[0], str) else None)],
        ["crop"],
        driver=driver,
        geometry_type=kind,
        crs=crs,
    )
    return path


def read(path, regression=False, **said):
    return read_labels(LabelSource(path, "crop", **said), GRID, regression, 20_000)


@pytest.fixture
def points(tmp_path):
    cols, rows = some_pixels()
    return write_points(tmp_path / "points.geojson", cols, rows, list(NAMES[TRUTH[rows, cols]]))


def as_array(labels):
    found = np.full((HEIGHT, WIDTH), "", object)
    found[labels.rows, labels.cols] = labels.values
    assert (found != "").sum() == len(labels)
    return found


@pytest.mark.parametrize(
    ("name", "crs"), [("p.geojson", "EPSG:4326"), ("p.gpkg", CRS), ("p.gpkg", "EPSG:3857")]
)
def test_points_label_their_pixels(tmp_path, name, crs):
    cols, rows = some_pixels()
    labels = read(write_points(tmp_path / name, cols, rows, list(NAMES[TRUTH[rows, cols]]), crs))
    expected = np.full((HEIGHT, WIDTH), "", object)
    expected[rows, cols] = NAMES[TRUTH[rows, cols]]
    np.testing.assert_array_equal(as_array(labels), expected)
    assert labels.notes == ()


def test_contradicting_points_and_those_outside_are_left_out(tmp_path):
    path = write_points(
        tmp_path / "p.gpkg", np.array([3, 3, 5, 5, 500]), np.array([4, 4, 6, 6, 4]), list("aabca"), CRS
    )
    labels = read(path)
    assert (labels.cols.tolist(), labels.rows.tolist(), labels.values.tolist()) == ([3], [4], ["a"])
    assert labels.lost == {Cause.CONTRADICTORY: 1, Cause.BESIDE: 1}
    (note,) = labels.notes
    assert "1 pixel with different labels" in note
    assert "1 shape beside the scene" in note


def test_polygons_label_what_they_hold(tmp_path):
    corners = [((5, 5), (15, 12)), ((12, 10), (20, 20)), ((40, 30), (50, 45))]
    boxes = shapely.box(
        *np.array(
            [
                [*(ORIGIN @ (left, bottom)), *(ORIGIN @ (right, top))]
                for (left, top), (right, bottom) in corners
            ]
        ).T
    )
    path = write_vector(tmp_path / "p.gpkg", boxes, [7, 9, 7], CRS, "Polygon")
    labels = read(path)
    expected = np.full((HEIGHT, WIDTH), "", object)
    expected[5:12, 5:15] = expected[30:45, 40:50] = "7"
    expected[10:20, 12:20] = "9"
    expected[10:12, 12:15] = ""
    np.testing.assert_array_equal(as_array(labels), expected)
    assert labels.lost == {Cause.CONTRADICTORY: 6}


def test_a_raster_labels_what_is_not_its_nodata(tmp_path):
    values = np.zeros((HEIGHT, WIDTH), np.uint16)
    values[10:20, 10:20] = 1200
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "crs": CRS, "transform": ORIGIN, "nodata": 0}
    with rasterio.open(tmp_path / "l.tif", "w", height=HEIGHT, width=WIDTH, **profile) as file:
        file.write(values, 1)
    found = as_array(read(tmp_path / "l.tif"))
    np.testing.assert_array_equal(found == "1200", values == 1200)
    assert set(found.ravel()) == {"", "1200"}


def test_a_block_is_never_in_two_folds():
    cols, rows = some_pixels(200)
    labels = read_labels_of(cols, rows)
    blocks = make_blocks([(labels, GRID)], 120.0)
    assert blocks.metres == 120
    together = (cols - cols.min()) // 12 * 1000 + (rows - rows.min()) // 12
    assert len(np.unique(np.stack([together, blocks.groups]), axis=1).T) == len(np.unique(together))
    folds = split(labels.values, blocks.groups, regression=False)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(200))
    for train, test in folds:
        assert not set(blocks.groups[train]) & set(blocks.groups[test])


def read_labels_of(cols, rows):
    return Labels(cols, rows, NAMES[TRUTH[rows, cols]].astype(object))


@pytest.mark.parametrize("method", ["linear", "knn", "forest"])
def test_a_map_of_classes(embeddings, points, tmp_path, method):
    made = make.map(embeddings, points, out=tmp_path / "out", field="crop", method=method, threads=2)
    assert made.report["accuracy"] > 0.9
    assert made.report["folds"] == 5
    assert sum(each["labels"] for each in made.report["classes"].values()) == 30
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == made.report
    assert cog_validate(tmp_path / "out" / "map.tif")[0]
    with rasterio.open(tmp_path / "out" / "map.tif") as file:
        assert (file.crs.to_string(), file.transform, file.nodata) == (CRS, ORIGIN, 0)
        codes, colours, tags = file.read(1), file.colormap(1), file.tags()
    with rasterio.open(tmp_path / "out" / "confidence.tif") as file:
        confidence = file.read(1)
    valid = np.isfinite(EMBEDDING[..., 0])
    np.testing.assert_array_equal(codes > 0, valid)
    np.testing.assert_array_equal(confidence == 255, ~valid)
    assert confidence[valid].max() <= 100
    assert confidence[valid].min() >= 33
    assert (codes == TRUTH + 1)[valid].mean() > 0.95
    rows = list(csv.DictReader((tmp_path / "out" / "legend.csv").open()))
    assert [row["class"] for row in rows] == list(NAMES)
    for i, row in enumerate(rows):
        assert colours[i + 1][:3] == class_colour(i)
        assert tags[f"CLASS_{i + 1}"] == row["class"]
        assert int(row["pixels"]) == (codes == i + 1).sum()
    item = pystac.Item.from_file(str(tmp_path / "out" / "item.json"))
    assert item.properties["tessera:model_sha256"] == "a" * 64
    picture = np.asarray(Image.open(tmp_path / "out" / "map.png"))
    # Enlarged by 7, below a margin of 15
    found = picture[15 + 3 : 15 + 7 * HEIGHT : 7, 15 + 3 : 15 + 7 * WIDTH : 7]
    np.testing.assert_array_equal(
        found[valid, :3], np.array([class_colour(i) for i in range(3)])[codes[valid] - 1]
    )
    assert (found[~valid] == 255).all()


def test_the_picture_of_a_map_says_how_good_it_is(embeddings, points, tmp_path, monkeypatch):
    written = []
    draw = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw,
        "text",
        lambda self, at, text, *given, **how: (written.append(text), draw(self, at, text, *given, **how)),
    )
    made = make.map(embeddings, points, out=tmp_path / "out", field="crop")
    assert made.report["accuracy_known"]
    said = " ".join(written)
    assert f"{100 * made.report['accuracy']:.0f} %" in said
    assert "30 labelled pixels" in said

    cols, rows = some_pixels(30)
    rare = NAMES[TRUTH[rows, cols]].astype(object)
    rare[:3] = "rare"
    write_points(tmp_path / "rare.gpkg", cols, rows, rare)
    written.clear()
    made = make.map(embeddings, tmp_path / "rare.gpkg", out=tmp_path / "few", field="crop")
    assert not made.report["accuracy_known"]
    said = " ".join(written)
    assert "not known" in said
    assert "rare" in said
    assert f"{100 * made.report['accuracy']:.0f} %" not in said


def test_a_map_of_numbers(embeddings, tmp_path):
    cols, rows = some_pixels(60)
    height = EMBEDDING[..., :3].sum(axis=2)
    path = write_points(tmp_path / "p.gpkg", cols, rows, height[rows, cols].astype(float), CRS)
    made = make.map(embeddings, path, out=tmp_path / "out", field="crop", regression=True)
    assert made.report["r2"] > 0.9
    with rasterio.open(tmp_path / "out" / "map.tif") as file:
        found = file.read(1)
    valid = np.isfinite(height)
    np.testing.assert_array_equal(np.isfinite(found), valid)
    assert np.corrcoef(found[valid], height[valid])[0, 1] > 0.95


def test_labels_in_other_embeddings_of_the_same_model(embeddings, points, tmp_path):
    other = open_embeddings(made_up_output(tmp_path / "b", EMBEDDING[::-1, ::-1], year=2019))
    made = make.map(other, points, out=tmp_path / "out", field="crop", train=embeddings)
    assert made.report["accuracy"] > 0.9
    with rasterio.open(tmp_path / "out" / "map.tif") as file:
        codes = file.read(1)[::-1, ::-1]
    assert (codes == TRUTH + 1)[np.isfinite(EMBEDDING[..., 0])].mean() > 0.95


def test_embeddings_of_another_model_are_refused(embeddings, points, tmp_path):
    other = open_embeddings(made_up_output(tmp_path / "b", EMBEDDING, model_sha256="b" * 64))
    with pytest.raises(InputError, match=r"nano int8 \(aaaa.*bbbb"):
        make.map(embeddings, points, out=tmp_path / "out", field="crop", train=other)
    unknown = open_embeddings(other.path)
    for key in list(unknown.item["properties"]):
        if key.startswith("tessera:model"):
            del unknown.item["properties"][key]
    with pytest.raises(InputError, match=str(unknown.path)):
        make.map(embeddings, points, out=tmp_path / "out", field="crop", train=unknown)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "field=.*: crop"),
        ({"field": "height"}, "'height'.*: crop"),
        ({"field": "crop", "method": "magic"}, "method=magic.*linear, knn, forest"),
        ({"field": "crop", "regression": True}, "regression=True"),
        ({"field": "crop", "blocks": 5}, "'blocks'.*'block'"),
        ({"field": "crop", "threads": "all"}, "threads='all'"),
        ({"field": 3}, "field=3"),
        ({"field": "crop", "block": 5000}, "5000 m.*block="),
    ],
)
def test_a_mistake_is_one_line(embeddings, points, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        make.map(embeddings, points, out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_labels_that_cannot_be_used_are_one_line(embeddings, tmp_path):
    one, far = np.array([20, 60]), np.array([500, 600])
    for cols, values, message in (
        (one, ["a", "a"], "has 1 class on"),
        (far, ["a", "b"], "no label of .* lies on the embeddings"),
        (np.array([1, 2]), ["a", "b"], "none of the 2 labelled pixels has an embedding"),
    ):
        path = write_points(
            tmp_path / "p.gpkg", cols, np.array([1, 2]) if cols[0] < 5 else cols // 2, values, CRS
        )
        with pytest.raises(InputError, match=message):
            make.map(embeddings, path, out=tmp_path / "out", field="crop")
    one_each = write_points(
        tmp_path / "p.gpkg", np.array([20, 60, 30]), np.array([20, 20, 45]), ["a", "b", "c"], CRS
    )
    with pytest.raises(InputError, match="each of the 3 classes has a single labelled pixel"):
        make.map(embeddings, one_each, out=tmp_path / "out", field="crop")
    with pytest.raises(InputError, match="no such file"):
        make.map(embeddings, tmp_path / "no.gpkg", out=tmp_path / "out")
    (tmp_path / "text.geojson").write_text("nothing")
    with pytest.raises(InputError, match=r"can't read .*text\.geojson"):
        make.map(embeddings, tmp_path / "text.geojson", out=tmp_path / "out", field="crop")
