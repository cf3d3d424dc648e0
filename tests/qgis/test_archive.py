"""The archive that QGIS installs: one folder, whole, and the same for the same sources."""

from __future__ import annotations

import subprocess
import sys
import zipfile

from places import ROOT

from tessera_engine.kit.source_tree import PLUGIN
from tessera_engine.version import __version__


def build(folder):
    words = [sys.executable, str(ROOT / "qgis" / "build.py"), str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return folder / done.stdout.strip().rpartition("/")[2]


def test_the_archive_has_the_plugin_and_nothing_else(tmp_path):
    first, second = build(tmp_path / "a"), build(tmp_path / "b")
    said = (ROOT / "qgis" / "tessera_qgis" / "metadata.txt").read_text(encoding="utf-8")
    assert f"version={first.stem.rpartition('-')[2]}" in said.splitlines()
    # The kit's name follows the installed engine, which may be of an older checkout
    assert PLUGIN.rpartition("/")[2] == first.name.replace(first.stem.rpartition("-")[2], __version__)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        names = set(archive.namelist())
        assert archive.testzip() is None
    sources = [
        path for path in (ROOT / "qgis/tessera_qgis").rglob("*") if path.suffix in (".py", ".svg", ".txt")
    ]
    expected = {path.relative_to(ROOT / "qgis").as_posix() for path in sources}
    assert names == expected | {"tessera_qgis/LICENSE"}
    assert {"tessera_qgis/metadata.txt", "tessera_qgis/__init__.py", "tessera_qgis/icon.svg"} <= names
