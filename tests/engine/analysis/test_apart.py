"""No command replaces what it reads, though it was told to overwrite."""

from __future__ import annotations

import json

import pytest
from made_up import CRS, ORIGIN
from outputs import made_up_output
from rasterio.warp import transform
from staged import landscape


@pytest.fixture
def place(tmp_path):
    """Outputs of two years, and labels in two parts of them."""
    for name, year in (("a", 2023), ("b", 2024)):
        made_up_output(tmp_path / name, landscape(12, 16, 16, seed=year), year=year)
    spots = [(col, row) for col in (1, 5, 9, 13) for row in (1, 4, 7, 10)]
    x, y = zip(*(ORIGIN @ (col + 0.5, row + 0.5) for col, row in spots), strict=True)
    points = [
        {
            "type": "Feature",
            "properties": {"crop": "ab"[i % 2]},
            "geometry": {"type": "Point", "coordinates": spot},
        }
        for i, spot in enumerate(zip(*transform(CRS, "EPSG:4326", x, y), strict=True))
    ]
    (tmp_path / "points.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": points}))
    (tmp_path / "lonlat").write_text("{} {}".format(*points[5]["geometry"]["coordinates"]))
    return tmp_path


LABELS = "--labels points.geojson --field crop"


@pytest.mark.parametrize(
    "line",
    [
        "similar a --at LONLAT -o a",
        "change a b -o a",
        "change a b -o b",
        "map a {labels} -o a",
        "map b --train a {labels} -o a",
        "evaluate a {labels} --method knn -o a",
        "convert a --format npy --dim 16 -o a",
        "view a --export a",
        "sample a points.geojson -o points.geojson",
    ],
)
def test_what_is_read_is_never_replaced(line, place, run):
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    words = line.format(labels=LABELS).replace("LONLAT", (place / "lonlat").read_text()).split()
    code, out, err = run(*words, "--overwrite", "-q")
    assert (code, out, "choose another --" in err) == (2, "", True), err
    assert len(err.strip().splitlines()) == 1
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
