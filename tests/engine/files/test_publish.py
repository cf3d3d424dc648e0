"""Publishing: a kill at any step leaves the old or the new, and nothing that isn't ours is touched."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from killing import make, write
from results_there import MODES, content, names

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files import partial, publish, record
from tessera_engine.files.durable import Lock, held
from tessera_engine.files.output import PartialOutput, check_target, is_output
from tessera_engine.files.partial import finish_or_undo
from tessera_engine.files.record import Record
from tessera_engine.files.result import result_file, result_folder, result_pair

DEAD = "4194304\n"
"""What the lock of a process holds that has ended."""


@pytest.fixture
def mode(exchange, monkeypatch):
    """Publish with or without an exchange of two names by the system."""
    if not exchange:
        monkeypatch.setattr(publish, "_renameat2", lambda *names: False)
    elif sys.platform != "linux":
        pytest.skip("only Linux exchanges names")


@MODES
def test_a_result_appears_and_is_replaced(tmp_path, mode):
    make(tmp_path / "out", "old")
    assert (names(tmp_path), content(tmp_path / "out")) == (["out"], "old")
    with pytest.raises(InputError, match="overwrite=True"):
        make(tmp_path / "out", "new")
    make(tmp_path / "out", "new", overwrite=True)
    assert (names(tmp_path), content(tmp_path / "out")) == (["out"], "new")


@MODES
@pytest.mark.parametrize("old", [False, True])
def test_everything_is_on_the_disk_before_it_gets_its_name_and_then_the_name(
    tmp_path, mode, monkeypatch, old
):
    out, events = tmp_path / "out", []
    if old:
        make(out, "old")
    with result_folder(out, old, {"content": "new"}) as made:
        write(made, "new")
        write(made / "inside", "new")
        files = {path.stat().st_ino: path.relative_to(made) for path in (made, *made.rglob("*"))}
        monkeypatch.setattr(os, "fsync", lambda descriptor: events.append(os.fstat(descriptor).st_ino))
        publish_it = partial.publish
        monkeypatch.setattr(partial, "publish", lambda *named: (events.append("named"), publish_it(*named)))
    before, after = events[: events.index("named")], events[events.index("named") :]
    assert files.keys() <= set(before)
    assert tmp_path.stat().st_ino in after


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_overwrite_would_refuse_is_not_advised_to_be_overwritten(tmp_path, overwrite):
    (tmp_path / "scene").mkdir()
    with pytest.raises(InputError, match="is not an output"):
        check_target(tmp_path / "scene", overwrite)


def test_what_is_changed_in_an_interrupted_result_stays(tmp_path):
    """The same command replaces what it had published, and nothing that has changed before or meanwhile."""

    def again():
        with result_folder(tmp_path / "out", False, {"content": "new"}) as folder:
            (folder / "content").write_text("newer")
            (tmp_path / "out" / "notes").write_text("mine")

    place = PartialOutput(tmp_path / "out")
    (place.make_output() / "content").write_text("new")
    place.publish(False, {"content": "new"})
    place.close(keep=True)
    with pytest.raises(InputError, match="is not an output"):
        again()
    with pytest.raises(InputError, match="out exists already"):
        again()
    assert (tmp_path / "out" / "content").read_text() == "new"
    assert names(tmp_path / "out") == ["content", "notes"]


def test_a_pair_that_fails_leaves_neither(tmp_path):
    def fail(folder, made):
        write(folder, "new")
        made.write_text("new")
        raise RuntimeError

    with pytest.raises(RuntimeError), result_pair(tmp_path / "out", tmp_path / "file", True, {}) as made:
        fail(*made)
    assert names(tmp_path) == []


def test_a_record_that_lies_beside_is_left_to_the_process_that_removes_the_folder(tmp_path, monkeypatch):
    make(tmp_path / "out", "new")
    beside = Record(tmp_path / "out.partial").beside
    beside.write_text('{"identity": null, "figures": {}, "signature": ""}')
    with held(beside):
        finish_or_undo(tmp_path / "out")
        monkeypatch.setattr(record, "WAIT_SECONDS", 0)
        with pytest.raises(InputError, match=r"another run.*out.partial"):
            make(tmp_path / "out", "new", overwrite=True)
    finish_or_undo(tmp_path / "out")
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("text", ["notes", "{}", "[1]"])
def test_a_file_in_the_place_of_the_record_is_left_as_it_is(tmp_path, text):
    (tmp_path / "out.partial.done").write_text(text)
    finish_or_undo(tmp_path / "out")
    with pytest.raises(InputError, match=r"out.partial.done.*out="):
        make(tmp_path / "out", "new")
    assert (names(tmp_path), (tmp_path / "out.partial.done").read_text()) == (["out.partial.done"], text)


@pytest.mark.parametrize("holds", [(), ("output",), ("replaced",), ("output", "replaced")])
def test_an_interrupted_replacement_is_finished_or_undone(tmp_path, holds):
    """What a kill between the two renames, or a disk that lost one of the folders, leaves."""
    partial = tmp_path / "out.partial"
    for name in holds:
        write(partial / name, name)
    partial.mkdir(exist_ok=True)
    (partial / "lock").write_text(DEAD)
    (partial / "swap").touch()
    if holds == ("output",):
        write(tmp_path / "out", "old")
    finish_or_undo(tmp_path / "out")
    assert not (partial / "swap").exists()
    expected = {(): None, ("output",): "old", ("replaced",): "replaced", ("output", "replaced"): "output"}[
        holds
    ]
    if expected is None:
        assert not (tmp_path / "out").exists()
    else:
        assert content(tmp_path / "out") == expected


def test_whoever_looks_at_an_output_completes_its_replacement(tmp_path):
    for name in ("output", "replaced"):
        write(tmp_path / "out.partial" / name, name)
    (tmp_path / "out.partial" / "lock").write_text(DEAD)
    (tmp_path / "out.partial" / "swap").touch()
    assert is_output(tmp_path / "out")
    assert (tmp_path / "out" / "content").read_text() == "output"


def test_a_replacement_by_a_living_process_is_waited_for(tmp_path, monkeypatch):
    write(tmp_path / "out.partial" / "replaced", "old")
    lock = Lock(tmp_path / "out.partial" / "lock")
    (tmp_path / "out.partial" / "swap").touch()
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        (tmp_path / "out.partial" / "swap").unlink()

    monkeypatch.setattr(partial.time, "sleep", sleep)
    finish_or_undo(tmp_path / "out")
    assert len(slept) == 1
    lock.release(remove=True)


def test_a_folder_that_appears_between_the_renames_is_left_alone(tmp_path):
    for name in ("output", "replaced"):
        write(tmp_path / "out.partial" / name, name)
    (tmp_path / "out.partial" / "lock").write_text(DEAD)
    (tmp_path / "out.partial" / "swap").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes").write_text("mine")
    with pytest.raises(InputError, match="out has appeared"):
        finish_or_undo(tmp_path / "out")
    assert (tmp_path / "out" / "notes").read_text() == "mine"
    shutil.move(tmp_path / "out", tmp_path / "mine")
    finish_or_undo(tmp_path / "out")
    assert content(tmp_path / "out") == "output"


@MODES
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_appears_meanwhile_is_never_replaced(tmp_path, mode, overwrite):
    def make_while_a_folder_appears():
        with result_folder(tmp_path / "out", overwrite, {}) as folder:
            write(folder, "new")
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "notes").write_text("mine")

    with pytest.raises(InputError, match="out "):
        make_while_a_folder_appears()
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "notes").read_text() == "mine"


def test_two_processes_do_not_write_one_output(tmp_path):
    with (
        result_folder(tmp_path / "out", False, {}) as folder,
        pytest.raises(InputError, match=f"another run .process {os.getpid()}"),
        result_folder(tmp_path / "out", True, {}),
    ):
        pass
    assert not folder.exists()


@pytest.mark.parametrize(
    ("make_it", "named"),
    [
        (lambda folder: (folder / "survey").mkdir(parents=True), "survey"),
        (lambda folder: (folder.mkdir(), (folder / "lock").write_text("a bicycle")), "lock"),
        (lambda folder: (folder / "staging").mkdir(parents=True), "no lock"),
        (lambda folder: folder.write_text("a file"), "not a folder"),
        (lambda folder: folder.symlink_to(folder.parent), "not a folder"),
        (lambda folder: (folder.mkdir(), (folder / "lock").symlink_to("../precious")), "lock"),
        (
            lambda folder: (folder.mkdir(), (folder / "lock").touch(), (folder / "output").symlink_to("..")),
            "output",
        ),
        (
            lambda folder: (
                (folder / "staging").mkdir(parents=True),
                (folder / "lock").touch(),
                (folder / "staging" / "scales.npy").symlink_to("../../precious"),
            ),
            "staging/scales.npy",
        ),
        *(
            (lambda folder, name=name: (write(folder / name, "mine"), (folder / "lock").touch()), name)
            for name in ("output", "replaced", "staging", "cells", "read")
        ),
        (lambda folder: (write(folder, "mine"), (folder / "lock").touch()), "content"),
        (
            lambda folder: (
                folder.mkdir(),
                (folder / "output").write_text("mine"),
                (folder / "lock").touch(),
            ),
            "output",
        ),
    ],
)
def test_a_partial_folder_that_is_not_ours_is_refused_by_name(tmp_path, make_it, named):
    (tmp_path / "precious").write_text("precious")
    make_it(tmp_path / "out.partial")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=rf"out.partial.*{named}.*out="):
        PartialOutput(tmp_path / "out")
    finish_or_undo(tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "precious").read_text() == "precious"


def test_what_a_dead_process_left_is_removed(tmp_path):
    partial = tmp_path / "out.partial"
    write(partial / "output", "half")
    (partial / "lock").write_text(DEAD)
    make(tmp_path / "out", "new")
    assert (names(tmp_path), content(tmp_path / "out")) == (["out"], "new")


def test_a_lock_is_never_empty_while_it_is_taken_again(tmp_path, monkeypatch):
    """A process that is killed at any moment leaves its number, or that of the one before."""
    path = tmp_path / "out.partial" / "lock"
    Lock(path).release(remove=False)
    seen, process = [], os.getpid()

    def write(descriptor, text, write=os.write):
        seen.append(path.read_text().strip())
        return write(descriptor, text)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "getpid", lambda: 7)
    Lock(path).release(remove=False)
    assert (seen, path.read_text().strip()) == ([str(process)], "7")


def test_an_unfinished_run_is_not_removed_by_a_result(tmp_path):
    place = PartialOutput(tmp_path / "out")
    place.journal.write_text("x")
    place.close(keep=True)
    with pytest.raises(InputError, match="unfinished run"):
        make(tmp_path / "out", "new", overwrite=True)
    assert place.journal.read_text() == "x"


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    make(tmp_path / "disk" / "real", "old")
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "real")
    make(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out").is_symlink()
    assert content(tmp_path / "disk" / "real") == "new"
    assert names(tmp_path / "disk") == ["real"]


@MODES
def test_a_file_appears_whole_or_not_at_all(tmp_path, mode):
    target = tmp_path / "file"
    with result_file(target, False, {}) as made:
        made.write_text("one")
    with (
        pytest.raises(InputError, match="file exists already"),
        result_file(target, False, {}) as made,
    ):
        made.write_text("two")
    assert (names(tmp_path), target.read_text()) == (["file"], "one")
    with result_file(target, True, {}) as made:
        made.write_text("three")
    with pytest.raises(RuntimeError), result_file(target, True, {}) as made:
        raise RuntimeError
    assert (names(tmp_path), target.read_text()) == (["file"], "three")


def test_a_file_system_without_links_gets_files_too(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "_renameat2", lambda *names: False)

    def refuse(source, target):
        raise OSError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    with result_file(tmp_path / "file", False, {}) as made:
        made.write_text("one")
    assert (names(tmp_path), (tmp_path / "file").read_text()) == (["file"], "one")


@pytest.mark.parametrize("place", [".", "/"])
def test_folders_without_a_name_can_be_looked_at(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not is_output(Path(place))


def test_nothing_is_written_over_the_root():
    with pytest.raises(InputError, match="out="):
        PartialOutput(Path("/"))


def test_the_same_command_replaces_what_it_had_published(tmp_path, monkeypatch):
    """Killed after the result got its name: another command is refused, the same one is not."""
    with monkeypatch.context() as patch:
        patch.setattr(PartialOutput, "close", lambda self, keep: self._lock.release(remove=False))
        make(tmp_path / "out", "one")
    assert names(tmp_path) == ["out", "out.partial"]
    finish_or_undo(tmp_path / "out")  # another command looks at it
    with pytest.raises(InputError, match="exists already"):
        make(tmp_path / "out", "two")
    with monkeypatch.context() as patch:
        patch.setattr(PartialOutput, "close", lambda self, keep: self._lock.release(remove=False))
        make(tmp_path / "out", "two", overwrite=True)
    (tmp_path / "out" / "content").write_text("changed by the user")
    with pytest.raises(InputError, match="exists already"):
        make(tmp_path / "out", "two")
    assert content(tmp_path / "out") == "changed by the user"


def test_whatever_a_dead_process_left_is_removed_by_who_looks_there(tmp_path):
    write(tmp_path / "out.partial" / "output", "half")
    (tmp_path / "out.partial" / "lock").write_text(DEAD)
    assert not is_output(tmp_path / "out")
    assert names(tmp_path) == []


def test_looking_at_a_folder_touches_nothing_that_is_not_ours(tmp_path):
    (tmp_path / "field.partial").mkdir()
    (tmp_path / "field.partial" / "lock").write_text("of my bicycle: 4711")
    finish_or_undo(tmp_path / "field")
    assert (tmp_path / "field.partial" / "lock").read_text() == "of my bicycle: 4711"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_a_partial_folder_of_another_user_is_refused(tmp_path):
    place = PartialOutput(tmp_path / "out")
    place.close(keep=True)
    os.chown(tmp_path / "out.partial", 4711, 4711)
    with pytest.raises(InputError, match="another user"):
        make(tmp_path / "out", "new")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO")
def test_a_fifo_in_the_place_of_a_file_is_refused_at_once(tmp_path):
    for name in ("out.partial", "other.partial/lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        os.mkfifo(tmp_path / name)
        with pytest.raises(InputError, match="out="):
            make(tmp_path / Path(name).parts[0].removesuffix(".partial"), "new")


@pytest.mark.parametrize("name", ["a b", "a\nb", "größe", "x" * 255, "é" * 127])
def test_any_name_of_a_folder_works(tmp_path, name):
    for each in ("old", "new"):
        make(tmp_path / name, each, overwrite=True)
        assert (names(tmp_path), content(tmp_path / name)) == ([name], each)


def test_a_name_that_is_too_long_is_an_error_of_one_line(tmp_path):
    with pytest.raises(InputError, match="out="):
        make(tmp_path / ("x" * 256), "new")
    assert not is_output(tmp_path / ("x" * 256))


def test_a_folder_that_windows_keeps_open_stays_and_is_named(tmp_path, monkeypatch):
    """By Windows' rules a folder in which a file is open can't be renamed."""
    make(tmp_path / "out", "old")
    honest = Path.rename

    def refuse(self, target):
        if self.name == "out":
            raise PermissionError(13, "Access is denied", str(self))
        return honest(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(publish, "_renameat2", lambda *names: False)
        patch.setattr(publish.sys, "platform", "win32")
        patch.setattr(Path, "rename", refuse)
        with pytest.raises(TesseraError, match=r"out is open in another program.*again"):
            make(tmp_path / "out", "new", overwrite=True)
    assert (names(tmp_path), content(tmp_path / "out")) == (["out"], "old")


def test_a_file_never_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="is a folder"), result_file(tmp_path / "out", True, {}) as made:
        made.write_text("x")
    assert names(tmp_path) == ["out"]
