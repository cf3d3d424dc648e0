"""The area of applicability, as Meyer and Pebesma 2021 define it: against examples computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from made_up import CRS, ORIGIN
from outputs import made_up_output

from tessera_engine import map as make_map
from tessera_engine.analysis.maps.applicability import MOST_REFERENCES, measure_applicability, upper_whisker


def test_an_example_by_hand():
    """Four labels at the corners of a square; the second feature matters half as much.

    Both features have the values 0, 0, 2, 2: standard deviation 2 / sqrt(3), so a side is sqrt(3) long in the first and
    sqrt(3) / 2 in the second. Distances: two of each side, two diagonals of sqrt(3 + 3 / 4).
    """
    x = np.array([[0, 0], [0, 2], [2, 0], [2, 2]], np.float32)
    found = measure_applicability(x, np.array([2.0, 1.0]), np.array([0, 0, 1, 1]))
    wide, narrow = 3**0.5, 3**0.5 / 2
    mean = (2 * wide + 2 * narrow + 2 * (wide**2 + narrow**2) ** 0.5) / 6
    assert found.limits[0] == pytest.approx(mean)
    # The nearest label of the other fold is across the first feature
    assert found.threshold == pytest.approx(wide / mean)
    new = np.array([[0, 0], [1, 0], [4, 2], [2, 5]], np.float32)
    expected = np.array([0, wide / 2, wide, 1.5 * narrow]) / mean
    np.testing.assert_allclose(found.dissimilarity(new), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "whisker"),
    [
        ([1], 1),
        ([1, 2, 3, 4, 5], 5),
        ([1, 2, 3, 4, 100], 4),
        ([1, 1, 1, 1, 9], 1),
        ([0, 2, 3, 4, 5, 6, 7, 13.5], 7),
    ],
)
def test_the_upper_whisker_is_that_of_a_box_plot(values, whisker):
    """R's boxplot.stats: hinges 2.5 and 6.5 in the last example, so at most 12.5."""
    assert upper_whisker(np.array(values[::-1], float)) == whisker


def test_labels_that_are_all_the_same_have_no_distances():
    assert measure_applicability(np.ones((5, 3), np.float32), np.ones(3), np.arange(5)) is None


def test_a_feature_without_spread_or_weight_does_not_count():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    x[:, 1] = 7
    found = measure_applicability(x, np.array([1.0, 1.0, 0.0]), np.arange(40) % 5)
    moved = x + np.array([0, 50, 50], np.float32)
    np.testing.assert_array_equal(found.dissimilarity(moved), found.dissimilarity(x))


def test_of_many_labels_some_are_drawn():
    x = np.random.default_rng(0).normal(size=(MOST_REFERENCES + 500, 2)).astype(np.float32)
    found = measure_applicability(x, np.ones(2), np.arange(len(x)) % 5)
    assert len(found.references) == MOST_REFERENCES


def test_land_without_labels_lies_beyond(tmp_path):
    rng = np.random.default_rng(0)
    crop = np.add.outer(np.arange(40) // 4, np.arange(40) // 4) % 2
    values = np.array([[4.0] * 8, [-4.0] * 8])[crop] + rng.normal(size=(40, 40, 8))
    values[30:] += np.array([40, -40] * 4)  # land that no label has seen
    values[:2, :2] = np.nan
    out = made_up_output(tmp_path / "e", values.astype(np.float32))
    labels = np.full((40, 40), 255, np.uint8)
    labels[2:28:3, 2:40:3] = crop[2:28:3, 2:40:3]
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 1,
        "crs": CRS,
        "transform": ORIGIN,
        "nodata": 255,
    }
    with rasterio.open(tmp_path / "l.tif", "w", height=40, width=40, **profile) as file:
        file.write(labels, 1)
    made = make_map(out, tmp_path / "l.tif", out=tmp_path / "o", applicability=True, progress=False)
    with rasterio.open(tmp_path / "o" / "applicability.tif") as file:
        area, tags = file.read(1), file.tags()
    with rasterio.open(tmp_path / "o" / "dissimilarity.tif") as file:
        beyond = file.read(1)
    assert (area[30:] == 2).all()
    assert (area[2:28] == 1).mean() > 0.8
    assert (area[:2, :2] == 0).all()
    np.testing.assert_array_equal(area == 2, beyond > np.float32(tags["THRESHOLD"]))
    assert made.report["beyond_applicability"] == pytest.approx((area == 2).sum() / (area > 0).sum())
