"""Maps by segment: a field has one class, the one that its pixels say together; what lies outside is mapped by pixel."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import CRS, ORIGIN
from outputs import made_up_output
from pyogrio.raw import write as write_shapes

from tessera_engine import apply, open_embeddings, segment, verify
from tessera_engine import map as make_map
from tessera_engine.analysis.labels.pixels import Labels
from tessera_engine.analysis.maps import fields as module
from tessera_engine.analysis.maps.field_validation import LabelledFields
from tessera_engine.analysis.maps.fields import Fields, Layers, Votes
from tessera_engine.analysis.maps.learn import make_blocks, split
from tessera_engine.analysis.maps.training import NO_FIELDS
from tessera_engine.errors import InputError
from tessera_engine.scene import Grid

SIZE, DIM = 40, 16
GRID = Grid(SIZE, SIZE, CRS, ORIGIN)
FIELD = np.add.outer(np.arange(SIZE) // 10 * 4, np.arange(SIZE) // 10)
CROP = np.array([0, 1, 2, 1, 2, 0, 1, 0, 1, 2, 0, 2, 0, 1, 2, 1])[FIELD]
rng = np.random.default_rng(0)
# So noisy that single pixels are often wrong
EMBEDDING = (rng.normal(size=(3, DIM))[CROP] + 1.6 * rng.normal(size=(SIZE, SIZE, DIM))).astype(np.float32)
EMBEDDING[12:14, 3:6] = np.nan
VALID = np.isfinite(EMBEDDING[..., 0])


def boxes(numbers):
    """The fields with these numbers as polygons."""
    corners = [(divmod(number, 4)[1] * 10, divmod(number, 4)[0] * 10) for number in numbers]
    return [
        shapely.Polygon([ORIGIN @ (col + x, row + y) for x, y in ((0, 0), (10, 0), (10, 10), (0, 10))])
        for col, row in corners
    ]


def write(path, shapes, values=None, kind="Polygon"):
    values = np.arange(len(shapes)) if values is None else np.array(values, object)
    write_shapes(path, shapely.to_wkb(shapes), [values], ["crop"], driver="GPKG", geometry_type=kind, crs=CRS)
    return path


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return made_up_output(tmp_path_factory.mktemp("o") / "a.embeddings", EMBEDDING)


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    at = np.random.default_rng(4).choice(np.flatnonzero(VALID), 90, replace=False)
    rows, cols = np.divmod(at, SIZE)
    points = shapely.points(*(ORIGIN @ np.stack([cols + 0.5, rows + 0.5])))
    names = np.array(["beet", "maize", "wheat"])[CROP[rows, cols]]
    return write(tmp_path_factory.mktemp("l") / "p.gpkg", points, names, "Point")


def rasters(folder):
    """Classes, their confidence, and the probability of each class, if it was asked for."""
    found = []
    for name in ("map", "confidence", "probabilities"):
        if (folder / f"{name}.tif").exists():
            with rasterio.open(folder / f"{name}.tif") as file:
                found.append(file.read() if name == "probabilities" else file.read(1))
    return found


def test_a_field_gets_one_class_and_the_rest_stays(output, labels, tmp_path, run):
    some = write(tmp_path / "fields.gpkg", boxes(range(12)))
    code, out, _ = run(
        "map", output, "--labels", labels, "--field", "crop", "--by-segment", some, "--probabilities", "-o", "by",
        "--save", "crops.model",
    )  # fmt: skip
    assert (code, out.split()[0]) == (0, "by")
    # What it was learned and calibrated to, pixel by pixel
    plain, sure, shares = rasters(
        apply("crops.model", output, tmp_path / "plain", probabilities=True, progress=False).out
    )
    codes, confidence, bands = rasters(tmp_path / "by")
    np.testing.assert_array_equal(codes == 0, ~VALID)
    for field in range(16):
        here = (field == FIELD) & VALID
        if field >= 12:
            for found, expected in ((codes, plain), (confidence, sure)):
                np.testing.assert_array_equal(found[here], expected[here])
            np.testing.assert_array_equal(bands[:, here], shares[:, here])
            continue
        # The pixels' shares are rounded to percents in the plain map
        means = shares[:, here].mean(axis=1)
        assert np.abs(bands[:, here] - means[:, np.newaxis]).max() <= 1
        assert set(codes[here]) == {1 + int(np.argmax(means))}
        assert set(confidence[here]) == set(bands[int(np.argmax(means)), here])
    inside = (FIELD < 12) & VALID
    assert (codes == CROP + 1)[inside].mean() > (plain == CROP + 1)[inside].mean() + 0.05
    item = json.loads((tmp_path / "by" / "item.json").read_text())["properties"]
    assert item["tessera:by_segment"] == "fields.gpkg"
    legend = (tmp_path / "by" / "legend.csv").read_text().splitlines()[1:]
    assert [int(line.split(",")[-1]) for line in legend] == [int((codes == code).sum()) for code in (1, 2, 3)]
    assert verify(tmp_path / "by").files >= 5


def test_segments_are_fields(output, labels, tmp_path):
    found = segment(output, tmp_path / "s.gpkg", scale=500, progress=False)
    numbers = Fields.read(found.out, GRID).numbers
    np.testing.assert_array_equal(numbers >= 0, VALID)
    codes, _ = rasters(
        make_map(output, labels, "crop", tmp_path / "m", by_segment=found.out, progress=False).out
    )
    assert all(len(set(codes[numbers == number])) == 1 for number in range(found.count))


def test_numbers_are_the_means_of_fields(output, tmp_path):
    height = np.where(VALID, CROP * 5.0 + 2, 0)
    at = np.flatnonzero(VALID)[::7]
    rows, cols = np.divmod(at, SIZE)
    points = shapely.points(*(ORIGIN @ np.stack([cols + 0.5, rows + 0.5])))
    labels = tmp_path / "h.gpkg"
    write_shapes(labels, shapely.to_wkb(points), [height[rows, cols]], ["h"], driver="GPKG", geometry_type="Point", crs=CRS)  # fmt: skip
    fields = write(tmp_path / "f.gpkg", boxes(range(16)))
    found = []
    for name, options in (("plain", {}), ("by", {"by_segment": fields})):
        made = make_map(output, labels, "h", tmp_path / name, regression=True, progress=False, **options)
        with rasterio.open(made.out / "map.tif") as file:
            found.append(file.read(1))
    for field in range(16):
        here = (field == FIELD) & VALID
        np.testing.assert_allclose(found[1][here], found[0][here].mean(dtype=float), rtol=1e-5)
    np.testing.assert_array_equal(np.isnan(found[1]), ~VALID)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_pixel_belongs_to_the_first_of_several_fields(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    places = [(*random.integers(-5, 38, 2), *random.integers(1, 20, 2)) for _ in range(6)]
    shapes = [shapely.box(*(ORIGIN @ (c, r + h)), *(ORIGIN @ (c + w, r))) for c, r, w, h in places]
    path = write(tmp_path_factory.mktemp("f") / "f.gpkg", shapes)
    expected = np.full((SIZE, SIZE), -1)
    kept = [place for place, shape in zip(places, shapes, strict=True) if shape.intersects(_box())]
    for number, (c, r, w, h) in reversed(list(enumerate(kept))):
        expected[max(r, 0) : max(r + h, 0), max(c, 0) : max(c + w, 0)] = number
    found = Fields.read(path, GRID)
    first = {number: i for i, number in enumerate(np.unique(expected[expected >= 0]))}
    again = {number: i for i, number in enumerate(np.unique(found.numbers[found.numbers >= 0]))}
    as_order = np.vectorize(lambda n, order: order.get(n, -1), excluded=[1])
    np.testing.assert_array_equal(as_order(found.numbers, again), as_order(expected, first))
    assert found.filled == len(first)


def _box():
    return shapely.box(*(ORIGIN @ (0, SIZE)), *(ORIGIN @ (SIZE, 0)))


def test_the_result_does_not_depend_on_the_strips(tmp_path, monkeypatch):
    fields = Fields.read(write(tmp_path / "f.gpkg", boxes(range(16))), GRID)
    random = np.random.default_rng(1)
    codes = np.where(random.random((SIZE, SIZE)) < 0.1, 0, 1).astype(np.uint8)
    shares = random.dirichlet(np.ones(4), (SIZE, SIZE)).astype(np.float32)
    values = random.normal(size=(SIZE, SIZE)).astype(np.float32)
    found = []
    for rows in (SIZE, 7, 1):
        monkeypatch.setattr(module, "AT_ONCE", rows * SIZE)
        layers = Layers(codes.copy(), np.zeros_like(codes), np.zeros((4, SIZE, SIZE), np.uint8))
        votes, numbers = Votes(fields, 4), values.copy()
        for top in range(0, SIZE, rows):
            place = slice(top, top + rows), slice(0, SIZE)
            votes.add(place, codes[place] > 0, shares[place][codes[place] > 0])
        votes.settle(np.array([3, 5, 6, 7], np.uint8), layers, 0)
        fields.settle_numbers(numbers)
        found.append((layers, numbers))
    for layers, numbers in found[1:]:
        for one, other in zip(vars(found[0][0]).values(), vars(layers).values(), strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(found[0][1], numbers, rtol=1e-6)
    for number in range(16):
        here = (fields.numbers == number) & (codes > 0)
        best = shares[here].mean(axis=0, dtype=float).argmax()
        assert set(found[0][0].codes[here]) == {[3, 5, 6, 7][best]}
    np.testing.assert_array_equal(found[0][0].codes == 0, codes == 0)


def test_a_field_is_never_in_both_halves(tmp_path):
    """Each field has an embedding of its own, so only labels of the same field could tell its class."""
    random = np.random.default_rng(5)
    crop = random.permutation(np.arange(16) % 2)[FIELD]
    embedding = random.normal(size=(16, DIM))[FIELD] + 0.05 * random.normal(size=(SIZE, SIZE, DIM))
    output = made_up_output(tmp_path / "o", embedding.astype(np.float32))
    fields = write(tmp_path / "f.gpkg", boxes(range(16)))
    at = random.choice(SIZE * SIZE, 400, replace=False)
    rows, cols = np.divmod(at, SIZE)
    points = shapely.points(*(ORIGIN @ np.stack([cols + 0.5, rows + 0.5])))
    labels = write(tmp_path / "p.gpkg", points, [f"c{each}" for each in crop[rows, cols]], "Point")
    # Blocks of 30 m: a field of 100 m lies in many
    plain, by = (
        make_map(output, labels, "crop", tmp_path / name, block=30, progress=False, **options).report
        for name, options in (("plain", {}), ("by", {"by_segment": fields}))
    )
    assert plain["accuracy"] > 0.98
    assert by["accuracy"] < 0.8
    assert (by["labelled_fields"], by["blocks"], by["by_segment"]) == (16, 16, "f.gpkg")
    assert "fields that were held out" in (tmp_path / "by" / "report.md").read_text()

    read = Labels(cols, rows, crop[rows, cols].astype(str).astype(object))
    inside = LabelledFields.find([read], [Fields.read(fields, GRID)])
    blocks = make_blocks([(inside.gathered([read])[0], GRID)], 30.0)
    for train, test in split(read.values, blocks.groups, regression=False):
        assert not set(FIELD[rows[train], cols[train]]) & set(FIELD[rows[test], cols[test]])


def test_scores_are_those_of_whole_fields(output, labels, tmp_path):
    """The noisy pixels are often wrong, their fields hardly ever."""
    fields = write(tmp_path / "f.gpkg", boxes(range(16)))
    plain = make_map(output, labels, "crop", tmp_path / "plain", progress=False).report
    by = make_map(output, labels, "crop", tmp_path / "by", by_segment=fields, test=labels_of(tmp_path), progress=False).report  # fmt: skip
    assert by["accuracy"] > plain["accuracy"] + 0.05
    assert by["test"]["accuracy"] > plain["accuracy"] + 0.05
    elsewhere = write(tmp_path / "one.gpkg", boxes([0]))
    few = write(tmp_path / "few.gpkg", [shapely.Point(*(ORIGIN @ (c + 20.5, r + 20.5))) for c in range(6) for r in range(6)], ["a", "b"] * 18, "Point")  # fmt: skip
    made = make_map(output, few, "crop", tmp_path / "none", by_segment=elsewhere, progress=False)
    assert made.report["labelled_fields"] == 0
    assert NO_FIELDS in made.notes


def labels_of(folder):
    """Labels of other pixels."""
    at = np.random.default_rng(8).choice(np.flatnonzero(VALID), 150, replace=False)
    rows, cols = np.divmod(at, SIZE)
    points = shapely.points(*(ORIGIN @ np.stack([cols + 0.5, rows + 0.5])))
    return write(
        folder / "test.gpkg", points, np.array(["beet", "maize", "wheat"])[CROP[rows, cols]], "Point"
    )


def test_a_mistake_is_one_line(output, labels, tmp_path):
    def refused(message, shapes, kind="Polygon", **place):
        path = write(tmp_path / "f.gpkg", shapes, kind=kind)
        with pytest.raises(InputError, match=message):
            make_map(output, labels, "crop", tmp_path / "out", by_segment=path, progress=False)
        path.unlink()

    refused("no polygons", [shapely.Point(*(ORIGIN @ (3, 3)))], "Point")
    refused("holds the centre of a pixel", [shapely.box(0, 0, 10, 10)])
    with pytest.raises(InputError, match="no such file"):
        make_map(output, labels, "crop", tmp_path / "out", by_segment=tmp_path / "none.gpkg")
    with pytest.raises(InputError, match="by_segment=3"):
        make_map(output, labels, "crop", tmp_path / "out", by_segment=3)
    (tmp_path / "wkt.csv").write_text(
        "wkt\n" + '"POLYGON ((500000 5600000, 500100 5600000, 500000 5599900, 500000 5600000))"'
    )
    with pytest.raises(InputError, match=r"no CRS.*save the file with its CRS"):
        make_map(output, labels, "crop", tmp_path / "out", by_segment=tmp_path / "wkt.csv")
    assert not (tmp_path / "out").exists()
    assert open_embeddings(output).grid == GRID


def test_a_file_with_two_layers_gets_advice_that_can_be_followed(output, labels, tmp_path):
    file = tmp_path / "two.gpkg"
    for layer in ("a", "b"):
        write_shapes(file, shapely.to_wkb(boxes([0])), [np.arange(1)], ["n"], layer=layer, driver="GPKG",
                     geometry_type="Polygon", crs=CRS, append=layer == "b")  # fmt: skip
    with pytest.raises(InputError, match=r"2 layers with shapes: a, b; (?!give layer)"):
        make_map(output, labels, "crop", tmp_path / "out", by_segment=file)
