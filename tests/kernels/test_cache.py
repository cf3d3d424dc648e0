"""Compiled kernels are kept where files can be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba import config

from tessera_kernels import cache


@pytest.fixture
def unset(monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", "")


def test_beside_the_code_numba_is_left_alone(unset, monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "PACKAGE", tmp_path)
    cache.place_cache()
    assert config.CACHE_DIR == ""
    assert cache.cache_folder() == str(tmp_path)


def test_a_system_wide_install_uses_the_users_cache(unset, monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "PACKAGE", tmp_path / "file" / "package")
    (tmp_path / "file").write_text("no folder can be made in here")
    monkeypatch.setattr(cache, "user_cache", lambda: tmp_path / "user" / "kernels")
    cache.place_cache()
    assert cache.cache_folder() == str(tmp_path / "user" / "kernels")
    assert (tmp_path / "user" / "kernels").is_dir()


@pytest.mark.skipif(sys.platform != "linux", reason="the folder is another one on each system")
def test_the_users_cache_is_a_folder_of_the_engines_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.user_cache() == tmp_path / "tessera-engine" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.user_cache() == tmp_path / ".cache" / "tessera-engine" / "kernels"


def test_a_set_place_is_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    cache.place_cache()
    assert str(tmp_path) == config.CACHE_DIR


def test_without_any_place_kernels_still_run_and_nothing_is_left(tmp_path):
    code = """
import sys
from pathlib import Path
from tessera_kernels import cache
import numpy as np
from tessera_kernels.quantize import quantize
print(cache.cache_folder(), quantize(np.ones((1, 2), np.float32))[0].tolist())
"""
    blocked = tmp_path / "file"
    blocked.write_text("no folder can be made in here")
    # A package that can't be written to, as root sees it too: its __pycache__ is a file
    package = tmp_path / "site" / "tessera_kernels"
    source = Path(cache.__file__).parent
    package.mkdir(parents=True)
    for name in ("__init__.py", "cache.py", "cpu.py", "quantize.py", "threads.py"):
        (package / name).write_text((source / name).read_text())
    (package / "__pycache__").write_text("")
    environment = os.environ | {
        "XDG_CACHE_HOME": str(blocked), "PYTHONPATH": str(tmp_path / "site"), "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(tmp_path / "tmp"),
    }  # fmt: skip
    (tmp_path / "tmp").mkdir()
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    folder, codes = done.stdout.strip().split(" ", 1)
    assert folder.startswith(str(tmp_path / "tmp" / "tessera-engine-"))
    assert codes == "[[127, 127]]"
    assert list((tmp_path / "tmp").iterdir()) == []
