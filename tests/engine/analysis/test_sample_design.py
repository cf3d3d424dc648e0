"""Points drawn from a map for checking: each on its class, by chance, as many as the standard error asks for."""

from __future__ import annotations

import json

import numpy as np
import pyogrio
import pytest
import shapely
from classified import MAP, NAMES, columns_of, places_of
from made_up import CRS, ORIGIN
from rasterio.warp import transform

import tessera_engine as te
from tessera_engine.analysis.areas.draw import draw_pixels
from tessera_engine.analysis.class_map import open_class_map
from tessera_engine.places.read import read_features
from tessera_engine.places.shapes import ShapeFile


@pytest.mark.parametrize("ending", ["gpkg", "csv", "geojson", "parquet"])
def test_points_lie_on_their_class(mapped, tmp_path, ending):
    made = te.sample_design(mapped, tmp_path / f"points.{ending}", per_class=20, show_class=True)
    col, row, columns = places_of(tmp_path / f"points.{ending}")
    assert dict(made.points) == dict.fromkeys(NAMES.values(), 20)
    assert columns["id"] == list(range(1, 61))
    assert columns["reference"] == [None] * 60
    assert columns["map_class"] == [NAMES[each] for each in MAP[row, col].tolist()]
    assert columns["stratum_pixels"] == [int((each == MAP).sum()) for each in MAP[row, col].tolist()]
    assert len(set(zip(columns["stratum"], columns["map_class"], strict=True))) == 3
    assert len(set(zip(col, row, strict=True))) == 60
    geometries = read_features(ShapeFile(tmp_path / f"points.{ending}"))
    x, y = shapely.get_coordinates(geometries.geometries).T
    if geometries.crs.to_epsg() == 4326:
        x, y = transform("EPSG:4326", CRS, x, y)
    np.testing.assert_allclose(np.array(~ORIGIN @ np.array([x, y])), [col + 0.5, row + 0.5], atol=0.01)


def test_the_same_seed_draws_the_same_points_and_another_one_others(mapped, tmp_path):
    drawn = [
        te.sample_design(mapped, tmp_path / f"{i}.csv", per_class=20, seed=seed).out.read_text()
        for i, seed in enumerate((3, 3, 4))
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_who_checks_does_not_see_the_class(mapped, tmp_path):
    te.sample_design(mapped, tmp_path / "points.gpkg", per_class=20)
    assert "map_class" not in columns_of(tmp_path / "points.gpkg")
    assert not any(
        name.encode() in pyogrio.raw.read(tmp_path / "points.gpkg")[2].tobytes() for name in NAMES.values()
    )


def test_every_pixel_of_a_class_is_as_likely_and_strips_do_not_matter(mapped, monkeypatch):
    of = open_class_map("map", mapped)
    drawn = draw_pixels(of, {1: 30, 7: 30}, 5)
    monkeypatch.setattr("tessera_engine.analysis.class_map.STRIP_PIXELS", 1)
    np.testing.assert_array_equal(drawn, draw_pixels(of, {1: 30, 7: 30}, 5))
    bog = np.argwhere(MAP == 7)
    counts = np.zeros(MAP.shape)
    for seed in range(400):
        _, col, row = draw_pixels(of, {7: 30}, seed)
        counts[row, col] += 1
    assert counts[MAP != 7].sum() == 0
    expected = 400 * 30 / len(bog)
    # Binomial: five standard deviations
    assert np.abs(counts[MAP == 7] - expected).max() < 5 * expected**0.5


def test_the_number_of_points_follows_the_standard_error(mapped, tmp_path, run):
    made = te.sample_design(mapped, tmp_path / "a.csv", standard_error=0.03, expected_accuracy=0.8, least=30)
    # 0.16 / 0.03**2 = 178, a little less in so small a map
    assert 160 < sum(made.points.values()) < 200
    assert made.points["bog"] == 30
    sure = te.sample_design(
        mapped, tmp_path / "b.csv", standard_error=0.03, expected_accuracy={"forest": 0.99, "maize": 0.95}
    )
    assert sum(sure.points.values()) < sum(made.points.values())
    code, out, _ = run(
        "sample-design", mapped, "-o", "c.csv", "--standard-error", "0.03", "--expected-accuracy", "forest=0.99",
        "--expected-accuracy", "maize=0.95", "--json",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["points"] == dict(sure.points)


def test_no_class_gets_more_points_than_pixels(mapped, tmp_path):
    made = te.sample_design(mapped, tmp_path / "a.csv", per_class=1000)
    assert made.points["bog"] == made.pixels["bog"] < 1000
    assert "bog" in made.notes[0]
