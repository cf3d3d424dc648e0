"""Where the user's models and plans are: the same folders on Linux as in earlier versions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tessera_engine.backends.gpu.plans import plans_folder
from tessera_engine.files.user_folders import HOME_VARIABLE, cache_folder, data_folder
from tessera_engine.model.installed import user_folder

linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in (HOME_VARIABLE, "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


@linux
def test_folders_on_linux(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert user_folder() == data_folder("models") == Path("/home/ada/.local/share/tessera-engine/models")
    assert plans_folder() == cache_folder("plans") == Path("/home/ada/.cache/tessera-engine/plans")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert user_folder() == Path("/data/tessera-engine/models")
    assert plans_folder() == Path("/cache/tessera-engine/plans")


def test_one_variable_moves_all(monkeypatch, tmp_path):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    assert user_folder() == tmp_path / "models"
    assert plans_folder() == tmp_path / "plans"
