"""Embeddings on the pixels of others: the nearest ones, whatever the offset, and of several the first with data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import CRS, ORIGIN
from outputs import made_up_output
from staged import landscape

from tessera_engine import open_embeddings
from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.aligned import align
from tessera_engine.formats.embeddings.overlay import overlay
from tessera_engine.scene import Grid, Window

WIDTH, HEIGHT, DIM = 30, 20, 16
VALUES = landscape(HEIGHT, WIDTH, DIM)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return open_embeddings(made_up_output(tmp_path_factory.mktemp("one") / "a", VALUES, "npy"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return open_embeddings(made_up_output(tmp_path_factory.mktemp("other") / "b", VALUES[::-1].copy(), "npy"))


def at(embeddings, transform, crs=CRS):
    """The same embeddings at another place."""
    grid = Grid(WIDTH, HEIGHT, crs, transform)
    return replace(embeddings, source=replace(embeddings.source, grid=grid))


@settings(max_examples=60, deadline=None)
@given(st.floats(-35, 35), st.floats(-25, 25))
def test_each_pixel_is_that_in_which_its_centre_lies(one, other, right, down):
    moved = at(other, ORIGIN @ Affine.translation(right, down))
    found = align(one, moved)
    wanted = moved.on(like=one.grid).read() if _touch(right, down) else None
    if found is None:
        assert wanted is None or np.isnan(wanted).all()
        return
    whole = np.full((HEIGHT, WIDTH, DIM), np.nan, np.float32)
    w = found.window
    whole[w.row : w.row + w.height, w.col : w.col + w.width] = found.embeddings.read()
    apart = [abs(each - round(each)) for each in (right, down)]
    if max(apart) < 0.49 and not any(0.005 < each < 0.02 for each in apart):
        # On the line between two pixels rounding decides, and offsets of a hundredth are none
        np.testing.assert_array_equal(whole, wanted)
        assert found.beside == pytest.approx(max(apart) if max(apart) > 0.01 else 0)
    part = Window(w.width // 3, w.height // 2, w.width - w.width // 3, w.height - w.height // 2)
    np.testing.assert_array_equal(
        found.embeddings.read_observations(part),
        found.embeddings.read_observations(found.embeddings.grid.window)[w.height // 2 :, w.width // 3 :],
    )


def _touch(right, down):
    return abs(right) < WIDTH and abs(down) < HEIGHT


def test_the_same_grid_is_the_same(one, other):
    found = align(one, other)
    assert (found.window, found.embeddings, found.beside) == (one.grid.window, other, 0)
    assert found.note(one) is None


def test_another_zone_comes_to_the_nearest_pixel(one, other):
    from rasterio.warp import transform

    (x,), (y,) = transform(CRS, "EPSG:32632", [ORIGIN.c], [ORIGIN.f])
    moved = at(other, Affine(10, 0, round(x), 0, -10, round(y)), "EPSG:32632")
    found = align(one, moved)
    assert found.beside is None
    assert str(moved.path) in found.note(one)
    np.testing.assert_array_equal(found.embeddings.read(), moved.on(like=one.grid.crop(found.window)).read())
    assert np.isfinite(found.embeddings.read()).any()
    coarse = at(other, Affine(20, 0, round(x), 0, -20, round(y)), "EPSG:32632")
    with pytest.raises(InputError, match=r"20 x 20"):
        align(one, coarse)
    assert align(one, at(other, ORIGIN, "EPSG:32632")) is None


@pytest.mark.parametrize("stored", [("int8", "int8"), ("int8", "float32")])
def test_of_several_the_first_with_data_counts(one, tmp_path, stored):
    left, right = VALUES[:, :20].copy(), VALUES[:, 10:] + 1
    left[3:6, 12:15] = np.nan
    paths = [
        made_up_output(tmp_path / "left", left, stored_as=stored[0], grid=Grid(20, HEIGHT, CRS, ORIGIN)),
        made_up_output(
            tmp_path / "right",
            right,
            stored_as=stored[1],
            grid=Grid(20, HEIGHT, CRS, ORIGIN @ Affine.translation(10, 0)),
        ),
    ]
    first, second = map(open_embeddings, paths)
    found = overlay(one, [first, second])
    assert found.window == one.grid.window
    assert found.embeddings.stored_as == ("int8" if stored[1] == "int8" else "float32")
    expected = np.full_like(VALUES, np.nan)
    expected[:, 10:] = second.read()
    taken = np.isfinite(first.read()[..., 0])
    expected[:, :20][taken] = first.read()[taken]
    np.testing.assert_array_equal(found.embeddings.read(), expected)
    part = Window(8, 2, 9, 7)
    np.testing.assert_array_equal(found.embeddings.read(part), expected[2:9, 8:17])
    assert overlay(one, [second]).window == Window(10, 0, 20, HEIGHT)
    counts = found.embeddings.read_observations(one.grid.window)
    np.testing.assert_array_equal(counts[:, 25], second.read_observations(Window(15, 0, 1, HEIGHT))[:, 0])


@pytest.mark.parametrize(("right", "down", "block"), [(3, 0, 8), (-16, 8, 8), (-3, 0, 16), (-8, -4, 16)])
def test_tiles_of_the_file_are_known_on_other_pixels(one, other, right, down, block):
    """Windows that begin at a tile of the file need that tile only; others need parts of several."""
    tiled = replace(other, source=replace(other.source, block=8))
    moved = at(tiled, ORIGIN @ Affine.translation(right, down))
    assert align(one, moved).embeddings.source.block == block
    assert moved.on(crs="EPSG:4326").source.block == 16
    assert (
        overlay(one, [moved, tiled]).embeddings.source.block == 2 * align(one, moved).embeddings.source.block
    )
    assert align(one, at(other, ORIGIN @ Affine.translation(right, down))).embeddings.source.block == 1
