"""Outlines of fields on the page: what of a file comes to it, and that labels of whole fields label their pixels."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from affine import Affine
from made_up import CRS, ORIGIN
from outputs import made_up_output
from rasterio.features import rasterize
from rasterio.warp import transform_geom
from staged import landscape

from tessera_engine.errors import InputError
from tessera_engine.scene import Grid
from tessera_engine.view import segments as segments_module
from tessera_engine.view.label_document import Document, labelled_pixels, parse_document
from tessera_engine.view.label_export import write_labels
from tessera_engine.view.label_import import import_labels
from tessera_engine.view.segments import read_segments

pytest.importorskip("pyogrio")
shapely = pytest.importorskip("shapely")

GRID = Grid(60, 50, CRS, ORIGIN)


def box(left, top, right, bottom):
    """A polygon between columns and rows."""
    return shapely.Polygon(
        [ORIGIN @ xy for xy in ((left, top), (right, top), (right, bottom), (left, bottom))]
    )


def with_holes(outer, *holes):
    return shapely.Polygon(outer.exterior, [hole.exterior for hole in holes])


FIELD, WIDE = box(5, 5, 12, 9), box(20, 20, 40, 40)
# A hole of one column: the cut goes through the centres of its pixels
HOLED = with_holes(WIDE, box(25, 25, 26, 30), box(33, 22, 38, 39))


def write(path, shapes, crs=CRS):
    """A GeoJSON file of shapes in the grid's CRS, brought into another one."""
    features = [
        {
            "type": "Feature",
            "properties": {},
            "geometry": shapely.geometry.mapping(shape)
            if crs == CRS
            else transform_geom(CRS, crs, shapely.geometry.mapping(shape), precision=12),
        }
        for shape in shapes
    ]
    named = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": named, "features": features}))
    return path


def polygons_of(segment):
    return shapely.MultiPolygon([(rings[0], rings[1:]) for rings in segment["polygons"]])


def pieces_of(segment):
    return segment.get("pieces") or [rings[0] for rings in segment["polygons"]]


def labels_of(segment):
    labels = [
        {"id": f"l{i}", "class": "c1", "kind": "polygon", "ring": ring}
        for i, ring in enumerate(pieces_of(segment))
    ]
    classes = [{"id": "c1", "name": "a", "colour": "#000000"}]
    return parse_document({"revision": 0, "classes": classes, "labels": labels}, GRID)


@pytest.mark.parametrize("crs", [CRS, "EPSG:4326", "EPSG:3035"])
def test_fields_lie_where_the_file_has_them(tmp_path, crs):
    path = write(tmp_path / "fields.geojson", [FIELD, HOLED, shapely.MultiPolygon([box(0, 40, 4, 50), box(50, 1, 59, 3)])], crs)  # fmt: skip
    found = read_segments(path, GRID)
    assert found.about() == {"name": "fields.geojson", "count": 3, "note": ""}
    content = json.loads(found.content)
    # From the largest to the smallest
    for segment, wanted in zip(content, (HOLED, None, FIELD), strict=True):
        polygons = polygons_of(segment)
        pixels = labelled_pixels(labels_of(segment), GRID).pixels
        burnt = rasterize([polygons], (50, 60), transform=ORIGIN, dtype="uint8")
        assert pixels.tolist() == np.flatnonzero(burnt).tolist()
        if wanted is not None:
            assert polygons.symmetric_difference(wanted).area < 0.5  # m2; the edge is 800 m long
            assert len(pixels) == round(wanted.area / 100)
    assert len(content[1]["polygons"]) == 2
    assert len(content[2]["polygons"][0][0]) == 4
    assert ["pieces" in segment for segment in content] == [True, False, False]


def test_many_holes_are_cut_into_pieces_that_cover_the_field(tmp_path):
    holes = [
        box(2 * col + 1, 2 * row + 1, 2 * col + 2, 2 * row + 2) for col in range(29) for row in range(24)
    ]
    field = with_holes(box(0, 0, 60, 50), *holes)
    (segment,) = json.loads(read_segments(write(tmp_path / "f.geojson", [field]), GRID).content)
    assert len(labelled_pixels(labels_of(segment), GRID).pixels) == 60 * 50 - len(holes)
    assert sum(shapely.Polygon(ring).area for ring in segment["pieces"]) == pytest.approx(field.area)


@pytest.mark.parametrize("width", [1, 2, 3, 7, 16, 33, 50])
def test_files_of_labels_that_round_corners_keep_the_pixels_along_a_cut(tmp_path, width):
    field = with_holes(box(2, 2, 58, 48), box(5, 5, 5 + width, 45))
    (segment,) = json.loads(read_segments(write(tmp_path / "f.geojson", [field]), GRID).content)
    labels = labels_of(segment)
    write_labels(tmp_path / "labels.geojson", labels, GRID, "geojson", "field", None)
    content = (tmp_path / "labels.geojson").read_bytes()
    again = import_labels(Document.none(), GRID, "labels.geojson", content).labels
    assert len(labels.labels) > 1
    assert labelled_pixels(again, GRID).pixels.tolist() == labelled_pixels(labels, GRID).pixels.tolist()


def test_only_what_meets_the_output_comes(tmp_path):
    beside, touching, across = box(60.5, 0, 70, 10), box(-10, 0, 0, 10), box(-10, 20, 5, 30)
    far = box(-1e9, 45, 10, 48)
    bow = shapely.Polygon([ORIGIN @ xy for xy in ((30, 2), (40, 8), (40, 2), (30, 8))])
    shapes = [FIELD, beside, touching, across, far, bow, shapely.Point(*(ORIGIN @ (3, 3)))]
    found = read_segments(write(tmp_path / "f.geojson", shapes), GRID)
    assert found.count == 4
    assert "1 points or lines" in found.note
    everything = json.loads(found.content)
    wanted = rasterize(
        [FIELD, across, box(-1, 45, 10, 48), shapely.make_valid(bow)], (50, 60), transform=ORIGIN
    )
    pixels = [labelled_pixels(labels_of(segment), GRID).pixels for segment in everything]
    assert sorted(np.concatenate(pixels).tolist()) == np.flatnonzero(wanted).tolist()


def test_a_turned_grid_is_met_itself_not_its_box(tmp_path):
    turned = Grid(
        60, 50, CRS, Affine.translation(500_000, 5_600_000) @ Affine.rotation(45) @ Affine.scale(10, -10)
    )
    x, y = turned.transform @ (30, 25)
    inside = shapely.box(x - 20, y - 20, x + 20, y + 20)
    left, bottom, _, _ = shapely.MultiPoint(
        [turned.transform @ xy for xy in ((0, 0), (60, 0), (0, 50), (60, 50))]
    ).bounds
    corner = shapely.box(left + 1, bottom + 1, left + 20, bottom + 20)
    found = read_segments(write(tmp_path / "f.geojson", [inside, corner]), turned)
    assert polygons_of(*json.loads(found.content)).equals(inside)


@pytest.mark.parametrize(("limit", "most"), [("MOST_SEGMENTS", 2), ("MOST_CORNERS", 12)])
def test_of_too_many_the_largest_come_and_it_is_said(tmp_path, monkeypatch, limit, most):
    monkeypatch.setattr(segments_module, limit, most)
    path = write(tmp_path / "f.geojson", [box(0, 0, size, 1) for size in (3, 9, 5, 7)])
    found = read_segments(path, GRID)
    areas = [polygons_of(segment).area for segment in json.loads(found.content)]
    assert areas == [900, 700]
    assert found.note == "left out: all but the 2 largest of 4 polygons"


def test_a_polygon_with_too_many_corners_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(segments_module, "MOST_CORNERS", 4)
    with pytest.raises(InputError, match="5 corners, expected at most 4"):
        read_segments(write(tmp_path / "f.geojson", [FIELD]), GRID)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return made_up_output(tmp_path_factory.mktemp("o") / "field.embeddings", landscape(50, 60))


def test_the_route_gives_them_to_the_page_and_to_nobody_else(serving, output, tmp_path):
    path = write(tmp_path / "fields.geojson", [FIELD, HOLED])
    with serving(output, segments=path) as (_, client):
        assert client.get("/api/info")["segments"] == {"name": "fields.geojson", "count": 2, "note": ""}
        first, second = client.get("/api/segments")
        assert polygons_of(first).equals(HOLED)
        assert polygons_of(second).equals(FIELD)
        # Read once: what becomes of the file is nothing to the page, and a request names no file
        path.unlink()
        assert client.get("/api/segments?path=/etc/passwd")[1] == second
        for answer in (
            client.ask("/api/segments", cookie=False),
            client.ask("/api/segments", Host="evil.example"),
            client.ask("/api/segments", Origin="http://evil.example"),
            client.ask("/api/segments", Sec_Fetch_Site="cross-site"),
        ):
            assert answer[0] == 403
            assert b"polygons" not in answer[2]
        assert client.ask("/api/segments", "POST", {})[0] == 405


def test_without_segments_there_is_no_such_thing(serving, output):
    with serving(output) as (_, client):
        assert client.get("/api/info")["segments"] is None
        assert client.ask("/api/segments")[0] == 404


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([shapely.Point(*(ORIGIN @ (3, 3)))], "no polygons.*--segments"),
        ([box(1000, 0, 1010, 10)], "no polygon on the output"),
        ([box(-10, 0, 0, 10)], "no polygon on the output"),
        ([], "no polygon on the output"),
        (None, "no such file"),
    ],
)
def test_a_file_without_fields_is_refused_in_one_line(run, output, tmp_path, shapes, words):
    path = tmp_path / "f.geojson"
    if shapes is not None:
        write(path, shapes)
    code, out, err = run("view", output, "--no-browser", "--segments", path)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert re.search(words, err), err


def test_a_file_with_two_layers_gets_advice_that_can_be_followed(tmp_path):
    from pyogrio.raw import write as write_layer

    path = tmp_path / "two.gpkg"
    for layer in ("a", "b"):
        write_layer(path, shapely.to_wkb([FIELD]), [np.arange(1)], ["n"], layer=layer, driver="GPKG",
                    geometry_type="Polygon", crs=CRS, append=layer == "b")  # fmt: skip
    with pytest.raises(InputError, match=r"2 layers with shapes: a, b; (?!give layer)"):
        read_segments(path, GRID)


def test_an_output_without_a_crs_has_no_place_for_them(tmp_path):
    with pytest.raises(InputError, match="no CRS"):
        read_segments(write(tmp_path / "f.geojson", [FIELD]), Grid(60, 50, None, ORIGIN))


def test_a_page_in_a_folder_leaves_them_out_and_says_so(run, output, tmp_path):
    path = write(tmp_path / "fields.geojson", [FIELD])
    code, _, err = run("view", output, "--export", tmp_path / "page", "--segments", path)
    assert code == 0
    assert len([line for line in err.splitlines() if "--segments" in line]) == 1
    assert "segments" not in (tmp_path / "page" / "data.js").read_text(encoding="ascii")
