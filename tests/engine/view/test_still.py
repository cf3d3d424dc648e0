"""The page in a folder: what lies in it is what the output has, thinned where it is large, and never over anything."""

from __future__ import annotations

import base64
import json
import os

import numpy as np
import pytest
from affine import Affine
from made_up import CRS, ORIGIN
from outputs import made_up_output
from rasterio.warp import transform
from staged import landscape

from tessera_engine import open_embeddings
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.registry import FORMATS
from tessera_engine.pictures.true_colour import stored
from tessera_engine.running.convert import convert
from tessera_engine.scene import Grid
from tessera_engine.stac.reading import read_item
from tessera_engine.verification.output import check_files
from tessera_engine.view import still
from tessera_engine.view.label_document import LabelFile, parse_document
from tessera_engine.view.still import FILES, export_still, step_of
from tessera_kernels.quantize import quantize

HEIGHT, WIDTH = 60, 90
EMBEDDING = landscape(HEIGHT, WIDTH, 32)
COLOURS = np.random.default_rng(0).integers(1, 3000, (HEIGHT, WIDTH, 3)).astype(np.uint16)
COLOURS[:5] = 0


def output(folder, name="field.embeddings", **options):
    return open_embeddings(made_up_output(folder / name, EMBEDDING, colours=COLOURS, **options))


def data_of(folder):
    """What the page gets; arrays by their shapes."""
    text = (folder / "data.js").read_text("ascii")
    start = "window.TESSERA_DATA = "
    assert text.startswith(start)
    assert text.endswith(";\n")
    data = json.loads(text[len(start) : -2])
    shown = data["info"]["outputs"][0]
    size = shown["height"], shown["width"]

    def array(text, dtype, *more):
        return np.frombuffer(base64.b64decode(text), dtype).reshape(*size, *more)

    return data | {
        "output": shown,
        "codes": array(data["codes"], "<i1", shown["dim"]),
        "scales": array(data["scales"], "<f4"),
        "observations": array(data["observations"], "<u2", 2),
        "layers": {name: array(text, "<u1", 4) for name, text in data["layers"].items()},
    }


@pytest.mark.parametrize("format", ["cog", "npy"])
def test_a_small_output_is_there_whole(tmp_path, format):
    first = output(tmp_path, year=2018)
    opened = first if format == "cog" else open_embeddings(convert(first, tmp_path / "other", format))
    made = export_still(opened, tmp_path / "page")
    assert (made.step, made.width, made.height) == (1, WIDTH, HEIGHT)
    assert {path.name for path in made.out.iterdir()} == {*FILES, "data.js", "item.json"}
    assert 'src="data.js"' in (made.out / "index.html").read_text()
    data = data_of(made.out)
    block = opened.read_stored()
    np.testing.assert_array_equal(data["codes"], block.values)
    np.testing.assert_array_equal(data["scales"], block.scales)
    np.testing.assert_array_equal(data["observations"], opened.read_observations(opened.grid.window))
    picture = stored(opened).read(opened.grid.window)
    np.testing.assert_array_equal(data["layers"]["truecolour"][..., :3], picture)
    np.testing.assert_array_equal(data["layers"]["truecolour"][..., 3] > 0, picture.any(axis=2))
    for name in ("pca", "clusters"):
        alpha = data["layers"][name][..., 3]
        np.testing.assert_array_equal(alpha > 0, block.valid)
    assert len(np.unique(data["layers"]["clusters"][block.valid][:, :3], axis=0)) == 8
    shown, info = data["output"], data["info"]
    assert shown["layers"] == ["truecolour", "pca", "clusters", "observations"]
    assert (shown["crs"], shown["transform"], shown["pixel_ha"]) == (CRS, list(ORIGIN)[:6], 0.01)
    assert (shown["year"], shown["dim"], shown["stored_as"], shown["step"]) == (2018, 32, "int8", 1)
    assert (info["exports"], info["tile"], len(info["outputs"])) == (None, 256, 1)
    assert shown["levels"] == [{"z": 0, "width": WIDTH, "height": HEIGHT}]
    lon, lat = data["corners"][3]  # the lower right
    (x,), (y,) = transform("EPSG:4326", CRS, [lon], [lat])
    assert (x, y) == pytest.approx(ORIGIN @ (WIDTH, HEIGHT), abs=0.01)
    check_files(made.out, read_item(made.out))


def test_a_large_output_is_thinned_by_the_nearest_pixel(tmp_path, monkeypatch):
    opened = output(tmp_path)
    monkeypatch.setattr(still, "MOST_PIXELS", 700)
    parts = opened.grid.window.blocks(9, 7)
    monkeypatch.setattr(Embeddings, "tiles", lambda self: parts)
    told = []
    made = export_still(opened, tmp_path / "page", progress=lambda done, total: told.append((done, total)))
    assert (made.step, made.width, made.height) == (3, 30, 20)
    data = data_of(made.out)
    block = opened.read_stored()
    np.testing.assert_array_equal(data["codes"], block.values[1::3, 1::3])
    np.testing.assert_array_equal(data["scales"], block.scales[1::3, 1::3])
    np.testing.assert_array_equal(
        data["observations"], opened.read_observations(opened.grid.window)[1::3, 1::3]
    )
    np.testing.assert_array_equal(
        data["layers"]["truecolour"][..., :3], stored(opened).read(opened.grid.window)[1::3, 1::3]
    )
    shown = data["output"]
    assert shown["transform"] == list(ORIGIN @ Affine.scale(3))[:6]
    assert (shown["step"], shown["pixel_ha"]) == (3, pytest.approx(0.09))
    assert len(told) > 8
    assert told[-1] == (HEIGHT * WIDTH, HEIGHT * WIDTH)
    # The same pixel lies at the same place of both grids
    for col, row in ((0, 0), (17, 11), (29, 19)):
        assert ~opened.grid.transform @ (
            Affine(*shown["transform"]) @ (col + 0.5, row + 0.5)
        ) == pytest.approx((3 * col + 1.5, 3 * row + 1.5))


@pytest.mark.parametrize(
    ("width", "height", "step"),
    [(500, 500, 1), (501, 500, 2), (1, 250_000, 1), (1, 250_001, 2), (10_980, 10_980, 22), (4096, 4096, 9)],
)
def test_the_step_is_the_smallest_that_fits(width, height, step):
    assert step_of(Grid(width, height)) == step
    if step > 1:
        assert -(-width // (step - 1)) * -(-height // (step - 1)) > still.MOST_PIXELS
    assert -(-width // step) * -(-height // step) <= still.MOST_PIXELS


def test_floats_become_codes_and_what_is_not_known_is_left_out(tmp_path):
    grid = Grid(WIDTH, HEIGHT)
    opened = open_embeddings(made_up_output(tmp_path / "field", EMBEDDING, stored_as="float32", grid=grid))
    data = data_of(export_still(opened, tmp_path / "page").out)
    codes, scales = quantize(np.ascontiguousarray(EMBEDDING.reshape(-1, 32)), "v2")
    np.testing.assert_array_equal(data["codes"].reshape(-1, 32), codes)
    np.testing.assert_array_equal(data["scales"].reshape(-1), scales)
    assert data["output"]["layers"] == ["pca", "clusters", "observations"]
    assert (data["corners"], data["output"]["crs"], data["output"]["pixel_ha"]) == (None, None, None)


def test_an_output_without_data_has_a_page(tmp_path):
    opened = open_embeddings(made_up_output(tmp_path / "field", np.full((9, 8, 16), np.nan, np.float32)))
    data = data_of(export_still(opened, tmp_path / "page").out)
    assert not data["layers"]["pca"].any()
    assert np.isnan(data["scales"]).all()


def test_every_format_gives_the_same_page(tmp_path):
    embedding = landscape(20, 30, 128)
    first = open_embeddings(made_up_output(tmp_path / "cog", embedding, year=2018))
    wanted = None
    for format in [name for name, each in FORMATS.items() if not each.lossy]:
        opened = first if format == "cog" else open_embeddings(convert(first, tmp_path / format, format))
        data = data_of(export_still(opened, tmp_path / f"page {format}").out)
        there = np.isfinite(data["scales"])
        found = [data["scales"], data["codes"][there], data["observations"], *data["layers"].values()]
        wanted = wanted or found
        for one, other in zip(wanted, found, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_labels_go_along_and_a_foreign_file_does_not(tmp_path, monkeypatch):
    opened = output(tmp_path)
    value = {
        "revision": 0,
        "classes": [{"id": "c1", "name": "</script> \u2028", "colour": "#000000"}],
        "labels": [{"id": "l1", "class": "c1", "kind": "point", "col": 3, "row": 4}],
    }
    value["classes"][0]["name"] = "</script>\u00fc"
    file = LabelFile.beside(opened.path, opened.grid)
    file.save(parse_document(value, opened.grid))
    page = export_still(opened, tmp_path / "a").out
    assert data_of(page)["labels"] == value | {"revision": 1}
    with monkeypatch.context() as patch:
        patch.setattr(still, "MOST_PIXELS", 700)
        assert "labels" not in data_of(export_still(opened, tmp_path / "b").out)
    file.path.write_text("mine")
    assert data_of(export_still(opened, tmp_path / "c").out)["labels"]["labels"] == []


def test_nothing_of_someone_else_is_replaced(tmp_path, monkeypatch):
    opened = output(tmp_path)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "index.html").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="mine"):
            export_still(opened, mine, overwrite)
    assert os.listdir(mine) == ["index.html"]
    page = export_still(opened, tmp_path / "page").out
    with pytest.raises(InputError, match="overwrite=True"):
        export_still(opened, page)
    assert export_still(opened, page, overwrite=True).out == page

    def fail(*arguments):
        raise OSError(28, "No space left on device", "data.js")

    before = sorted(os.listdir(tmp_path))
    monkeypatch.setattr(still, "_copied", fail)
    with pytest.raises(TesseraError, match=r"data\.js.*No space"):
        export_still(opened, tmp_path / "new")
    with pytest.raises(TesseraError):
        export_still(opened, page, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == before
    check_files(page, read_item(page))
