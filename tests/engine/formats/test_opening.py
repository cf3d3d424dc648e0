"""Opening: mistakes get one clear line, and what was opened shows itself on one screen."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from made_up import CRS, ORIGIN, made_up_arrays, write_tile
from outputs import made_up_output
from staged import landscape

from tessera_engine import open_embeddings
from tessera_engine.errors import CheckFailed, InputError, TesseraError, plain
from tessera_engine.files.output import ITEM
from tessera_engine.formats.registry import FORMATS
from tessera_engine.running.convert import convert
from tessera_engine.scene import Grid, Window
from tessera_engine.stac.reading import output_of

EMBEDDING = landscape(20, 30, 32)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return made_up_output(tmp_path_factory.mktemp("outputs") / "field-2018.embeddings", EMBEDDING, year=2018)


def refused(*arguments, **options):
    with pytest.raises(InputError) as caught:
        open_embeddings(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"dim": "big"}, "dim='big'"),
        ({"dim": 16.0}, "dim=16.0"),
        ({"dim": True}, "dim=True"),
        ({"dim": 17}, "dim=17"),
        ({"dim": 128}, "16, 32"),
        ({"year": "x"}, "year='x'"),
        ({"year": 2018.5}, "year=2018.5"),
        ({"year": 2019}, "2018, not 2019"),
    ],
)
def test_wrong_arguments_are_named(output, options, named):
    assert named in refused(output, **options)


@pytest.mark.parametrize("path", [None, 3, ["a"]])
def test_what_is_no_path_is_named(path):
    assert f"path={path!r}" in refused(path)


def test_whole_numbers_of_numpy_are_taken(output):
    assert open_embeddings(output, dim=np.int64(16), year=np.int32(2018)).dim == 16


def test_a_year_is_refused_where_none_is_recorded(tmp_path):
    assert "year=2018" in refused(made_up_output(tmp_path / "a", EMBEDDING), year=2018)


def test_a_mistyped_folder_names_the_similar_one(output):
    mistyped = output.with_name("field2018.embeddings")
    message = refused(mistyped)
    assert message.startswith(f"no such folder: {mistyped};")
    assert str(output) in message


def test_a_scene_is_called_a_scene(tmp_path):
    assert "is a scene" in refused(write_tile(tmp_path / "scene", made_up_arrays()))


def test_a_part_of_an_output_names_the_output(output, tmp_path):
    assert str(output) in refused(output / "embeddings.tif").split(";")[1]
    store = convert(open_embeddings(output), tmp_path / "zarr", "zarr")
    assert str(store) in refused(store / "embeddings.zarr").split(";")[1]
    innermost = max(store.rglob("*"), key=lambda path: len(path.parts))
    assert output_of(innermost) == store
    assert output_of(store) is None
    assert output_of(tmp_path / "nothing.tif") is None


def test_repr_fits_a_screen(output):
    shown = repr(open_embeddings(output, dim=16))
    for fact in (str(output), "cog", "30 x 20", "16 of 32", CRS, "2018", "nano v2 int8", "int8"):
        assert fact in shown
    assert len(shown.splitlines()) <= 12


def test_repr_of_what_is_not_known(tmp_path):
    wkt = 'LOCAL_CS["a <b>field</b> of our own, far away from every other field",UNIT["metre",1]]'
    found = open_embeddings(made_up_output(tmp_path / "a", EMBEDDING, grid=Grid(30, 20, wkt, ORIGIN)))
    lines = repr(found).splitlines()
    assert max(map(len, lines[2:])) < 100
    assert any(line.split(":") == ["  year", " not known"] for line in lines)
    nowhere = open_embeddings(made_up_output(tmp_path / "b", EMBEDDING, grid=Grid(30, 20)))
    assert "CRS: none" in repr(nowhere)


def test_notebooks_get_a_table_with_the_same_facts(output, tmp_path):
    shown = open_embeddings(output)._repr_html_()
    assert shown.count("<tr>") == shown.count("</tr>") == len(repr(open_embeddings(output)).splitlines()) - 1
    assert str(output) in shown
    odd = made_up_output(tmp_path / "<b>&co", EMBEDDING)
    assert "&lt;b&gt;&amp;co" in open_embeddings(odd)._repr_html_()


WRONG = (None, True, -1, 0.5, 10**30, "x", "../x", [], [1], {}, {"x": []}, [[[]]])


def test_no_value_of_an_item_is_believed(output, tmp_path):
    """Every property and asset with a value of every other type: opened, or refused in one line."""
    folder = tmp_path / "damaged"
    shutil.copytree(output, folder)
    item = json.loads((output / ITEM).read_bytes())
    places = [("properties", key) for key in item["properties"]] + [("assets", key) for key in item["assets"]]
    places += [("assets", key, name) for key, fields in item["assets"].items() for name in fields]
    places += [(key,) for key in item]
    said = []
    for *above, last in places:
        for value in WRONG:
            changed = json.loads(json.dumps(item))
            node = changed
            for key in above:
                node = node[key]
            node[last] = value
            (folder / ITEM).write_text(json.dumps(changed))
            try:
                opened = open_embeddings(folder)
                repr(opened)
                opened.read(Window(0, 0, 1, 1))
            except TesseraError as error:
                said.append(str(error))
    assert len(said) > 150
    assert list(map(plain, said)) == said


def refused_item(output, tmp_path, change):
    """Why an output whose item was changed can't be opened."""
    folder = tmp_path / "damaged"
    shutil.copytree(output, folder)
    item = json.loads((output / ITEM).read_bytes())
    change(item)
    (folder / ITEM).write_text(json.dumps(item))
    with pytest.raises(CheckFailed) as caught:
        open_embeddings(folder)
    return str(caught.value)


@pytest.mark.parametrize(
    "href", ["../embeddings.tif", "/etc/passwd", "C:/x", "file:///etc/passwd", "a\\b", "item.json"]
)
def test_a_file_outside_of_the_folder_is_never_opened(output, tmp_path, href):
    def change(item):
        item["assets"]["embeddings"]["href"] = href

    assert "embeddings" in refused_item(output, tmp_path, change)


@pytest.mark.parametrize("crs", ["EPSG:999999", "no CRS", "x" * 5000, 'PROJCS["a"'])
def test_a_crs_that_is_none_is_refused(output, tmp_path, crs):
    def change(item):
        item["properties"]["proj:code"] = crs

    assert "CRS" in refused_item(output, tmp_path, change)


@pytest.mark.parametrize(
    "transform", [[0] * 6, [10, 0, 0, 0, 0, 0], [1e300, 0, 0, 0, 1e300, 0], [1, 1, 0, 1, 1, 0]]
)
def test_a_grid_whose_pixels_have_no_area_is_refused(output, tmp_path, transform):
    def change(item):
        item["properties"]["proj:transform"] = transform

    assert "transform" in refused_item(output, tmp_path, change)


@pytest.mark.parametrize("format", sorted(FORMATS.keys() - {"geotessera"}))  # its trees need no item
def test_files_that_are_not_what_the_item_says_are_refused(output, tmp_path, format):
    """A dimension that isn't stored, rows that aren't, another dtype: never a traceback, nor half of the numbers."""
    folder = tmp_path / "made"
    convert(output, folder, format, progress=False)
    item = json.loads((folder / ITEM).read_bytes())
    values = open_embeddings(folder).read()
    height, width = item["properties"]["proj:shape"]
    stored, refused = item["properties"]["tessera:store"], []
    for name, value in {
        "tessera:dim": 48,
        "proj:shape": [height + 1, width],
        "tessera:store": "float32" if stored == "int8" else "int8",
    }.items():
        changed = json.loads(json.dumps(item))
        changed["properties"][name] = value
        (folder / ITEM).write_text(json.dumps(changed))
        try:
            found = open_embeddings(folder).read()
        except TesseraError as error:
            refused.append((name, str(error)))
        else:  # this format doesn't ask the item
            np.testing.assert_array_equal(found, values)
    assert [plain(text) for _, text in refused] == [text for _, text in refused]
    assert "tessera:dim" in dict(refused)
