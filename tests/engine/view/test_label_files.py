"""Labels as files of other programs: exported and imported again, and what is no label is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labelled import GRID, LEFT, RING, SOME, TOP, changed, degrees, features
from made_up import CRS, ORIGIN
from rasterio.features import rasterize
from rasterio.warp import transform
from shapely import Point, to_wkb

from tessera_engine.analysis.labels.pixels import LabelSource
from tessera_engine.analysis.labels.reading import read_labels
from tessera_engine.errors import InputError, MissingExtra
from tessera_engine.scene import Grid
from tessera_engine.view import label_export, label_import
from tessera_engine.view.label_document import (
    Document,
    labelled_pixels,
    parse_document,
)
from tessera_engine.view.label_export import write_labels
from tessera_engine.view.label_import import import_labels

pyogrio = pytest.importorskip("pyogrio")


METRES = st.floats(-50, 650).map(lambda value: round(value, 3))
POLYGONS = st.lists(
    st.tuples(METRES, METRES.map(lambda value: 50 - value)), min_size=3, max_size=7, unique=True
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(POLYGONS, min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 59), st.integers(0, 49)), max_size=5),
)
def test_labels_lie_on_the_pixels_on_which_map_lays_them(tmp_path, polygons, points):
    labels = [
        {
            "id": f"a{i}",
            "class": "c1" if i % 2 else "c2",
            "kind": "polygon",
            "ring": [[LEFT + x, TOP + y] for x, y in ring],
        }
        for i, ring in enumerate(polygons)
    ] + [
        {"id": f"b{i}", "class": "c1", "kind": "point", "col": col, "row": row}
        for i, (col, row) in enumerate(points)
    ]
    found = parse_document(changed(labels=labels), GRID)
    laid = labelled_pixels(found, GRID)
    classes: dict[int, set] = {}
    for label in found.labels:
        if label.kind if hasattr(label, "kind") else hasattr(label, "ring"):
            ring = [*label.ring, label.ring[0]]
            mask = rasterize(
                [{"type": "Polygon", "coordinates": [ring]}], (50, 60), transform=ORIGIN, dtype="uint8"
            )
            pixels = np.flatnonzero(mask)
        else:
            pixels = [label.row * 60 + label.col]
        for pixel in pixels:
            classes.setdefault(int(pixel), set()).add({"c1": 0, "c2": 1}[label.class_id])
    wanted = {pixel: next(iter(each)) for pixel, each in classes.items() if len(each) == 1}
    assert dict(zip(laid.pixels.tolist(), laid.classes.tolist(), strict=True)) == wanted
    assert (np.diff(laid.pixels) > 0).all()
    assert laid.contradictory == sum(len(each) > 1 for each in classes.values())
    path = tmp_path / "labels.gpkg"
    path.unlink(missing_ok=True)
    if wanted:
        write_labels(path, found, GRID, "gpkg", "field", None)
        read = read_labels(LabelSource(path, "class"), GRID, False, 20_000)
        names = {0: "maize", 1: "grass"}
        assert dict(zip((read.rows * 60 + read.cols).tolist(), read.values, strict=True)) == {
            pixel: names[each] for pixel, each in wanted.items()
        }


@pytest.mark.parametrize("format", label_export.FORMATS)
def test_exported_labels_come_back(tmp_path, format):
    path = tmp_path / f"labels.{'json' if format == 'tee' else format}"
    write_labels(path, SOME, GRID, format, "field", 2024)
    back = import_labels(Document.none(), GRID, path.name, path.read_bytes())
    assert (back.added, back.note) == (3, "")
    assert [(each.name, each.colour) for each in back.labels.classes] == [
        ("maize", "#E69F00"),
        ("grass", "#56B4E9"),
    ]
    assert [(label.col, label.row) for label in back.labels.labels[:2]] == [(3, 4), (59, 49)]
    for one, other in zip(labelled_pixels(SOME, GRID), labelled_pixels(back.labels, GRID), strict=True):
        np.testing.assert_array_equal(one, other)
    again = import_labels(back.labels, GRID, path.name, path.read_bytes())
    assert (again.added, again.labels) == (0, back.labels)
    joined = import_labels(SOME, GRID, path.name, path.read_bytes())
    assert joined.labels.classes == SOME.classes
    assert joined.labels.revision == SOME.revision


def test_geojson_is_in_degrees_and_counterclockwise(tmp_path):
    write_labels(tmp_path / "a.geojson", SOME, GRID, "geojson", "field", None)
    value = json.loads((tmp_path / "a.geojson").read_text())
    point, _, polygon = (each["geometry"]["coordinates"] for each in value["features"])
    (x,), (y,) = transform("EPSG:4326", CRS, [point[0]], [point[1]])
    assert (x, y) == (pytest.approx(LEFT + 35, abs=0.02), pytest.approx(TOP - 45, abs=0.02))
    ring = np.array(polygon[0])
    area = (ring[:-1, 0] * ring[1:, 1] - ring[1:, 0] * ring[:-1, 1]).sum()
    assert area > 0
    assert value["features"][0]["properties"] == {"class": "maize", "colour": "#E69F00"}


def test_long_edges_stay_where_they_are(tmp_path):
    grid = Grid(6000, 6000, CRS, Affine(10, 0, 600_000, 0, -10, 6_600_000))
    ring = [[600_005.0, 6_599_995.0], [655_000.0, 6_599_000.0], [650_000.0, 6_545_000.0]]
    found = parse_document(
        changed(labels=[{"id": "a", "class": "c1", "kind": "polygon", "ring": ring}]), grid
    )
    write_labels(tmp_path / "a.geojson", found, grid, "geojson", "field", None)
    back = import_labels(Document.none(), grid, "a.geojson", (tmp_path / "a.geojson").read_bytes()).labels
    corners = np.array(back.labels[0].ring)
    away = []
    for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True):
        length = np.hypot(x2 - x1, y2 - y1)
        away.append(np.abs((corners[:, 0] - x1) * (y2 - y1) - (corners[:, 1] - y1) * (x2 - x1)) / length)
    assert np.min(away, axis=0).max() < 0.2  # metres


def tee(**label):
    return json.dumps({"viewport": "here", "year": "2024", "labels": [label]}).encode()


def test_labels_of_tee_are_read_in_both_of_its_forms():
    lat, lon = degrees(LEFT + 35, TOP - 45)
    # As the Labels (JSON) button of its list of similar pixels writes them
    similar = tee(
        id="label_1709734200000", name="Forest", color="#38a169", threshold=7.0,
        source_pixel={"lat": lat, "lon": lon}, embedding=[0.5] * 128, pixel_count=12, created="2026-03-06T00:00:00Z",
    )  # fmt: skip
    found = import_labels(Document.none(), GRID, "here_labels.json", similar).labels
    assert [(each.name, each.colour) for each in found.classes] == [("Forest", "#38a169")]
    assert [(label.col, label.row) for label in found.labels] == [(3, 4)]
    # As its panel of drawn labels writes them
    vertices = [degrees(x, y) for x, y in RING]
    drawn = json.dumps(
        [
            {
                "name": "Forest",
                "color": "hsl(0, 70%, 50%)",
                "type": "point",
                "lat": lat,
                "lon": lon,
                "vertices": None,
            },
            {
                "name": "Lake",
                "color": "#123456",
                "type": "polygon",
                "lat": lat,
                "lon": lon,
                "vertices": vertices,
            },
            {"name": "Lost", "type": "similarity", "embedding": [0.5]},
        ]
    ).encode()
    both = import_labels(found, GRID, "manual.json", drawn)
    assert (both.added, both.note) == (1, "left out: 1 shape without a geometry")
    assert [each.name for each in both.labels.classes] == ["Forest", "Lake"]
    np.testing.assert_allclose(both.labels.labels[1].ring, RING, atol=0.01)


def test_a_polygon_with_holes_keeps_them(tmp_path):
    outer = [[LEFT + 50, TOP - 50], [LEFT + 450, TOP - 50], [LEFT + 450, TOP - 450], [LEFT + 50, TOP - 450]]
    holes = [
        [
            [LEFT + x, TOP - y],
            [LEFT + x + 93, TOP - y],
            [LEFT + x + 93, TOP - y - 71],
            [LEFT + x, TOP - y - 71],
        ]
        for x, y in ((81, 101), (300, 290))
    ]
    rings = [[*ring, ring[0]] for ring in (outer, *holes)]
    value = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": CRS}},
        "features": [
            {
                "type": "Feature",
                "properties": {"class": "a"},
                "geometry": {"type": "Polygon", "coordinates": rings},
            }
        ],
    }
    found = import_labels(Document.none(), GRID, "a.geojson", json.dumps(value).encode()).labels
    wanted = rasterize([value["features"][0]["geometry"]], (50, 60), transform=ORIGIN, dtype="uint8")
    assert set(labelled_pixels(found, GRID).pixels.tolist()) == set(np.flatnonzero(wanted).tolist())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.shp", b"", r"a\.shp.*geojson.*gpkg"),
        ("../../etc/passwd", b"x", "passwd"),
        ("a.geojson", b"", "not JSON"),
        ("a.geojson", b"{", "not JSON"),
        ("a.json", b"[" * 200_000, "nested"),
        ("a.json", b"[1, 2]", "no label"),
        ("a.json", b'{"labels": []}', "no label"),
        ("a.json", tee(name="x", source_pixel={"lat": "51", "lon": 4}), "no label.*without a geometry"),
        ("a.json", tee(name="x", source_pixel={"lat": -80, "lon": 4}), "no label.*beside"),
        ("a.json", tee(name="x", lat=1e308, lon=-1e308), "no label.*projection"),
        ("a.gpkg", b"SQLite format 3\0" + b"\0" * 500, r"a\.gpkg"),
        ("a.geojson", features(name="x" * 200), "200 letters.*80"),
        ("a.geojson", features(geometry={"type": "LineString", "coordinates": [[3.001, 50.55], [3.002, 50.549]]}), "line"),
        ("a.geojson", json.dumps({"type": "FeatureCollection", "features": [
            {"type": "Feature", "properties": {"x": 1, "y": 2}, "geometry": None}]}).encode(), "fields x, y.*class"),
        ("a.json", b'{"tessera-engine labels": 1, "grid": {"crs": "EPSG:4326", "transform": [0,0,0,0,0,0]}}', "damaged"),
        ("a.json", (b'{"tessera-engine labels": 1, "grid": {"crs": "/vsicurl/http://x", "transform": [1,0,0,0,1,0]},'
         b'"revision":0,"classes":[],"labels":[]}'), "damaged"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_labels_is_refused_in_one_line(name, content, words):
    with pytest.raises(InputError, match=words) as refused:
        import_labels(SOME, GRID, name, content)
    assert "\n" not in str(refused.value)
    assert "/tmp" not in str(refused.value)


def test_a_file_without_crs_or_with_several_layers_says_what_to_do(tmp_path):
    point = np.array([to_wkb(Point(LEFT + 35, TOP - 45))], object)
    for layer, crs in (("a", CRS), ("b", CRS)):
        pyogrio.raw.write(
            tmp_path / "two.gpkg", point, [np.array(["x"], object)], ["class"], layer=layer, driver="GPKG",
            geometry_type="Point", crs=crs, append=(tmp_path / "two.gpkg").exists(),
        )  # fmt: skip
    with pytest.raises(InputError, match=r"two\.gpkg has 2 layers.*one layer") as refused:
        import_labels(SOME, GRID, "two.gpkg", (tmp_path / "two.gpkg").read_bytes())
    assert "=" not in str(refused.value)


def test_the_size_and_the_number_of_labels_of_a_file_are_limited(monkeypatch):
    with pytest.raises(InputError, match=r"20,000,001 bytes.*20,000,000"):
        import_labels(SOME, GRID, "a.json", b" " * 20_000_001)
    monkeypatch.setattr(label_import, "MOST_LABELS", 4)
    many = [
        {
            "name": "x",
            "lat": degrees(LEFT + 10 * i + 5, TOP - 5)[0],
            "lon": degrees(LEFT + 10 * i + 5, TOP - 5)[1],
        }
        for i in range(3)
    ]
    with pytest.raises(InputError, match="at most 4"):
        import_labels(SOME, GRID, "a.json", json.dumps(many).encode())
    monkeypatch.setattr(label_import, "MOST_CLASSES", 2)
    with pytest.raises(InputError, match="at most 2"):
        import_labels(SOME, GRID, "a.json", json.dumps(many[:1]).encode())


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["a.json", "a.geojson", "a.gpkg"]))
def test_no_bytes_bring_the_import_down(content, name):
    with pytest.raises((InputError, MissingExtra)):
        import_labels(SOME, GRID, name, content)
