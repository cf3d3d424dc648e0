"""Two maps compared: which pixels went from which class to which, their areas, and what points say of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from made_up import CRS, ORIGIN
from pyogrio.raw import write as write_shapes
from rasterio.warp import transform

import tessera_engine as te
from tessera_engine.errors import InputError
from tessera_engine.places.read import read_features
from tessera_engine.places.shapes import ShapeFile

HEIGHT, WIDTH = 40, 50
generator = np.random.default_rng(0)
BEFORE = generator.choice([1, 2, 3], (HEIGHT, WIDTH), p=[0.6, 0.3, 0.1]).astype(np.uint8)
AFTER = np.where(generator.random(BEFORE.shape) < 0.2, 2, BEFORE).astype(np.uint8)
BEFORE[:2], AFTER[-3:] = 0, 0
NAMES = {1: "forest", 2: "maize", 3: "water"}


def write_map(path, values, names=NAMES, at=ORIGIN):
    profile = {"driver": "GTiff", "dtype": values.dtype, "count": 1, "crs": CRS, "transform": at, "nodata": 0}
    with rasterio.open(path, "w", height=values.shape[0], width=values.shape[1], **profile) as file:
        file.write(values, 1)
        file.update_tags(**{f"CLASS_{value}": name for value, name in names.items()})
    return path


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    # The later map numbers its classes otherwise, and begins three pixels further to the left
    other = np.array([0, 7, 4, 5], np.uint8)[AFTER]
    wider = np.concatenate([np.full((HEIGHT, 3), 5, np.uint8), other], axis=1)
    names = {7: "forest", 4: "maize", 5: "water"}
    at = ORIGIN @ rasterio.Affine.translation(-3, 0)
    return write_map(folder / "2023.tif", BEFORE), write_map(folder / "2024.tif", wider, names, at)


def table():
    """(3, 3) pixels by class before and after."""
    counts = np.zeros((4, 4), int)
    np.add.at(counts, (BEFORE, AFTER), 1)
    return counts[1:, 1:]


def test_each_pixel_has_its_transition(maps, tmp_path, run):
    code, out, messages = run("change", "--from-to", *maps)
    assert (code, out.splitlines()[0]) == (0, "2023.2024.transitions")
    folder = tmp_path / "2023.2024.transitions"
    rows = list(csv.DictReader((folder / "legend.csv").open()))
    with rasterio.open(folder / "transitions.tif") as file:
        values, colours, tags = file.read(1), file.colormap(1), file.tags()
        assert (file.crs.to_string(), file.transform, file.nodata, file.dtypes) == (
            CRS,
            ORIGIN,
            0,
            ("uint8",),
        )
    np.testing.assert_array_equal(values == 0, (BEFORE == 0) | (AFTER == 0))
    numbers = {name: value for value, name in NAMES.items()}
    for row in rows:
        there = (numbers[row["before"]] == BEFORE) & (numbers[row["after"]] == AFTER)
        np.testing.assert_array_equal(values == int(row["value"]), there)
        assert int(row["pixels"]) == there.sum() > 0
        assert tags[f"CLASS_{row['value']}"] == row["class"]
        assert "#{:02x}{:02x}{:02x}".format(*colours[int(row["value"])][:3]) == row["colour"]
    assert len({row["colour"] for row in rows}) == len(rows) == (table() > 0).sum()
    numbers = json.loads((folder / "report.json").read_text())
    np.testing.assert_allclose(numbers["hectares"], table() * 0.01)
    assert numbers["unchanged"] == pytest.approx(table().trace() / table().sum())
    assert numbers["persistence"]["forest"] == pytest.approx(table()[0, 0] / table()[0].sum())
    assert numbers["estimated"] is None
    item = pystac.Item.from_file(str(folder / "item.json"))
    assert item.properties["tessera:result"] == "transitions"
    assert run("verify", folder)[0] == 0
    for name in ("report.md", "report.html"):
        assert f"{table()[0, 1] * 0.01:,.2f}" in (folder / name).read_text()
    assert f"{100 * numbers['unchanged']:.1f} %" in messages


def test_strips_do_not_matter(maps, tmp_path, monkeypatch):
    whole = te.from_to(*maps, tmp_path / "whole")
    monkeypatch.setattr("tessera_engine.analysis.transitions.compare.STRIP_PIXELS", WIDTH * 3)
    strips = te.from_to(*maps, tmp_path / "strips")
    np.testing.assert_array_equal(strips.hectares, whole.hectares)
    one, two = (rasterio.open(found.out / "transitions.tif").read(1) for found in (whole, strips))
    np.testing.assert_array_equal(one, two)


def test_points_that_were_checked_give_areas_with_intervals(maps, tmp_path, run):
    found = te.from_to(*maps, tmp_path / "change")
    made = te.sample_design(tmp_path / "change", tmp_path / "points.csv", per_class=10_000)
    assert made.empty == ("reference_before", "reference_after")
    columns = read_features(ShapeFile(tmp_path / "points.csv")).table.to_pydict()
    x, y = transform("EPSG:4326", CRS, columns["lon"], columns["lat"])
    col, row = np.floor(~ORIGIN @ np.array([x, y])).astype(int)
    # In fact no water was lost
    truth = np.where(BEFORE == 3, 3, AFTER)
    fields = {
        "stratum": np.array(columns["stratum"]),
        "stratum_pixels": np.array(columns["stratum_pixels"]),
        "reference_before": np.array([NAMES[each] for each in BEFORE[row, col].tolist()], object),
        "reference_after": np.array([NAMES[each] for each in truth[row, col].tolist()], object),
    }
    shapes = shapely.points(*(ORIGIN @ np.stack([col + 0.5, row + 0.5])))
    checked = tmp_path / "checked.gpkg"
    write_shapes(
        checked, shapely.to_wkb(shapes), list(fields.values()), list(fields), driver="GPKG", geometry_type="Point", crs=CRS
    )  # fmt: skip
    code, out, _ = run("change", "--from-to", *maps, "--reference", checked, "-o", "with", "--json")
    assert code == 0
    classes = {each["class"]: each for each in json.loads(out)["estimated"]["classes"]}
    assert classes["water unchanged"]["hectares"]["value"] == pytest.approx(table()[2].sum() * 0.01)
    assert classes["water to maize"]["hectares"]["value"] == 0
    assert classes["water to maize"]["users_accuracy"]["value"] == 0
    assert classes["forest to maize"]["hectares"]["value"] == pytest.approx(found.hectares[0, 1])
    assert "estimated from points" in Path("with/report.md").read_text()
    assert te.area(tmp_path / "change", checked).to_dict()["classes"] == list(classes.values())


def test_what_cannot_be_compared_is_refused(maps, tmp_path, run):
    before, after = maps
    small = write_map(tmp_path / "small.tif", BEFORE, at=ORIGIN @ rasterio.Affine.scale(0.5))
    with pytest.raises(InputError, match="pixels of 5 x 5"):
        te.from_to(before, small, tmp_path / "out")
    far = write_map(tmp_path / "far.tif", BEFORE, at=ORIGIN @ rasterio.Affine.translation(1000, 0))
    with pytest.raises(InputError, match="share no pixel"):
        te.from_to(before, far, tmp_path / "out")
    with pytest.raises(InputError, match="both maps"):
        te.from_to(before, before, tmp_path / "out")
    for words in (("--dim", "16"), ("--top", "0.1"), ("--years", "2023", "2024")):
        code, _, messages = run("change", "--from-to", before, after, *words)
        assert code == 2
        assert words[0] in messages
    assert run("change", before, after, "--field", "a")[0] == 2
    assert not (tmp_path / "out").exists()
