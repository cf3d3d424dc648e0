"""The folder that all machines share: files come whole into it, and never into a run that is closed or has ended."""

from __future__ import annotations

import hashlib

import pytest

from tessera_engine.cluster.sharing import CELLS, close_cells, deliver, open_cells


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_delivered_file_is_whole_and_its_folders_are_made(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "a").write_bytes(b"new")
    for _ in range(2):
        sha256 = deliver(tmp_path / "a", tmp_path / "shared", "x/y/b")
    assert sha256 == hashlib.sha256(b"new").hexdigest()
    assert everything(tmp_path / "shared") == ["x", "x/y", "x/y/b"]
    assert (tmp_path / "shared" / "x" / "y" / "b").read_bytes() == b"new"


def test_nothing_is_delivered_into_a_folder_that_has_gone(tmp_path):
    (tmp_path / "a").write_bytes(b"new")
    with pytest.raises(FileNotFoundError):
        deliver(tmp_path / "a", tmp_path / "shared", "x/y/b")
    assert everything(tmp_path) == ["a"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "shared" / "x").mkdir(parents=True)
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "shared" / "x" / "b").mkdir()  # a file can't take its place
    with pytest.raises(OSError, match="b"):
        deliver(tmp_path / "a", tmp_path / "shared", "x/b")
    assert everything(tmp_path / "shared") == ["x", "x/b"]


@pytest.mark.parametrize("renamed", ["", "staging", "output", "staging output"])
def test_cells_are_opened_again_wherever_a_process_ended_while_it_closed_them(renamed, tmp_path):
    open_cells(tmp_path)
    (tmp_path / CELLS / "output").mkdir()
    (tmp_path / CELLS / "output" / "shard").write_bytes(b"1")
    before = everything(tmp_path)
    for name in renamed.split():
        (tmp_path / CELLS / name).rename(tmp_path / name)
    open_cells(tmp_path)
    assert everything(tmp_path) == before
    close_cells(tmp_path)
    assert everything(tmp_path) == [CELLS, "output", "output/shard", "staging"]
