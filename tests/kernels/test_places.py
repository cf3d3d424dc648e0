"""Kernels are kept where files can be written, and only where nobody else can put code for us to run."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from numba import config

from tessera_kernels import cache, places
from tessera_kernels.private import not_private

STRANGER = 54321

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other rights")
root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="giving files away takes root"
)

NAME = f"quantize._quantize-{'0' * 12}-{'0' * 24}.nbc"


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """As in a process that has not looked for a folder yet: beside the code, and in a home folder, both in tmp_path."""
    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setattr(places, "PACKAGE", tmp_path / "package")
    monkeypatch.setattr(places, "user_cache", lambda: tmp_path / "home" / "kernels")
    (tmp_path / "package").mkdir()
    places.kernels_folder.cache_clear()
    yield
    places.kernels_folder.cache_clear()


@pytest.fixture
def told(caplog):
    """What was announced."""
    return lambda: [record.getMessage() for record in caplog.records if record.name == "tessera_kernels"]


def blocked(folder):
    """Nothing can be made in here, as root sees it too."""
    folder.parent.mkdir(exist_ok=True, parents=True)
    folder.write_text("")


def test_beside_the_code(tmp_path, told):
    assert places.kernels_folder() == tmp_path / "package" / "__pycache__"
    assert places.in_words() == str(tmp_path / "package" / "__pycache__")
    assert told() == []
    assert not (tmp_path / "home").exists()


@posix
def test_a_system_wide_install_uses_the_users_cache(tmp_path, told):
    blocked(tmp_path / "package" / "__pycache__")
    before = os.umask(0o002)  # of systems where each user has a group
    try:
        found = places.kernels_folder()
    finally:
        os.umask(before)
    assert found.parent == tmp_path / "home" / "kernels"
    assert [folder.stat().st_mode & 0o777 for folder in (found, found.parent)] == [0o700, 0o700]
    assert told() == []


@pytest.mark.skipif(sys.platform != "linux", reason="the folder is another one on each system")
def test_the_users_cache_is_a_folder_of_the_engines_cache(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert places.user_cache() == tmp_path / "tessera-engine" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places.user_cache() == tmp_path / ".cache" / "tessera-engine" / "kernels"


def test_a_set_place_is_the_only_one(monkeypatch, tmp_path, told):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "set"))
    assert places.kernels_folder().parent == tmp_path / "set"
    places.kernels_folder.cache_clear()
    blocked(tmp_path / "file")
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "file"))
    assert places.kernels_folder() is None
    (line,) = told()
    assert str(tmp_path / "file") in line
    assert "NUMBA_CACHE_DIR" in line


def test_no_place_at_all_is_announced_once(tmp_path, told):
    blocked(tmp_path / "package" / "__pycache__")
    blocked(tmp_path / "home")
    assert places.kernels_folder() is None
    assert places.kernels_folder() is None
    (line,) = told()
    assert "__pycache__" in line
    assert str(tmp_path / "home" / "kernels") in line
    assert places.in_words().startswith("not kept")


def test_without_a_home_nothing_is_made_in_the_current_folder(monkeypatch, tmp_path, told):
    blocked(tmp_path / "package" / "__pycache__")
    monkeypatch.setattr(places, "user_cache", lambda: Path("~/.cache/tessera-engine/kernels"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert places.kernels_folder() is None
    assert list(Path().iterdir()) == []
    assert len(told()) == 1


def test_what_a_full_disk_holds_is_loaded(monkeypatch, tmp_path, told):
    def full(**where):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert places.kernels_folder() == tmp_path / "package" / "__pycache__"
    assert told() == []


@posix
@pytest.mark.parametrize(
    ("mode", "sticky", "private"),
    [(0o700, False, True), (0o755, False, True), (0o775, False, False), (0o757, False, False), (0o1777, False, False),
     (0o1777, True, True), (0o777, True, False)],
)  # fmt: skip
def test_a_folder_that_others_can_write_is_not_private(tmp_path, mode, sticky, private):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder").chmod(mode)
    assert (not_private(tmp_path / "folder", sticky) is None) == private


@root
def test_a_folder_of_another_user_is_not_private(tmp_path):
    os.chown(tmp_path, STRANGER, -1)
    assert str(STRANGER) in not_private(tmp_path)
    assert not_private(tmp_path, sticky=True)


def stranger_owns(folder):
    os.chown(folder, STRANGER, STRANGER)


def group_writes(folder):
    folder.chmod(0o775)


def anybody_writes(folder):
    folder.chmod(0o707 | 0o002)


CHANGES = [pytest.param(stranger_owns, marks=root), group_writes, anybody_writes]


@posix
@pytest.mark.parametrize("change", CHANGES)
def test_beside_the_code_others_only_matter_where_kernels_lie(tmp_path, told, change):
    beside = tmp_path / "package" / "__pycache__"
    beside.mkdir()
    change(beside)
    assert places.kernels_folder().parent == tmp_path / "home" / "kernels"
    assert told() == []
    places.kernels_folder.cache_clear()
    (beside / NAME).write_bytes(b"")
    assert places.kernels_folder().parent == tmp_path / "home" / "kernels"
    (line,) = told()
    assert str(beside) in line


@posix
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("level", ["base", "place"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_users_cache_that_others_hold_is_not_used(tmp_path, told, change, level, linked):
    blocked(tmp_path / "package" / "__pycache__")
    if linked:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "home").symlink_to(tmp_path / "elsewhere")
    place = places.kernels_folder()
    assert place.parent == tmp_path / "home" / "kernels"
    places.kernels_folder.cache_clear()
    change(place if level == "place" else place.parent)
    assert places.kernels_folder() is None
    (line,) = told()
    assert f"{place if level == 'place' else place.parent} " in line


class Evil:
    """What runs code when it is unpickled."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


@root
@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
@pytest.mark.parametrize("change", [None, *CHANGES])
def test_code_of_others_never_runs(monkeypatch, tmp_path, told, change):
    monkeypatch.setattr(cache, "kernels_folder", places.kernels_folder)
    monkeypatch.setattr(cache, "_announced", set())

    def double(value):
        return 2 * value

    assert cache.kernel()(double)(4) == 8
    (path,) = places.kernels_folder().iterdir()
    payload = pickle.dumps(Evil(tmp_path / "proof"))
    path.write_bytes(cache._sum(path, payload) + payload)
    if change is not None:
        change(path.parent)
    places.kernels_folder.cache_clear()
    assert cache.kernel()(double)(4) == 8
    # In a folder of our own it does: then we wrote it
    assert (tmp_path / "proof").exists() == (change is None)
    assert len(told()) == 1


def test_without_any_place_kernels_still_run_and_nothing_is_left(tmp_path):
    code = """
import numpy as np
from tessera_kernels import places
from tessera_kernels.quantize import quantize
print(places.kernels_folder(), quantize(np.ones((1, 2), np.float32))[0].tolist())
"""
    # A package that can't be written to, as root sees it too: its __pycache__ is a file
    package = tmp_path / "site" / "tessera_kernels"
    source = Path(cache.__file__).parent
    package.mkdir(parents=True)
    needed = ["__init__", "cache", "cpu", "inner", "places", "private", "quantize", "sources", "threads"]
    for name in (f"{name}.py" for name in needed):
        (package / name).write_text((source / name).read_text())
    blocked(package / "__pycache__")
    blocked(tmp_path / "file")
    environment = os.environ | {
        "XDG_CACHE_HOME": str(tmp_path / "file"), "PYTHONPATH": str(tmp_path / "site"),
        "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(tmp_path / "tmp"),
    }  # fmt: skip
    (tmp_path / "tmp").mkdir()
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, "None [[127, 127]]\n"), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list((tmp_path / "tmp").iterdir()) == []
