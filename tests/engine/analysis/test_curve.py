"""Learning curves: more labels are better, and suggested ones are worth several random ones where land has few kinds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_up import CRS, ORIGIN
from outputs import made_up_output

from tessera_engine.analysis.labels.pixels import LabelSource
from tessera_engine.analysis.maps import curve
from tessera_engine.analysis.maps.intervals import Interval
from tessera_engine.formats.opening import open_embeddings

SIDE, KINDS = 40, 8
generator = np.random.default_rng(0)
# Half of the land is of one kind, so random labels seldom meet the others
PATCHES = np.where(generator.random((10, 10)) < 0.5, 1, generator.integers(1, KINDS + 1, (10, 10)))
KIND = np.kron(PATCHES, np.ones((4, 4), int)).astype(np.uint8)
EMBEDDING = 3 + generator.normal(size=(KINDS + 1, 16))[KIND] + 0.2 * generator.normal(size=(SIDE, SIDE, 16))


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    folder = tmp_path_factory.mktemp("land")
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "crs": CRS, "transform": ORIGIN}
    with rasterio.open(folder / "kinds.tif", "w", height=SIDE, width=SIDE, **profile) as file:
        file.write(KIND, 1)
    return made_up_output(folder / "a.embeddings", EMBEDDING.astype(np.float32)), folder / "kinds.tif"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(curve, "DRAWS", 4)
    monkeypatch.setattr(curve, "SIZES", (5, 10, 20, 45))


def test_the_curve_rises_and_suggestions_are_worth_more(land, run):
    code, out, _ = run("evaluate", land[0], "--labels", land[1], "--curve", "-o", "curve", "--json")
    assert code == 0
    found = json.loads(out)
    assert [step["labels"] for step in found["steps"]] == [5, 10, 20, 45]
    for order in ("suggested", "random"):
        values = [step[order]["value"] for step in found["steps"]]
        assert values[-1] > values[0] + 0.1
        assert all(
            step[order]["low"] <= step[order]["value"] <= step[order]["high"] for step in found["steps"]
        )
    ten = found["steps"][1]
    assert ten["difference"]["value"] == pytest.approx(ten["suggested"]["value"] - ten["random"]["value"])
    assert ten["difference"]["value"] > 0.05
    assert ten["worth_random"] is None or ten["worth_random"] > 12
    assert sorted(path.name for path in Path("curve").iterdir()) == [
        "item.json", "report.html", "report.json", "report.md", "report.png",
    ]  # fmt: skip
    assert f"| 10 | {100 * ten['suggested']['value']:.1f} (" in Path("curve/report.md").read_text()
    again = curve.learning_curve(open_embeddings(land[0]), LabelSource(land[1]))
    assert again.to_dict()["steps"] == found["steps"]


def test_validated_land_is_never_labelled():
    groups = np.repeat(np.arange(10), 20)
    names = np.array(["a", "b"])[np.arange(200) % 2]
    for seed in range(5):
        pool, validated = curve._divide(groups, names, np.random.default_rng(seed))
        assert not set(groups[pool]) & set(groups[validated])
        assert len(pool) + len(validated) == 200


def test_what_labels_are_worth():
    def step(labels, suggested, random):
        one, two = (Interval(value, value, value) for value in (suggested, random))
        return curve.Step(labels, one, two, Interval(0, 0, 0))

    found = curve.Curve({}, (step(10, 0.6, 0.4), step(20, 0.8, 0.5), step(40, 0.9, 0.7)), ())
    assert found.worth(10) == pytest.approx(20 * 2**0.5)
    assert found.worth(20) is None
    assert curve.Curve({}, (step(10, 0.3, 0.4),), ()).worth(10) == 10


def test_what_a_curve_does_not_measure_is_refused(land, run):
    for words in (("--method", "knn"), ("--regression",), ("--threads", 1)):
        code, _, messages = run("evaluate", land[0], "--labels", land[1], "--curve", *words)
        assert code == 2
        assert words[0] in messages
