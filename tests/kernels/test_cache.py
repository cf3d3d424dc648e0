"""Kept kernels: loaded where they are whole, compiled again where they aren't, and never the end of a run."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera_kernels import cache
from tessera_kernels.places import KEPT

pytestmark = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")


def weighted(values, weight):
    return values[0] * weight + values[1]


def other(values, weight):
    return values[0] - weight * values[1]


VALUES = np.array([2.0, 3.0])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder for kernels, and nothing announced yet."""
    monkeypatch.setattr(cache, "kernels_folder", lambda: tmp_path)
    monkeypatch.setattr(cache, "_announced", set())
    return tmp_path


def call(function=weighted, weight=5.0):
    """Call a kernel as a fresh process does: its result, and whether it came from the disk."""
    compiled = cache.kernel(nogil=True)(function)
    result = compiled(VALUES, weight)
    return result, bool(sum(compiled.stats.cache_hits.values()))


def kept(folder):
    return sorted(path for path in folder.iterdir() if KEPT.fullmatch(path.name))


def notices(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "tessera_kernels"]


def test_a_kernel_is_compiled_once(folder, caplog):
    assert call() == (13.0, False)
    assert call() == (13.0, True)
    assert call(weight=5) == (13.0, False)  # an integer: another signature
    assert call(other) == (-13.0, False)
    assert call() == (13.0, True)
    assert len(kept(folder)) == 3 == len(list(folder.iterdir()))
    assert notices(caplog) == []


def test_other_options_and_other_code_are_compiled_apart(folder, monkeypatch):
    call()
    compiled = cache.kernel(nogil=True, error_model="numpy")(weighted)
    assert compiled(VALUES, 5.0) == 13.0
    assert not compiled.stats.cache_hits
    call(other)
    assert len(kept(folder)) == 3
    monkeypatch.setattr(cache, "sources", lambda module: "0123456789ab")
    assert call() == (13.0, False)
    # What other code compiled of this function has gone; that of another function is used until it is compiled again
    assert sorted(KEPT.fullmatch(path.name)["sources"] == "0123456789ab" for path in kept(folder)) == [
        False,
        True,
    ]


def test_a_captured_value_is_part_of_the_key(folder):
    def adder(captured):
        def add(values, weight):
            return values[0] + captured

        return add

    assert call(adder(1.0)) == (3.0, False)
    assert call(adder(2.0)) == (4.0, False)
    assert call(adder(1.0)) == (3.0, True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A kept kernel: the name of its file and what is in it."""
    with pytest.MonkeyPatch.context() as patch:
        made = tmp_path_factory.mktemp("whole")
        patch.setattr(cache, "kernels_folder", lambda: made)
        call()
        (path,) = kept(made)
        return path.name, path.read_bytes()


@settings(max_examples=25)
@given(st.data())
def test_a_damaged_file_is_replaced_with_one_notice(whole, tmp_path_factory, data):
    name, content = whole
    at = data.draw(st.integers(0, len(content) - 1))
    damaged = data.draw(
        st.sampled_from(
            [
                content[:at],
                content[:at] + bytes([content[at] ^ 1 << data.draw(st.integers(0, 7))]) + content[at + 1 :],
                content + b"\0",
                bytes(len(content)),  # what a power cut leaves on some file systems
                content[at:],
            ]
        )
    )
    if damaged == content:
        return
    folder, said = tmp_path_factory.mktemp("damaged"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "kernels_folder", lambda: folder)
        patch.setattr(cache, "_announced", set())
        patch.setattr(cache.log, "warning", lambda message, *values: said.append(message % values))
        (folder / name).write_bytes(damaged)
        assert call() == (13.0, False)
        assert call() == (13.0, True)
    assert len(said) == 1
    assert name in said[0]
    assert len((folder / name).read_bytes()) > 1000


def test_an_empty_file_is_named_as_such(folder, caplog):
    call()
    call(other)
    for path in kept(folder):
        path.write_bytes(b"")
    assert call() == (13.0, False)
    assert call(other) == (-13.0, False)
    (line,) = notices(caplog)
    assert "empty" in line


def test_a_whole_file_under_another_name_is_not_taken(folder, caplog):
    call()
    call(other)
    one, two = kept(folder)
    one.write_bytes(two.read_bytes())
    assert {call()[0], call(other)[0]} == {13.0, -13.0}
    assert len(notices(caplog)) == 1


@pytest.mark.parametrize("payload", [b"", b"no pickle", pickle.dumps(()), pickle.dumps((1, 2, 3))])
def test_a_file_that_numba_can_not_take_is_compiled_again(folder, caplog, payload):
    call()
    (path,) = kept(folder)
    path.write_bytes(cache._sum(path, payload) + payload)
    assert call() == (13.0, False)
    assert call() == (13.0, True)
    assert len(notices(caplog)) == 1


def test_another_signature_in_a_whole_file_is_not_taken(folder, caplog):
    call(weight=5)
    (path,) = kept(folder)
    payload = path.read_bytes()[32:]
    call()
    (target,) = set(kept(folder)) - {path}
    target.write_bytes(cache._sum(target, payload) + payload)
    assert call() == (13.0, False)
    assert len(notices(caplog)) == 1


def test_what_can_not_be_read_is_compiled_again(folder, caplog):
    call()
    (path,) = kept(folder)
    path.unlink()
    path.mkdir()
    assert call() == (13.0, False)
    damaged, not_kept = notices(caplog)
    assert path.name in damaged
    assert str(folder) in not_kept


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_costs_a_notice(folder, caplog, monkeypatch, failing):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[failing], full)
        assert call() == (13.0, False)
        assert call(other) == (-13.0, False)
    (line,) = notices(caplog)
    assert "No space left on device" in line
    assert list(folder.iterdir()) == []
    assert call() == (13.0, False)
    assert call() == (13.0, True)


def test_a_file_is_on_the_disk_before_it_has_its_name(folder, monkeypatch):
    steps = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: steps.append("sync") or sync(descriptor))
    monkeypatch.setattr(Path, "replace", lambda path, target: steps.append("name") or replace(path, target))
    call()
    assert steps == (["sync", "name"] if sys.platform == "win32" else ["sync", "name", "sync"])


def test_what_killed_processes_left_is_removed_when_it_is_old(folder):
    call()
    (path,) = kept(folder)
    old, fresh = (path.with_name(f"{path.name}.{digit * 8}.partial") for digit in "01")
    mine = folder / "notes.partial"
    for each in (old, fresh, mine):
        each.write_bytes(b"")
    before = time.time() - 7200
    for each in (old, mine):
        os.utime(each, (before, before))
    path.unlink()
    call()
    assert sorted(folder.iterdir()) == sorted([path, fresh, mine])


def test_without_a_folder_kernels_are_compiled_each_time(monkeypatch):
    monkeypatch.setattr(cache, "kernels_folder", lambda: None)
    assert call() == (13.0, False)
    assert call() == (13.0, False)


QUANTIZE = """
import numpy as np
from tessera_kernels.quantize import quantize
print(quantize(np.ones((1, 2), np.float32))[0].tolist())
"""


def process(code=QUANTIZE, **variables):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | variables
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_processes_that_compile_at_once_leave_whole_files(tmp_path):
    for _ in range(2):
        running = [process(NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(3)]
        for each in running:
            out, err = each.communicate()
            assert (each.returncode, out, err) == (0, "[[127, 127]]\n", "")
    (place,) = tmp_path.iterdir()
    files = list(place.iterdir())
    assert len(files) == len(kept(place)) == 1
    for path in files:
        content = path.read_bytes()
        assert content[:32] == cache._sum(path, content[32:])


def test_processes_go_on_after_every_file_was_cut_short(tmp_path):
    process(NUMBA_CACHE_DIR=str(tmp_path)).communicate()
    (place,) = tmp_path.iterdir()
    for size in (0, 100, None):
        for path in kept(place) if size is not None else ():
            os.truncate(path, size)
        again = process(NUMBA_CACHE_DIR=str(tmp_path))
        out, err = again.communicate()
        assert (again.returncode, out) == (0, "[[127, 127]]\n")
        assert len(err.splitlines()) == (0 if size is None else 1), err


def test_kernels_run_where_nothing_is_compiled(tmp_path):
    plain = process(NUMBA_CACHE_DIR=str(tmp_path), NUMBA_DISABLE_JIT="1")
    assert plain.communicate() == ("[[127, 127]]\n", "")
    assert list(tmp_path.iterdir()) == []
