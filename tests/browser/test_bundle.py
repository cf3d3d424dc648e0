"""The page that lies in the package: its weight, its licences, and that it is what its source gives."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess

import pytest
from places import ROOT

PAGE = ROOT / "engine" / "tessera_engine" / "view" / "page"
WEB = ROOT / "web"
FILES = sorted(path for path in PAGE.iterdir() if path.is_file())


def test_all_files_of_the_page_weigh_little():
    contents = [path.read_bytes() for path in FILES]
    assert sum(map(len, contents)) <= 500_000
    assert sum(len(gzip.compress(content, 9)) for content in contents) <= 150_000


def test_the_page_names_no_other_host_to_load_from():
    for name in ("index.html", "folder.html", "app.css"):
        text = (PAGE / name).read_text(encoding="utf-8")
        assert not re.search(r"(https?:)?//\w", text.replace("http://www.w3.org/2000/svg", "")), name
    # The policy of the server allows neither
    for name in ("index.html", "folder.html"):
        text = (PAGE / name).read_text(encoding="utf-8")
        assert "style=" not in text, name
        assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=", text), name


def test_licences_of_what_is_bundled_lie_beside_it():
    text = (PAGE / "licences.txt").read_text(encoding="utf-8")
    locked = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    wanted = json.loads((WEB / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert list(wanted) == ["ol"]
    assert f"ol {locked['node_modules/ol']['version']} (BSD-2-Clause)" in text
    assert "Redistributions in binary form must reproduce" in text
    for name in ("rbush", "quickselect"):
        assert f"{name} {locked[f'node_modules/{name}']['version']} " in text


def test_the_lockfile_names_no_registry():
    packages = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert not any("resolved" in package for package in packages.values())
    assert all("integrity" in package for name, package in packages.items() if name)


def test_the_page_is_what_its_source_gives(tmp_path):
    if shutil.which("node") is None:
        pytest.skip("node isn't installed")
    if not (WEB / "node_modules").is_dir():
        pytest.skip("the packages of web/ aren't installed: make web")
    subprocess.run(["node", "build.mjs", str(tmp_path)], cwd=WEB, check=True, timeout=120)
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in FILES]
    for path in FILES:
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), (
            f"{path.name}: run make web, and commit it"
        )
