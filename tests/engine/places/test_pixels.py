"""Which pixels shapes take, beside shapely asked for one pixel at a time."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from tessera_engine.places.pixels import PixelSet, Spans, explode, spans_of
from tessera_engine.scene import Grid, Window

GRIDS = [
    Grid(20, 14, "EPSG:32631", Affine(10, 0, 600_000, 0, -10, 5_600_000)),
    Grid(20, 14, "EPSG:32631", Affine(8, 3, 600_000, 3, -8, 5_600_000)),  # rotated
]


def random_shapes(rng, grid, count):
    def corners(n):
        cols, rows = rng.uniform(-8, 28, n), rng.uniform(-8, 22, n)
        return np.column_stack(grid.transform @ (cols, rows))

    kinds = [
        lambda: shapely.Point(corners(1)[0]),
        lambda: shapely.MultiPoint(corners(4)),
        lambda: shapely.convex_hull(shapely.MultiPoint(corners(5))),
        lambda: shapely.MultiPolygon([shapely.box(*shapely.Point(corners(1)[0]).buffer(25).bounds)]),
        lambda: shapely.LineString(corners(3)),
        lambda: shapely.GeometryCollection(
            [
                shapely.Point(corners(1)[0]),
                shapely.GeometryCollection([shapely.convex_hull(shapely.MultiPoint(corners(4)))]),
            ]
        ),
        lambda: shapely.Polygon(),
    ]
    found = np.empty(count, object)
    found[:] = [kinds[rng.integers(len(kinds))]() for _ in range(count)]
    return found


def naive(shape, grid, frame):
    """(height, width) of a frame: the pixel of each point, and the pixels whose centre lies in a polygon."""
    mask = np.zeros((frame.height, frame.width), bool)
    parts = explode(np.array([shape], object)).geometries
    for row in range(frame.height):
        for col in range(frame.width):
            corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
            square = shapely.Polygon(
                [grid.transform @ (frame.col + col + a, frame.row + row + b) for a, b in corners]
            )
            centre = shapely.Point(grid.transform @ (frame.col + col + 0.5, frame.row + row + 0.5))
            mask[row, col] = any(
                square.contains(part) if part.geom_type == "Point" else part.contains(centre)
                for part in parts
                if part.geom_type != "LineString"
            )
    return mask


@given(seed=st.integers(0, 2**32), grid=st.sampled_from(GRIDS))
def test_spans_and_sets_of_random_shapes(seed, grid):
    rng = np.random.default_rng(seed)
    shapes, frame = random_shapes(rng, grid, 3), Window(-3, -2, 26, 18)
    spans = spans_of(shapes, grid, frame)
    masks = np.zeros((len(shapes), frame.height, frame.width), int)
    for owner, row, start, stop in zip(spans.owner, spans.row, spans.start, spans.stop, strict=True):
        masks[owner, row - frame.row, start - frame.col : stop - frame.col] += 1
    wanted = np.array([naive(shape, grid, frame) for shape in shapes])
    np.testing.assert_array_equal(masks, wanted)
    np.testing.assert_array_equal(spans.counts(len(shapes)), wanted.sum(axis=(1, 2)))

    pixels = PixelSet(spans.inside(grid.window), grid.window)
    union = wanted.any(axis=0)[2:16, 3:23]
    assert len(pixels) == union.sum()
    np.testing.assert_array_equal(pixels.mask(grid.window), union)
    rows, cols = np.nonzero(union)
    np.testing.assert_array_equal(pixels.ranks(rows, cols), np.arange(len(rows)))
    window = Window(int(rng.integers(0, 10)), int(rng.integers(0, 8)), 7, 5)
    part = union[window.row : window.row + 5, window.col : window.col + 7]
    np.testing.assert_array_equal(pixels.mask(window), part)
    assert pixels.count(window) == part.sum()
    box = pixels.box_in(window)
    if not part.any():
        assert box is None
    else:
        rows, cols = np.nonzero(part)
        assert box == (window.col + cols.min(), window.row + rows.min(), np.ptp(cols) + 1, np.ptp(rows) + 1)
        assert pixels.box_in(grid.window) == pixels.box


def test_points_on_the_edges_of_whole_metres_lie_in_the_pixel_to_the_right_and_below():
    grid = Grid(70_000, 70_000, "EPSG:32631", Affine(10, 0, 300_000, 0, -10, 6_000_000))
    numbers = np.arange(0, 70_000, 7)
    points = shapely.points(300_000 + 10 * numbers, 6_000_000 - 10 * numbers)
    spans = spans_of(points, grid, grid.window)
    np.testing.assert_array_equal(spans.row, numbers)
    np.testing.assert_array_equal(spans.start, numbers)


def test_a_set_without_pixels():
    pixels = PixelSet(Spans.none(), GRIDS[0].window)
    assert len(pixels) == 0
    assert pixels.box is None
    assert not pixels.mask(GRIDS[0].window).any()


@pytest.mark.parametrize("vertices", [1_000_000])
def test_a_polygon_of_a_million_corners_on_a_whole_tile(vertices):
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    radius = 40_000 + 200 * np.sin(angle * 3000)
    grid = Grid(10_980, 10_980, "EPSG:32631", Affine(10, 0, 0, 0, -10, 109_800))
    shape = shapely.Polygon(
        np.column_stack([54_900 + radius * np.cos(angle), 54_900 + radius * np.sin(angle)])
    )
    pixels = PixelSet(spans_of(np.array([shape], object), grid, grid.window), grid.window)
    assert len(pixels) == pytest.approx(shape.area / 100, rel=1e-4)
    assert pixels.bytes_held < grid.window.pixels / 8  # less than a bit a pixel
