"""Files of the user's in an output folder: nothing replaces a folder that holds them."""

from __future__ import annotations

import json

import pytest
from killing import make, write

from tessera_engine.errors import InputError
from tessera_engine.files.output import ITEM, check_target
from tessera_engine.files.result import result_folder

SHOWN = {"survey/photo.jpg": "survey", ".git/HEAD": ".git", "tree/2023/grid_0.05_-0.15.npy": "tree/2023"}
"""What is named where a whole folder is the user's."""

PROPERTIES = {"tessera:years": {"2024": 1, "2025": 1}}


@pytest.fixture
def out(tmp_path):
    """An output with a raster, a style, a store, a tree of cells and a file two folders below."""
    out = tmp_path / "out"
    hrefs = ["./a.tif", "a.zarr", "tree", "year/cell/b.npy"]
    cells = (
        "tree/2024/grid_0.05_-0.15/grid_0.05_-0.15_scales.npy",
        "tree/2025/grid_0.05_-0.15.npy",
        "tree/grid_4.5_50.tiff",
    )
    for name in ("a.tif", "a.qml", "a.zarr/zarr.json", "a.zarr/utm31/a/c/0/12", "year/cell/b.npy", *cells):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("ours")
    (out / ITEM).write_text(
        json.dumps({"properties": PROPERTIES, "assets": {href: {"href": href} for href in hrefs}})
    )
    check_target(out, overwrite=True)
    return out


@pytest.mark.parametrize(
    "name",
    ["notes.txt", "survey/photo.jpg", "year/notes.txt", "year/cell/a.npy", "b.qml", "a.tif.bak", "a.aux.xml", ".git/HEAD", "A.TIF", "a.zarr/README.md",
     "a.zarr/utm31/a/c/0/notes", "tree/2024/grid_0.05_-0.15/field.tif", "tree/2023/grid_0.05_-0.15.npy", "b.tif.aux.xml"],
)  # fmt: skip
def test_a_file_of_the_user_in_an_output_is_named_and_left(out, name):
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text("mine")
    with pytest.raises(InputError) as told:
        check_target(out, overwrite=True)
    assert repr(SHOWN.get(name, name)) in str(told.value)
    with pytest.raises(InputError, match="holds"):
        make(out, "new", overwrite=True)
    assert (out / name).read_text() == "mine"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_file_that_comes_while_the_new_output_is_made_is_left(tmp_path):
    out = tmp_path / "out"
    make(out, "old")

    def replace():
        with result_folder(out, True, {"content": "new"}) as made:
            write(made, "new")
            (out / "notes.txt").write_text("mine")

    with pytest.raises(InputError, match=r"notes\.txt"):
        replace()
    assert ((out / "content").read_text(), (out / "notes.txt").read_text()) == ("old", "mine")


@pytest.mark.parametrize(
    "name", ["a.tif.aux.xml", "a.tif.ovr", "a.tif.msk", "a.qmd", "a.zarr.aux.xml", ".DS_Store", "._a.tif", "Thumbs.db", "year/.directory", "a.zarr/.DS_Store", "tree/grid_4.5_50.tiff.aux.xml"]
)  # fmt: skip
def test_what_programs_leave_beside_files_does_not_stay(out, name):
    (out / name).write_text("made again")
    check_target(out, overwrite=True)


def test_an_empty_folder_and_a_link_are_named_too(out):
    (out / "mine").mkdir()
    with pytest.raises(InputError, match="mine"):
        check_target(out, overwrite=True)
    (out / "mine").rmdir()
    (out / "link").symlink_to(out.parent)
    with pytest.raises(InputError, match="link"):
        check_target(out, overwrite=True)


@pytest.mark.parametrize("assets", [None, [], {"a": None}, {"a": {"href": 3}}, {"a": {"href": ""}}])
def test_an_item_without_files_names_none(out, assets):
    item = json.loads((out / ITEM).read_text()) | {"assets": assets}
    (out / ITEM).write_text(json.dumps(item))
    with pytest.raises(InputError, match=r"'a\.qml'"):
        check_target(out, overwrite=True)
