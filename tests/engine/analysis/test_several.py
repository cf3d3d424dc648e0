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

from tessera_engine import change, evaluate, open_embeddings, similar, verify
from tessera_engine import map as make_map
from tessera_engine.analysis.change import draw_change
from tessera_engine.analysis.labels.gathering import gather
from tessera_engine.analysis.labels.pixels import LabelSource
from tessera_engine.analysis.pairs import two_times
from tessera_engine.analysis.similar import similarity
from tessera_engine.errors import InputError
from tessera_engine.scene import Grid, Window

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
    assert verify(made.out).files == 12


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


def later(seed, grid=None, **facts):
    """(values, facts of an output) of a place a year later: some fields have another crop, and all moved a little."""
    values = place(seed)[0].copy()
    values[6:12, 6:12], values[24:30, :6] = CROPS[0], CROPS[2]
    return values + 0.5, {"grid": grid, "year": 2024, **facts}


@pytest.fixture(scope="module")
def years(outputs, tmp_path_factory):
    """The outputs of 2023, and those of 2024: one for the first, and two halves for the second."""
    folder = tmp_path_factory.mktemp("later")
    values, facts = later(0)
    first = made_up_output(folder / "first", values, **facts)
    values, facts = later(1, NEXT_ZONE)
    top, bottom = (NEXT_ZONE.crop(Window(0, row, SIZE, height)) for row, height in ((0, 20), (16, 20)))
    halves = [
        made_up_output(folder / "top", values[:20], **facts | {"grid": top}),
        made_up_output(folder / "bottom", values[16:], **facts | {"grid": bottom}),
    ]
    whole = made_up_output(folder / "whole", values, **facts)
    return outputs, [first, *halves], whole


def test_change_pairs_outputs_by_place(years, tmp_path):
    before, after, whole = years
    done = change(before, after[::-1], tmp_path / "out", top=0.05, progress=False)
    assert done.notes == ()
    one, epsg = raster(done.out / "farm" / "change.tif")
    other, other_epsg = raster(done.out / "farm-2" / "change.tif")
    assert (epsg, other_epsg) == (32631, 32632)
    # One shift and one unit for both: those of all pixels together
    pixels = [
        np.concatenate([open_embeddings(each).read().reshape(-1, DIM) for each in paths]).astype(float)
        for paths in (before, [after[0], whole])
    ]
    moved = pixels[1] - pixels[0]
    moved -= moved.mean(axis=0)
    expected = (moved**2).sum(axis=1) / sum(each.var(axis=0).sum() for each in pixels)
    np.testing.assert_allclose(np.stack([one, other]).ravel(), expected, rtol=1e-3, atol=1e-5)
    assert {region["embeddings"] for region in done.regions} == {"farm", "farm-2"}
    item = pystac.Item.from_file(str(done.out / "item.json"))
    assert set(item.assets) == {"change-farm", "change-farm-2", "regions"}
    assert sorted(item.properties["tessera:year"]) == [2023, 2023, 2024, 2024, 2024]
    assert verify(done.out).files == 3


def test_a_place_without_the_other_time_is_left_out_and_named(years, tmp_path):
    before, after, _ = years
    done = change(before, after[0], tmp_path / "out", progress=False)
    (note,) = done.notes
    assert str(before[1]) in note
    np.testing.assert_array_equal(
        raster(done.out / "change.tif")[0], draw_change(*map(open_embeddings, (before[0], after[0]))).values
    )


def test_the_command_divides_outputs_by_their_years(years, tmp_path, run):
    before, after, _ = years
    mixed = [after[1], before[0], after[0], before[1], after[2]]
    code, out, err = run("change", *mixed, "-o", "out", "-q", "--json")
    assert (code, err) == (0, "")
    expected = change(before, [after[1], after[0], after[2]], tmp_path / "expected", progress=False)
    assert json.loads(out)["threshold"] == expected.threshold
    assert two_times([after[0], before[0]]) == ([after[0]], [before[0]])
    for wrong, message in (
        (before, "share no pixel"),
        ([*before, before[0]], "expected 2"),
        (before[:1], "the only output"),
    ):
        code, _, err = run("change", *wrong, "-o", "no")
        assert (code, message in err, err.count("\n")) == (2, True, 1)


def test_two_years_of_several_stores_are_compared_store_by_store(tmp_path, run):
    paths = []
    for name, grid in (("a", None), ("b", NEXT_ZONE)):
        before, (values, facts) = place(0)[0], later(0, grid)
        first = made_up_output(tmp_path / f"{name}-2023", before, grid=grid, year=2023)
        second = made_up_output(tmp_path / f"{name}-2024", values, **facts)
        paths.append((first, second))
    firsts, seconds = zip(*paths, strict=True)
    assert two_times(firsts, (2023, 2023)) == (list(firsts), list(firsts))
    assert two_times([firsts[0], seconds[0]], (2023, 2024)) == ([firsts[0]], [seconds[0]])
    assert two_times([firsts[0]] * 2, (2023, 2023)) == ([firsts[0]], [firsts[0]])
    assert two_times([*firsts, *firsts], (2023, 2023)) == (list(firsts), list(firsts))


def points(path, places):
    """Points in WGS 84 with their crop, at (grid, crop by row and column, number of points)."""
    rng, shapes, names = np.random.default_rng(5), [], []
    for grid, crop, count in places:
        for at in rng.choice(crop.size, count, replace=False):
            row, col = divmod(int(at), crop.shape[1])
            shapes.append(shapely.Point(*degrees(grid, col, row)))
            names.append(("beet", "maize", "wheat")[crop[row, col]])
    write_shapes(path, shapely.to_wkb(shapes), [np.array(names, object)], ["crop"], driver="GPKG", geometry_type="Point", crs="EPSG:4326")  # fmt: skip
    return path


FIRST = Grid(SIZE, SIZE, CRS, ORIGIN)


def test_labels_in_several_are_measured_together_and_each_beside_that(outputs, tmp_path, run):
    file = points(tmp_path / "p.gpkg", [(FIRST, place(0)[1], 70), (NEXT_ZONE, place(1)[1], 50)])
    found = evaluate(outputs, file, "crop", method=["linear", "knn"], progress=False)
    assert found.facts["labelled_pixels"] == 120
    assert len(found.facts["embeddings"]) == 2
    assert any("70 of farm.embeddings, 50 of farm.embeddings" in note for note in found.notes)
    assert [each.labelled_pixels for each in found.places] == [70, 50]
    for row in found.rows:
        assert row.scores["macro_f1"].value > 0.9
    for each in found.places:
        assert set(each.scores) == {"linear", "knn"}
        assert each.scores["knn"] > 0.9
    # Alone, an output is measured as it was
    alone = evaluate(outputs[1], file, "crop", method="linear", progress=False)
    assert (alone.facts["labelled_pixels"], alone.places) == (50, ())
    code, out, _ = run(
        "evaluate", *outputs, "--labels", file, "--field", "crop", "--method", "linear", "-q", "-o", "r"
    )
    assert (code, out.strip()) == (0, "r")
    assert "| 70 |" in (tmp_path / "r" / "report.md").read_text()
    assert verify(tmp_path / "r").files == 4


def test_the_score_of_an_output_is_that_of_its_labels(outputs, tmp_path):
    """Wrong labels in one output don't show in the score of the other, and pull the common one down."""
    wrong = (place(1)[1] + np.random.default_rng(0).integers(0, 3, (SIZE, SIZE))) % 3
    file = points(tmp_path / "p.gpkg", [(FIRST, place(0)[1], 200), (NEXT_ZONE, wrong, 40)])
    found = evaluate(outputs, file, "crop", method="knn", progress=False)
    good, bad = (each.scores["knn"] for each in found.places)
    assert bad < 0.6 < 0.85 < good
    assert bad < found.rows[0].scores["macro_f1"].value < good


def test_a_map_learns_from_labels_in_all(outputs, tmp_path):
    only = np.where(place(1)[1] == 2, 2, 0)  # wheat is labelled in the second output alone
    first = np.where(place(0)[1] == 2, 0, place(0)[1])
    rows, cols = np.nonzero(place(0)[1] != 2)
    chosen = np.random.default_rng(1).choice(len(rows), 40, replace=False)
    shapes = [shapely.Point(*degrees(FIRST, int(cols[i]), int(rows[i]))) for i in chosen]
    names = [("beet", "maize")[first[rows[i], cols[i]]] for i in chosen]
    there = np.argwhere(only == 2)[::25]
    shapes += [shapely.Point(*degrees(NEXT_ZONE, int(col), int(row))) for row, col in there]
    names += ["wheat"] * len(there)
    file = tmp_path / "p.gpkg"
    write_shapes(file, shapely.to_wkb(shapes), [np.array(names, object)], ["crop"], driver="GPKG", geometry_type="Point", crs="EPSG:4326")  # fmt: skip
    made = make_map(outputs, file, "crop", tmp_path / "map", progress=False)
    for name, seed in (("farm", 0), ("farm-2", 1)):
        values, _ = raster(made.out / name / "map.tif")
        assert (values - values.min() == place(seed)[1]).mean() > 0.95


def test_where_outputs_overlap_a_place_is_labelled_once(outputs, tmp_path):
    values, crop = place(0)
    values = values.copy()
    values[:, 24:] = np.nan
    half = made_up_output(tmp_path / "half", values)
    labels = tmp_path / "l.tif"
    with rasterio.open(labels, "w", driver="GTiff", height=SIZE, width=SIZE, count=1, dtype="uint8", crs=CRS, transform=ORIGIN) as file:  # fmt: skip
        file.write((crop + 1).astype(np.uint8), 1)
    opened = [open_embeddings(each) for each in (half, outputs[0])]
    read = gather(LabelSource(labels), opened, False, 20_000)
    assert [len(each) for each in read.labels] == [SIZE * 24, SIZE * 12]
    assert read.labels[1].cols.min() == 24
    np.testing.assert_array_equal(
        read.x,
        np.concatenate(
            [opened[0].read()[:, :24].reshape(-1, DIM), opened[1].read()[:, 24:].reshape(-1, DIM)]
        ),
    )
    # Drawn with the same probability in both
    few = gather(LabelSource(labels), opened, False, 120)
    counts = [len(each) for each in few.labels]
    assert sum(counts) <= 121
    assert counts[0] > counts[1] > 20


def test_periods_of_several_stores_have_to_be_the_same(outputs, tmp_path, monkeypatch):
    from datetime import date

    from tessera_engine.analysis.maps import evaluate as module

    periods = {outputs[0]: [(date(2024, 3, 1), date(2024, month, 28)) for month in (4, 6)]}
    periods[outputs[1]] = [*periods[outputs[0]][:1], (date(2024, 3, 1), date(2024, 7, 28))]
    monkeypatch.setattr(module, "stored_periods", periods.__getitem__)
    with pytest.raises(InputError, match=r"different periods.*until="):
        evaluate(outputs, tmp_path / "no.gpkg", "crop")
