"""What is damaged or lacks room in an interrupted run: it is named, and only what it touches is computed again."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest
from cut_runs import ARRAYS, WINDOWS, Interrupting, assert_only, contents, embed, interrupt, plan, raising

from tessera_engine.errors import TesseraError
from tessera_engine.scene import Window

pytestmark = pytest.mark.usefixtures("read_to_compute")


@pytest.mark.parametrize("name", ["embeddings", "scales", "observations"])
def test_a_flipped_bit_in_a_finished_window_is_found_and_computed_again(tmp_path, expected, name):
    interrupt(tmp_path / "out", 4)
    staged = tmp_path / "out.partial" / "staging" / f"{name}.npy"
    content = bytearray(staged.read_bytes())
    content[130] ^= 4  # in the first window
    staged.write_bytes(content)
    again = plan(tmp_path / "out")
    told = embed(again)
    assert any("window (0, 0, 9, 2)" in t for t in told)
    assert again.windows_read[0] == Window(0, 0, 9, 2)
    assert len(again.windows_read) < WINDOWS
    assert contents(tmp_path / "out") == expected


@pytest.mark.parametrize("left", [0, 50, 500, 1000, None])
def test_a_staged_file_cut_short_or_gone_costs_its_windows_only(tmp_path, expected, left):
    interrupt(tmp_path / "out", 5)
    staged = tmp_path / "out.partial" / "staging" / "embeddings.npy"
    if left is None:
        staged.unlink()
    else:
        os.truncate(staged, left)
    again = plan(tmp_path / "out")
    told = embed(again)
    assert any("staged window" in line for line in told)
    if left == 1000:  # the header's 128 bytes and three rows of 9 * 32
        assert Window(0, 0, 9, 2) not in again.windows_read
    assert contents(tmp_path / "out") == expected


def test_a_damaged_journal_line_is_named_and_its_window_computed_again(tmp_path, expected):
    interrupt(tmp_path / "out", 5)
    journal = tmp_path / "out.partial" / "journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"9", b"8", 1)
    journal.write_bytes(b"".join(lines))
    again = plan(tmp_path / "out")
    assert "damaged in line 3" in embed(again)[0]
    assert Window(0, 2, 9, 2) in again.windows_read
    assert contents(tmp_path / "out") == expected


def test_a_journal_without_its_first_line_stops(tmp_path, expected):
    interrupt(tmp_path / "out")
    journal = tmp_path / "out.partial" / "journal"
    journal.write_bytes(b"x" + journal.read_bytes())
    with pytest.raises(TesseraError, match="restart=True"):
        embed(plan(tmp_path / "out"))
    embed(plan(tmp_path / "out"), restart=True)
    assert contents(tmp_path / "out") == expected


def test_a_read_error_names_the_place_and_is_gone_on_from(tmp_path, expected):
    out, error = tmp_path / "out", OSError(5, "Input/output error")
    with pytest.raises(
        TesseraError, match=r"can't be read at \(0, 6, 9, 2\).*Input/output error.*same command"
    ):
        embed(plan(out, Interrupting(ARRAYS, 3, raising(error))))
    embed(plan(out))
    assert contents(out) == expected


def test_too_little_room_is_said_beforehand(tmp_path, monkeypatch):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6)
    )
    with pytest.raises(TesseraError, match=r"needs 5 MB .* 4 MB"):
        embed(plan(tmp_path / "out"))
    assert_only(tmp_path)


@contextmanager
def mounted(folder, size):
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True
    )
    if done.returncode != 0:
        pytest.skip("mounting takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder):
    with (folder / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting takes root")
@pytest.mark.parametrize("at", [3, 5])
def test_a_disk_that_is_full_midway_is_gone_on_from(tmp_path, expected, at):
    with mounted(tmp_path / "disk", "8m") as disk:
        out = disk / "out"
        with pytest.raises(TesseraError, match="same command again") as full:
            embed(plan(out, Interrupting(ARRAYS, at, lambda: fill(disk))))
        assert "\n" not in str(full.value)
        assert_only(disk, "out.partial", "ballast")
        (disk / "ballast").unlink()
        assert any("resuming" in line for line in embed(plan(out)))
        assert contents(out) == expected
        assert_only(disk, "out")


@pytest.mark.skipif(shutil.which("chattr") is None, reason="needs chattr")
def test_permission_that_is_lost_midway_is_gone_on_from(tmp_path, expected):
    staged = tmp_path / "out.partial" / "staging" / "embeddings.npy"

    def lose():
        if subprocess.run(["chattr", "+i", staged], capture_output=True).returncode != 0:
            pytest.skip("this file system or user can't make files immutable")

    try:
        with pytest.raises(TesseraError, match=r"not permitted .*embeddings.npy.*same command again"):
            embed(plan(tmp_path / "out", Interrupting(ARRAYS, 3, lose)))
    finally:
        subprocess.run(["chattr", "-i", staged], capture_output=True)
    embed(plan(tmp_path / "out"))
    assert contents(tmp_path / "out") == expected
