"""Labels: pixels get the right values, codes stay codes, and what is lost is counted by its cause."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from labels_there import HEIGHT, WIDTH, centre, write_raster
from made_up import CRS, ORIGIN
from pyogrio.raw import write as write_shapes
from rasterio.enums import ColorInterp

from tessera_engine.analysis.labels.burning import Burner
from tessera_engine.analysis.labels.classes import Classes, sorted_classes
from tessera_engine.analysis.labels.pixels import Draw, LabelSource
from tessera_engine.analysis.labels.reading import read_labels
from tessera_engine.errors import InputError
from tessera_engine.places.losses import Cause, Losses
from tessera_engine.scene import Grid

GRID = Grid(WIDTH, HEIGHT, CRS, ORIGIN)
LEFT, TOP = ORIGIN.c, ORIGIN.f


def read(path, regression=False, field="f", most=20_000, **said):
    return read_labels(LabelSource(path, field, **said), GRID, regression, most)


def as_array(labels):
    found = np.full((HEIGHT, WIDTH), None, object)
    found[labels.rows, labels.cols] = labels.values
    return found


def square(col, row, size):
    """With this size in pixels around the centre of a pixel, a little aside so that no edge passes through a centre."""
    x, y = ORIGIN @ (col + 0.52, row + 0.53)
    return shapely.box(x - size * 5, y - size * 5, x + size * 5, y + size * 5)


def write(path, shapes, values, crs=CRS, driver="GPKG", **options):
    wkb = np.array([None if shape is None else shapely.to_wkb(shape) for shape in shapes], object)
    text = any(value is None or isinstance(value, str) for value in values)
    write_shapes(
        path,
        wkb,
        [np.array(values, object if text else None)],
        ["f"],
        driver=driver,
        geometry_type="Unknown",
        crs=crs,
        **options,
    )
    return path


# Rasters


def test_a_file_without_shapes_is_not_told_to_have_another_field(tmp_path):
    path = tmp_path / "nothing.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(InputError, match=r"nothing\.geojson holds no shapes"):
        read_labels(LabelSource(path, "crop"), GRID, False, 20_000)


def test_zero_is_a_number(tmp_path):
    cover = np.zeros((HEIGHT, WIDTH), np.uint8)
    cover[5:10, 5:20] = 80
    labels = read(write_raster(tmp_path / "l.tif", cover), regression=True)
    np.testing.assert_array_equal(as_array(labels).astype(float), cover)
    assert labels.notes == ()


def test_zero_is_a_class_unless_the_raster_or_the_user_says_otherwise(tmp_path):
    classes = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 3).astype(np.int16)
    labels = read(write_raster(tmp_path / "l.tif", classes))
    np.testing.assert_array_equal(as_array(labels).astype(int), classes)
    (note,) = labels.notes
    assert "400 pixels" in note
    assert "nodata=0" in note
    for declared, said in ((0, {}), (None, {"nodata": 0.0}), (2, {"nodata": 0.0})):
        labels = read(write_raster(tmp_path / "l.tif", classes, nodata=declared), **said)
        assert set(labels.values) == {"1", "2"}
        assert labels.notes == ()


@pytest.mark.parametrize("fill", [-9999, 255])
@pytest.mark.parametrize("regression", [False, True])
def test_an_undeclared_fill_gets_a_hint_and_nothing_is_removed(tmp_path, fill, regression):
    values = np.full((HEIGHT, WIDTH), fill, np.int16)
    values[::4, ::4] = np.arange(1, 81).reshape(8, 10) % 7 + 1
    path = write_raster(tmp_path / "l.tif", values)
    labels = read(path, regression)
    assert len(labels) == HEIGHT * WIDTH
    (note,) = labels.notes
    assert f"nodata={fill}" in note
    assert "1,120 pixels (93 %)" in note
    labels = read(path, regression, nodata=float(fill))
    assert (len(labels), labels.notes) == (80, ())


def test_codes_up_to_255_get_no_hint(tmp_path):
    values = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 255 + 1
    assert read(write_raster(tmp_path / "l.tif", values.astype(np.uint8))).notes == ()


def test_one_of_several_bands_has_to_be_named(tmp_path):
    bands = np.stack([np.full((HEIGHT, WIDTH), value, np.uint8) for value in (7, 8, 9)])
    path = write_raster(tmp_path / "l.tif", bands)
    with pytest.raises(InputError, match=r"3 bands.*band="):
        read(path)
    assert set(read(path, band=2).values) == {"8"}
    with pytest.raises(InputError, match="band=4"):
        read(path, band=4)


def test_an_alpha_band_is_a_mask(tmp_path):
    bands = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    bands[0] = 3
    bands[1, :10] = 255
    path = write_raster(tmp_path / "l.tif", bands)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
    labels = read(path)
    assert len(labels) == 10 * WIDTH
    assert labels.rows.max() == 9


@pytest.mark.parametrize("band", [None, 1])
def test_complex_numbers_are_no_labels(tmp_path, band):
    path = write_raster(tmp_path / "l.tif", np.ones((1, HEIGHT, WIDTH), np.complex64))
    with pytest.raises(InputError, match=r"l\.tif has complex numbers"):
        read(path, band=band)


def test_a_raster_that_covers_a_part(tmp_path):
    """Pixels beside it are no label, though 0 is one."""
    part = np.zeros((10, 10), np.uint8)
    path = write_raster(tmp_path / "l.tif", part, transform=ORIGIN @ rasterio.Affine.translation(5, 6))
    labels = read(path, regression=True)
    assert len(labels) == 100
    assert (labels.cols.min(), labels.rows.min(), labels.cols.max(), labels.rows.max()) == (5, 6, 14, 15)


def test_values_that_are_not_finite_are_no_label(tmp_path):
    values = np.full((HEIGHT, WIDTH), 0.1, np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    path = write_raster(tmp_path / "l.tif", values)
    assert len(read(path, regression=True)) == len(read(path)) == HEIGHT * WIDTH - 3
    with pytest.raises(InputError, match="without data"):
        read(write_raster(tmp_path / "l.tif", values, nodata=0.1))  # the float32 of 0.1


# Losses


def test_each_loss_is_counted_by_its_cause(tmp_path):
    far = shapely.Point(LEFT + 50_000, TOP)
    line = shapely.LineString([(LEFT, TOP), (LEFT + 100, TOP - 100)])
    shapes = [
        *(centre(col, 3) for col in range(5)),  # 5 labels
        *(centre(col, 4) for col in range(3)),  # no value
        *(far, far),
        *(square(col, 10, 0.02) for col in range(4)),  # between centres
        *(None, shapely.Point()),
        line,
        *(centre(20, 20), centre(20, 20), square(30, 25, 3), square(32, 25, 3)),
    ]
    values = [*"aabbc", None, "nan", " ", *"ab", *"aaaa", *"ab", "a", *"abab"]
    labels = read(write(tmp_path / "l.gpkg", shapes, values))
    assert labels.lost == {
        Cause.NO_VALUE: 3,
        Cause.BESIDE: 2,
        Cause.NO_CENTRE: 4,
        Cause.NO_GEOMETRY: 2,
        Cause.LINE: 1,
        Cause.CONTRADICTORY: 1 + 3,
    }
    assert len(labels.notes) == 1
    assert len(labels) == 5 + 2 * 6
    for fact in ("3 shapes without a value", "1 line,", "4 pixels with different labels"):
        assert fact in labels.notes[0]


@pytest.mark.parametrize(
    ("shapes", "values", "cause"),
    [
        ([square(5, 5, 0.02), square(7, 7, 0.02)], "ab", "2 polygons without a pixel centre.*points"),
        ([centre(5, 5), centre(5, 5)], "ab", "1 pixel with different labels"),
        ([shapely.Point(LEFT - 9e4, TOP)] * 2, "ab", "2 shapes beside the scene; they lie at x"),
        ([centre(5, 5)], [None], "1 shape without a value; field 'f'"),
        ([None], ["a"], "1 shape without a geometry"),
        ([shapely.LineString([(0, 0), (1, 1)])], "a", "expected points or polygons|beside the scene"),
    ],
)
def test_where_nothing_is_left_the_cause_is_named(tmp_path, shapes, values, cause):
    with pytest.raises(InputError, match=cause):
        read(write(tmp_path / "l.gpkg", shapes, list(values)))


def test_the_mean_of_several_numbers(tmp_path):
    shapes = [centre(1, 1), centre(1, 1), centre(1, 1), centre(2, 1), square(10, 10, 3), square(11, 10, 3)]
    labels = read(write(tmp_path / "l.gpkg", shapes, [1.0, 2.0, 6.0, 5.0, 10.0, 20.0]), regression=True)
    found = as_array(labels)
    assert (found[1, 1], found[1, 2], found[10, 9], found[10, 10], found[10, 12]) == (3, 5, 10, 15, 20)
    (note,) = labels.notes
    assert note.startswith("7 pixels have several numbers")


def test_numbers_that_are_none(tmp_path):
    texts = ["1", "x", "nan", "inf", "-INF", "1e999", "1_0", "2.5"]
    path = write(tmp_path / "l.gpkg", [centre(col, 0) for col in range(8)], texts)
    labels = read(path, regression=True)
    assert labels.values.tolist() == [1, 2.5]
    assert labels.lost == {Cause.NO_VALUE: 4, Cause.NOT_A_NUMBER: 2}
    with pytest.raises(InputError, match=r"numbers, such as 'a'.*regression=True"):
        read(write(tmp_path / "t.gpkg", [centre(1, 1)], ["a"]), regression=True)


def test_dates_are_no_numbers(tmp_path):
    path = write(tmp_path / "l.gpkg", [centre(1, 1)], np.array(["2024-05-01"], "datetime64[ms]"))
    with pytest.raises(InputError, match=r"not numbers, such as '2024-05-01"):
        read(path, regression=True)


@pytest.mark.parametrize("regression", [True, False])
def test_a_value_far_from_all_others_may_mean_that_there_is_none(tmp_path, regression):
    path = write(
        tmp_path / "l.gpkg", [centre(col, 0) for col in range(6)], [1.0, 2.0, 0.0, 3.0, -9999.0, -9999.0]
    )
    (note,) = read(path, regression=regression).notes
    assert note.startswith(
        "-9999 is the value of 2 shapes (33 %) and counts as a label; if it means no label"
    )
    assert read(path, regression=regression, nodata=-9999.0).notes == ("left out: 2 shapes without a value",)
    path = write(tmp_path / "m.gpkg", [centre(col, 0) for col in range(4)], ["0", "a", "b", "-9999x"])
    assert read(path).notes == ()


def test_infinite_and_missing_numbers_are_no_class(tmp_path):
    path = write(
        tmp_path / "l.gpkg", [centre(col, 0) for col in range(5)], [1.0, np.nan, np.inf, 2.0, -9999.0]
    )
    labels = read(path, nodata=-9999.0)
    assert labels.values.tolist() == ["1", "2"]
    assert labels.lost == {Cause.NO_VALUE: 3}


# Burning


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_burning_is_its_naive_twin(data):
    """Each pixel's values by asking each shape for each centre; also where strips divide shapes."""
    from tessera_engine.analysis.labels import burning

    count = data.draw(st.integers(1, 8))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    shapes = []
    for _ in range(count):
        x, y = LEFT + rng.uniform(-50, WIDTH * 10 + 50), TOP - rng.uniform(-50, HEIGHT * 10 + 50)
        kind = rng.integers(4)
        if kind == 0:
            shapes.append(shapely.Point(x, y))
        elif kind == 1:
            shapes.append(shapely.MultiPoint([(x, y), (x + 30, y)]))
        elif kind == 2:
            shapes.append(shapely.Point(x, y).buffer(rng.uniform(1, 90)))
        else:
            ring = shapely.Point(x, y).buffer(90) - shapely.Point(x + 5, y).buffer(40)
            shapes.append(shapely.GeometryCollection([ring, shapely.Point(x, y)]))
    classes = data.draw(st.booleans())
    values = rng.integers(0, 3, count) if classes else rng.normal(size=count)
    cols, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    centres_x, centres_y = ORIGIN @ (cols + 0.5, rows + 0.5)
    held = [[[] for _ in range(WIDTH)] for _ in range(HEIGHT)]
    lost = 0
    for shape, value in zip(shapes, values, strict=True):
        marked = 0
        for part in getattr(shape, "geoms", [shape]):
            if part.geom_type == "Point":
                col, row = ~ORIGIN @ (part.x, part.y)
                inside = [(int(row), int(col))] if 0 <= col < WIDTH and 0 <= row < HEIGHT else []
            else:
                inside = list(zip(*np.nonzero(shapely.contains_xy(part, centres_x, centres_y)), strict=True))
            for row, col in inside:
                held[row][col].append(value)
            marked += len(inside)
        lost += marked == 0
    expected = {}
    contradictory = 0
    for row in range(HEIGHT):
        for col in range(WIDTH):
            here = held[row][col]
            if here and classes and len(set(here)) > 1:
                contradictory += 1
            elif here:
                expected[row * WIDTH + col] = here[0] if classes else np.mean(here)
    before, burning.STRIP_PIXELS = burning.STRIP_PIXELS, data.draw(st.sampled_from([WIDTH * 7, 10**6]))
    try:
        burner = Burner(np.array(shapes, object), values, GRID)
        strips = list(burner.strips())
    finally:
        burning.STRIP_PIXELS = before
    found = {
        int(pixel): value for strip in strips for pixel, value in zip(strip.pixels, strip.values, strict=True)
    }
    assert found == pytest.approx(expected)
    assert sum(strip.contradictory for strip in strips) == contradictory
    assert burner.lost().total() == lost


def test_three_classes_in_a_pixel_contradict(tmp_path):
    """The first and the last shape agree, the one between them does not."""
    shapes = [square(5, 5, 3), square(5, 5, 3), square(5, 5, 3)]
    with pytest.raises(InputError, match="9 pixels with different labels"):
        read(write(tmp_path / "l.gpkg", shapes, list("aba")))


def test_a_draw_is_fair_and_the_same_each_time():
    counts = np.zeros(1000)
    for seed in range(200):
        draw = Draw(100)
        draw._generator = np.random.default_rng(seed)
        for start in range(0, 1000, 130):
            pixels = np.arange(start, min(start + 130, 1000))
            draw.add(pixels, pixels * 2)
        labels = draw.labels(10, Losses())
        pixels = labels.rows * 10 + labels.cols
        assert len(np.unique(pixels)) == 100
        np.testing.assert_array_equal(labels.values, pixels * 2)
        assert (np.diff(pixels) > 0).all()
        counts[pixels] += 1
    assert counts.sum() == 200 * 100
    # Each is drawn 20 times of 200 on average; first and last as often as the others
    assert abs(counts[:500].mean() - 20) < 1
    assert counts.max() < 45


# Classes


@settings(max_examples=60)
@given(st.sets(st.integers(-5, 300), min_size=1, max_size=40))
def test_codes_are_pixel_values(codes):
    classes = Classes.of(str(code) for code in codes)
    assert [int(name) for name in classes.names] == sorted(codes)
    assert classes.nodata not in classes.values
    if min(codes) >= 0 and max(codes) <= 254:
        assert classes.values == tuple(sorted(codes))
        assert not classes.renumbered
    else:
        assert classes.values == tuple(range(1, len(codes) + 1))
        assert classes.renumbered


def test_names_are_numbered_and_sorted_after_numbers():
    assert sorted_classes(["b", "10", "9", "a", "-1"]) == ["-1", "9", "10", "a", "b"]
    assert Classes.of(["wheat", "maize"]) == Classes(("maize", "wheat"), (1, 2), 0)
    # Two names of one number can't both be it
    assert Classes.of(["1", "01"]).values == (1, 2)
