"""`truecolour.tif`: one rule for all scenes, no data where no date was clear, and a file for each year of a store."""

from __future__ import annotations

import os

import numpy as np
import pytest
import rasterio
from affine import Affine
from made_up import CRS, ORIGIN
from outputs import made_up_output
from staged import landscape, stage

from tessera_engine import open_embeddings
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.formats.embeddings.regridded import source_pixels
from tessera_engine.formats.registry import appendable
from tessera_engine.pictures import true_colour
from tessera_engine.pictures.true_colour import BRIGHTNESS, staged, stored, true_colour_file
from tessera_engine.running.convert import convert
from tessera_engine.running.disk import needed_bytes
from tessera_engine.scene import Grid, Window
from tessera_engine.stac.reading import read_item
from tessera_engine.verification.output import check_files, open_rasters

HEIGHT, WIDTH = 40, 50


def reflectance(seed, height=HEIGHT, width=WIDTH):
    """(height, width, 3) uint16; the upper left corner was never clear."""
    colours = np.random.default_rng(seed).integers(1, 4000, (height, width, 3)).astype(np.uint16)
    colours[: height // 4, : width // 4] = 0
    return colours


def output(folder, seed, year=None, col=0, row=0, colours=True, **facts):
    grid = Grid(WIDTH, HEIGHT, CRS, ORIGIN @ Affine.translation(col, row))
    facts = {"scene_name": f"scene{seed}", "scene_fingerprint": f"{seed:064d}"} | facts
    return open_embeddings(
        made_up_output(
            folder / f"in-{seed}-{year}-{col}",
            landscape(HEIGHT, WIDTH, 128, seed),
            grid=grid,
            year=year,
            colours=reflectance(seed) if colours else None,
            **facts,
        )
    )


def shown(colours):
    """The picture of reflectances."""
    values = BRIGHTNESS[colours]
    values[colours.any(axis=2) & (values == 0).any(axis=2)] |= 1
    return values


def test_brightness_rises_with_reflectance_and_only_0_is_no_data():
    assert BRIGHTNESS[0] == 0
    assert BRIGHTNESS[1] == 1
    assert (np.diff(BRIGHTNESS.astype(int)) >= 0).all()
    # By hand: r**1.5 / (r**1.5 + 0.1**1.5) of reflectances 0.02, 0.1, 0.3 and 1
    assert BRIGHTNESS[[200, 1000, 3000, 10000]].tolist() == [21, 128, 214, 247]


def test_a_clear_pixel_is_data_even_where_a_band_is_black(tmp_path):
    colours = np.zeros((2, 2, 3), np.uint16)
    colours[0, 0] = (0, 700, 0)
    staging = stage(tmp_path, landscape(2, 2), colours=colours)
    picture = staged(staging).read(Window(0, 0, 2, 2))
    assert picture[0, 0].tolist() == [1, int(BRIGHTNESS[700]), 1]
    assert not picture[0, 1].any()
    assert not picture[1].any()


def test_a_gis_gets_a_georeferenced_picture_with_no_data(tmp_path, monkeypatch):
    colours = reflectance(0, 300, 700)
    read = []
    monkeypatch.setattr(true_colour, "BLOCKS_AT_ONCE", 2)
    find = true_colour.staged

    def watched(staging):
        picture = find(staging)
        return picture._replace(read=lambda window: read.append(window) or picture.read(window))

    monkeypatch.setattr("outputs.staged", watched)
    made = made_up_output(tmp_path / "o", landscape(300, 700), colours=colours)
    assert max(window.pixels for window in read) <= 2 * 256 * 256  # the file is written piece by piece
    with rasterio.open(made / "truecolour.tif") as file:
        assert (file.crs, file.transform) == (CRS, ORIGIN)
        assert [each.name for each in file.colorinterp] == ["red", "green", "blue"]
        assert file.nodatavals == (0, 0, 0)
        assert file.overviews(1) == [2, 4]
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        picture = np.moveaxis(file.read(), 0, 2)
        mask = file.read_masks(1)
    np.testing.assert_array_equal(picture, shown(colours))
    np.testing.assert_array_equal(mask > 0, colours.any(axis=2))
    item = read_item(made)
    asset = item.assets["truecolour"]
    assert (asset.fields["data_type"], asset.fields["nodata"], asset.fields["proj:shape"]) == (
        "uint8",
        0,
        [300, 700],
    )
    check_files(made, item)
    assert open_rasters(made, item)["truecolour"].shape == (300, 700, 3)


@pytest.mark.parametrize("format", ["cog", "npy", "zarr", "geotessera"])
def test_a_converted_output_keeps_its_picture(tmp_path, format):
    first = output(tmp_path, 1, 2018)
    name = f"truecolour_{2018}.tif" if format in appendable() else "truecolour.tif"
    made = convert(first, tmp_path / "made", format)
    assert (made / name).exists()
    again = convert(made, tmp_path / "again", "npy")
    for each in (made, again):
        opened = open_embeddings(each)
        np.testing.assert_array_equal(stored(opened).read(opened.grid.window), shown(reflectance(1)))
        check_files(each, read_item(each))


def test_an_output_without_a_picture_has_none_and_gives_none(tmp_path):
    first = output(tmp_path, 1, 2018, colours=False)
    made = convert(first, tmp_path / "made", "zarr")
    for each in (first, open_embeddings(made)):
        assert stored(each) is None
        assert not list(each.path.glob("truecolour*"))
        assert true_colour_file(each.path, each.item, 2018) is None


@pytest.mark.parametrize("format", appendable())
def test_a_store_has_a_picture_of_each_year(tmp_path, format):
    first, beside = output(tmp_path, 1, 2018), output(tmp_path, 2, 2018, col=30)
    other, bare = output(tmp_path, 3, 2019), output(tmp_path, 4, 2019, col=30, colours=False)
    store = convert(first, tmp_path / "s", format)
    convert(other, store, format, append=True)
    inode = os.stat(store / "truecolour_2018.tif").st_ino
    convert(bare, store, format, append=True)
    assert os.stat(store / "truecolour_2018.tif").st_ino != inode  # the grid has grown
    convert(beside, store, format, append=True)
    opened = open_embeddings(store, year=2018)
    assert opened.grid.width == WIDTH + 30
    wanted = np.zeros((HEIGHT, WIDTH + 30, 3), np.uint8)
    wanted[:, 30:] = shown(reflectance(2))
    mine = shown(reflectance(1))
    wanted[:, :WIDTH][mine.any(axis=2)] = mine[mine.any(axis=2)]  # what was there stays
    np.testing.assert_array_equal(stored(opened).read(opened.grid.window), wanted)
    later = open_embeddings(store, year=2019)
    wanted[:] = 0
    wanted[:, :WIDTH] = shown(reflectance(3))
    np.testing.assert_array_equal(stored(later).read(later.grid.window), wanted)
    inode = os.stat(store / "truecolour_2019.tif").st_ino
    convert(output(tmp_path, 5, 2018, scene_name="again"), store, format, append=True)
    assert os.stat(store / "truecolour_2019.tif").st_ino == inode  # not copied
    check_files(store, read_item(store))


def test_a_picture_comes_to_another_grid_with_its_embeddings(tmp_path):
    opened = output(tmp_path, 1)
    there = opened.on("EPSG:4326", 0.00008)
    made = open_embeddings(convert(there, tmp_path / "moved", "cog"))
    picture = stored(made)
    assert picture.grid == there.grid
    window = picture.grid.window
    cols, rows = source_pixels(there.grid, opened.grid, window)
    inside = cols >= 0
    wanted = np.zeros((window.pixels, 3), np.uint8)
    wanted[inside] = stored(opened).read(opened.grid.window)[rows[inside], cols[inside]]
    np.testing.assert_array_equal(picture.read(window), wanted.reshape(window.height, window.width, 3))
    assert wanted.any()


def test_a_wrong_or_missing_picture_is_named(tmp_path):
    opened = output(tmp_path, 1)
    path = opened.path / "truecolour.tif"
    with rasterio.open(path, "w", driver="GTiff", width=3, height=2, count=1, dtype="uint8") as file:
        file.write(np.ones((1, 2, 3), np.uint8))
    with pytest.raises(TesseraError, match=r"truecolour.tif.*3 x 2.*expected 50 x 40"):
        stored(opened).read(Window(0, 0, 2, 2))
    path.write_bytes(b"II*\0nothing")
    with pytest.raises(TesseraError, match=r"truecolour\.tif"):
        stored(opened).read(Window(0, 0, 2, 2))
    with pytest.raises(TesseraError, match=r"truecolour\.tif"):
        convert(opened, tmp_path / "made", "npy")
    path.unlink()
    with pytest.raises(InputError, match=r"truecolour\.tif is missing"):
        true_colour_file(opened.path, opened.item, None)
    # Embeddings can be used without their picture
    assert stored(opened) is None
    assert not (convert(opened, tmp_path / "made", "npy") / "truecolour.tif").exists()


def test_the_disk_holds_all_that_a_picture_takes(tmp_path):
    grid = Grid(1000, 800)
    without = needed_bytes(grid, 128, "int8", "cog", colours=False)
    assert needed_bytes(grid, 128, "int8", "cog", colours=True) == without + 6 * 800_000
    both = needed_bytes(grid, 128, "int8", "cog", colours=True, truecolour=True)
    three = needed_bytes(grid, 128, "int8", "zarr", colours=False, periods=3)
    one, none = (needed_bytes(grid, 128, "int8", "zarr", colours=False, periods=n) for n in (1, 0))
    assert three - one == 2 * (one - none)
    # Only the last period has a picture
    assert needed_bytes(grid, 128, "int8", "zarr", True, True, 3) == three + (6 + 8) * 800_000
    # Noise doesn't shrink
    made = made_up_output(tmp_path / "o", landscape(800, 1000), colours=reflectance(0, 800, 1000))
    assert both - without >= 6 * 800_000 + 3 * 800_000 + (made / "truecolour.tif").stat().st_size
