"""A folder that is being read stays as it was opened, and is removed once nobody reads it."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from tessera_engine.errors import TesseraError
from tessera_engine.files import pinned as module
from tessera_engine.files.pinned import Pinned
from tessera_engine.files.result import result_folder

ITEM = '{"properties": {"tessera:made": 1}, "assets": {"content": {"href": "content"}}}'

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads through descriptors of folders")


def make(out, content):
    with result_folder(out, True, {}) as folder:
        (folder / "item.json").write_text(ITEM)
        (folder / "content").write_text(content)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@LINUX
def test_a_reader_keeps_the_old_folder_and_the_last_one_removes_it(tmp_path):
    make(tmp_path / "out", "old")
    readers = [Pinned(tmp_path / "out") for _ in range(2)]
    make(tmp_path / "out", "new")
    make(tmp_path / "out", "newer")
    for reader in readers:
        with reader.reading() as here:
            assert (here / "content").read_text() == "old"
    assert (tmp_path / "out" / "content").read_text() == "newer"
    assert names(tmp_path) == ["out", "out.partial"]
    while readers:
        assert len(names(tmp_path / "out.partial" / "read")) == 1
        del readers[0], reader
        gc.collect()
        reader = None
    assert names(tmp_path) == ["out"]


@LINUX
def test_a_reader_in_another_process_keeps_it_too(tmp_path):
    make(tmp_path / "out", "old")
    code = (
        "import sys\nfrom pathlib import Path\nfrom tessera_engine.files.pinned import Pinned\n"
        "reader = Pinned(Path(sys.argv[1]))\nprint('ready', flush=True)\ninput()\n"
        "print((reader.here / 'content').read_text())"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "out")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert other.stdout.readline() == "ready\n"
    make(tmp_path / "out", "new")
    assert names(tmp_path) == ["out", "out.partial"]
    assert other.communicate("\n")[0] == "old\n"
    assert names(tmp_path) == ["out"]


@LINUX
def test_errors_name_the_path_that_was_given(tmp_path):
    make(tmp_path / "out", "old")
    reader = Pinned(tmp_path / "out")
    with pytest.raises(OSError, match="gone") as raised, reader.reading() as here:
        (here / "gone").read_text()
    assert raised.value.filename == str(tmp_path / "out" / "gone")
    with pytest.raises(TesseraError) as told, reader.reading() as here:
        raise TesseraError(f"{here / 'content'} is damaged")
    assert str(told.value) == f"{tmp_path / 'out' / 'content'} is damaged"


def test_where_folders_have_no_descriptors_a_replacement_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_DESCRIPTORS", tmp_path / "none")
    make(tmp_path / "out", "old")
    reader = Pinned(tmp_path / "out")
    with reader.reading() as here:
        assert (here / "content").read_text() == "old"

    def replace():
        with reader.reading():
            make(tmp_path / "out", "new")

    with pytest.raises(TesseraError, match=r"out was replaced.*again"):
        replace()
