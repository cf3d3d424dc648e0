"""Names that are not UTF-8: the library and the commands use them or refuse them in one line, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import sys

import numpy as np
import pytest
from made_up import made_up_arrays, write_tile
from mosaic_files import write_mosaics
from outputs import made_up_output
from product_files import write_raster
from staged import landscape

from tessera_engine.errors import InputError
from tessera_engine.files.naming import check_utf8, is_utf8
from tessera_engine.scenes import open_scene

NAME = os.fsdecode(b"f\xe9ld")

pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are always Unicode here")


def test_only_bytes_that_are_no_text_are_refused(tmp_path):
    assert is_utf8("农田/é")
    assert not is_utf8(NAME)
    check_utf8(tmp_path / "农田")
    with pytest.raises(InputError, match=r"f\\udce9ld"):
        check_utf8(tmp_path / NAME / "x")


@pytest.fixture
def place(tmp_path):
    """A scene, an output, labels and a folder with such names, and the same with others."""
    write_tile(tmp_path / "field", made_up_arrays())
    made_up_output(tmp_path / "field.embeddings", landscape(12, 12, 16), year=2024)
    write_raster(tmp_path / "field.tif", np.arange(144, dtype=np.uint8).reshape(12, 12) % 3)
    shutil.copy(tmp_path / "field.tif", tmp_path / f"{NAME}.tif")
    for ending in ("", ".embeddings"):
        shutil.copytree(tmp_path / f"field{ending}", tmp_path / f"{NAME}{ending}")
    return tmp_path


COMMANDS = [
    ("info", NAME),
    ("embed", NAME, "-q"),
    ("embed", "field", "-q", "-o", f"{NAME}.out"),
    ("embed", "field", "-q", "-o", f"{NAME}.out", "--format", "npy"),
    ("embed", "field", "-q", "--model", f"{NAME}.onnx"),
    ("simulate", f"{NAME}.sim", "--size", "8", "-q"),
    ("verify", f"{NAME}.embeddings"),
    ("verify", "field.embeddings", "--scene", NAME),
    ("similar", f"{NAME}.embeddings", "--at", "3.0005", "50.5515"),
    ("similar", "field.embeddings", "--at", "3.0005", "50.5515", "-o", NAME),
    ("change", "field.embeddings", f"{NAME}.embeddings"),
    ("map", "field.embeddings", "--labels", f"{NAME}.tif"),
    ("map", f"{NAME}.embeddings", "--labels", "field.tif"),
    ("evaluate", "field.embeddings", "--labels", f"{NAME}.tif"),
    ("picture", "field.embeddings", "-o", f"{NAME}.png"),
    ("picture", "field.embeddings", "-o", f"{NAME}.tif"),
    ("view", "field.embeddings", "--export", NAME),
    ("view", f"{NAME}.embeddings", "--export", "page"),
    ("picture", "field.embeddings", "--palette", f"{NAME}.json"),
    ("convert", f"{NAME}.embeddings", "--format", "npy"),
    ("convert", "field.embeddings", "--format", "npy", "-o", NAME),
    ("export", f"{NAME}.pt", "-o", "x.onnx"),
    ("model", "import", f"{NAME}.pt"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: ascii(" ".join(words)))
def test_commands_refuse_such_names_in_one_line(place, run, words):
    before = sorted(os.listdir(place))
    code, out, err = run(*words)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.isascii()
    assert sorted(os.listdir(place)) == before


def test_info_shows_an_output_with_such_a_name(place, run):
    code, out, err = run("info", f"{NAME}.embeddings", "--json")
    assert (code, err) == (0, "")
    assert '"kind": "output"' in out


def test_a_file_with_such_a_name_in_a_scene_is_named(tmp_path):
    write_mosaics(tmp_path / "scene", made_up_arrays(steps=2))
    shutil.copytree(tmp_path / "scene" / "data_raw", tmp_path / "scene" / NAME)
    (tmp_path / "scene" / f"{NAME}.zip").write_bytes(b"x")
    warnings = open_scene(tmp_path / "scene").reader.warnings
    named = [line for line in warnings if "UTF-8" in line]
    assert len(named) == 2 or "2" in named[0]
