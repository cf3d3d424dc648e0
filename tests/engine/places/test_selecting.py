"""The pixels that a file of shapes selects: in every CRS, with a buffer; and why it selects none."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine

from tessera_engine.errors import InputError
from tessera_engine.places.losses import Cause
from tessera_engine.places.selecting import Asked, parse_length, select, shapes_sha256
from tessera_engine.places.shapes import ShapeFile
from tessera_engine.scene import Grid, Window

UTM = "EPSG:32631"
GRID = Grid(60, 40, UTM, Affine(10, 0, 600_000, 0, -10, 5_600_000))
INSIDE = shapely.box(600_100, 5_599_800, 600_200, 5_599_900)  # 10 x 10 pixels
SMALL = shapely.box(600_301, 5_599_701, 600_304, 5_599_704)  # holds no centre
FAR = shapely.box(700_000, 5_599_800, 700_100, 5_599_900)


def write(path, *shapes, crs=UTM, **options):
    frame = geopandas.GeoDataFrame({"id": range(len(shapes))}, geometry=list(shapes), crs=UTM)
    (frame if crs is None else frame.to_crs(crs)).to_file(path, **options)
    return path


def chosen(path, kind="aoi", buffer=0.0, grid=GRID, within=None, **said):
    file = ShapeFile(path, crs_parameter="shapes_crs", **said)
    return select(Asked(kind, file, buffer), grid, within or grid.window)


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:3857", "EPSG:32632"])
@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.shp", "a.fgb"])
def test_polygons_select_the_pixels_whose_centre_they_hold(tmp_path, crs, name):
    found = chosen(write(tmp_path / name, INSIDE, crs=crs))
    assert (len(found.pixels), found.pixels.box) == (100, (10, 10, 10, 10))
    assert found.note() is None


def test_points_select_the_pixel_in_which_they_lie(tmp_path):
    path = tmp_path / "plots.csv"
    path.write_text(
        "plot,x,y\n1,600005,5599995\n2,600005.1,5599995\n3,600599.9,5599600.1\n4,600601,5599601\n"
    )
    found = chosen(path, "points", crs=UTM)
    assert len(found.pixels) == 2
    assert found.lost == {Cause.BESIDE: 1}
    assert found.pixels.mask(GRID.window)[[0, 39], [0, 59]].all()
    assert "1 shape beside the scene" in found.note()


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
@pytest.mark.parametrize(
    ("shape", "metres", "pixels"),
    [
        (shapely.Point(600_105, 5_599_895), 1, 1),  # its own pixel, though the buffer may hold no centre
        (shapely.Point(600_109, 5_599_891), 1, 1),
        (shapely.Point(600_105, 5_599_895), 10.1, 5),
        (shapely.LineString([(600_100, 5_599_895), (600_200, 5_599_895)]), 6, 12),
        (INSIDE, 10, 144),
        (INSIDE, -10, 64),
        (SMALL, 5, 1),
    ],
)
def test_a_buffer_is_in_metres(tmp_path, crs, shape, metres, pixels):
    found = chosen(write(tmp_path / "a.gpkg", shape, crs=crs), buffer=metres)
    grown = shape.buffer(metres)
    cols, rows = np.meshgrid(np.arange(60), np.arange(40))
    centres = shapely.points(600_005 + 10 * cols, 5_599_995 - 10 * rows)
    held = shapely.contains(grown, centres)
    assert len(found.pixels) == max(held.sum(), 1) == pixels


def test_a_buffer_reaches_shapes_beside_the_scene(tmp_path):
    beside = shapely.Point(599_970, 5_599_895)
    assert len(chosen(write(tmp_path / "a.gpkg", beside, crs="EPSG:4326"), buffer=50).pixels) > 0


def test_only_a_part_of_the_scene(tmp_path):
    found = chosen(write(tmp_path / "a.gpkg", INSIDE), within=Window(0, 0, 15, 15))
    assert found.pixels.box == (10, 10, 5, 5)


def test_shapes_that_select_nothing_are_counted_where_others_do(tmp_path):
    found = chosen(write(tmp_path / "a.gpkg", INSIDE, SMALL, FAR, None))
    assert found.lost == {Cause.NO_CENTRE: 1, Cause.BESIDE: 1, Cause.NO_GEOMETRY: 1}


@pytest.mark.parametrize(
    ("shapes", "kind", "facts"),
    [
        ((FAR,), "aoi", ("x 700000 to 700100", "the scene at x", "600")),
        ((SMALL,), "aoi", ("1 polygon without a pixel centre inside", "buffer=")),
        ((), "aoi", ("holds no shapes",)),
        ((shapely.LineString([(600_100, 5_599_800), (600_200, 5_599_800)]),), "aoi", ("lines", "buffer=")),
        ((INSIDE,), "points", ("polygons", "aoi=")),
    ],
)
def test_an_error_says_why_nothing_is_selected(tmp_path, shapes, kind, facts):
    path = write(tmp_path / "a.gpkg", *shapes)
    with pytest.raises(InputError) as error:
        chosen(path, kind)
    for fact in ("a.gpkg", *facts):
        assert fact in str(error.value)


def test_mistakes_with_files_and_crs(tmp_path):
    with pytest.raises(InputError, match=r"no such file.*gone\.gpkg"):
        chosen(tmp_path / "gone.gpkg")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match=r"empty\.csv"):
        chosen(tmp_path / "empty.csv")
    (tmp_path / "xy.csv").write_text("x,y\n600105,5599895\n")
    with pytest.raises(InputError, match=r"xy\.csv has no CRS.*shapes_crs="):
        chosen(tmp_path / "xy.csv")
    swapped = tmp_path / "swapped.csv"
    swapped.write_text("lon,lat\n50.5,4.4\n")
    with pytest.raises(InputError, match="swapped"):
        chosen(swapped)
    path = write(tmp_path / "a.gpkg", INSIDE, FAR, layer="one")
    write(path, INSIDE, layer="two")
    with pytest.raises(InputError, match=r"one, two.*layer="):
        chosen(path)
    assert len(chosen(path, layer="two").pixels) == 100
    with pytest.raises(InputError, match="no CRS"):
        chosen(path, layer="two", grid=Grid(60, 40))
    degrees = Grid(60, 40, "EPSG:4326", Affine(1e-4, 0, 4.41, 0, -1e-4, 50.545))
    with pytest.raises(InputError, match=r"buffer=20m.*degrees"):
        chosen(path, layer="two", buffer=20, grid=degrees)


@pytest.mark.parametrize(
    ("text", "metres"), [("50m", 50), ("0.5 km", 500), (12, 12), (2.5, 2.5), ("-10m", -10)]
)
def test_lengths(text, metres):
    assert parse_length("buffer", text) == metres


@pytest.mark.parametrize("text", ["fifty", "50ft", "", "m", "5e1x"])
def test_no_lengths(text):
    with pytest.raises(InputError, match="buffer="):
        parse_length("buffer", text)


def test_the_checksum_of_a_shapefile_covers_all_its_files(tmp_path):
    path = write(tmp_path / "a.shp", INSIDE)
    before = shapes_sha256(path)
    (tmp_path / "a.prj").write_text("another")
    assert shapes_sha256(path) != before
