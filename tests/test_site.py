"""The documentation as pages: they build without a warning, and nothing in them comes from elsewhere."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from places import ROOT

IN_THE_WHEEL = 3_000_000
"""Bytes, compressed, that the pages may add to the wheel."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "404.html").unlink()  # for servers: not read from a disk
    return folder


def test_pages_have_all_commands_and_functions(site):
    from typer.main import get_command

    import tessera_engine
    from tessera_engine.cli import app

    for name, command in get_command(app).commands.items():
        for inner in getattr(command, "commands", {"": None}):
            page = site / f"command-{'-'.join(filter(None, (name, inner)))}.html"
            assert f"tessera-engine {f'{name} {inner}'.strip()}" in page.read_text(encoding="utf-8")
    python = (site / "python.html").read_text(encoding="utf-8")
    for name in tessera_engine.__all__:
        assert name.startswith("__") or f".{name}" in python, name


def test_pages_load_nothing_from_elsewhere(site):
    loaded = re.compile(
        r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?([^\s\">]+)|<link[^>]*\shref=\"?([^\s\">]+)"
    )
    for page in site.glob("*.html"):
        for found in loaded.finditer(page.read_text(encoding="utf-8")):
            target = found[1] or found[2]
            assert "://" not in target, f"{page.name}: {target}"
            assert target.startswith("data:") or (site / target.split("?")[0].split("#")[0]).exists(), (
                page.name,
                target,
            )


def test_links_lead_to_pages_and_places_in_them(site):
    texts = {page.name: page.read_text(encoding="utf-8") for page in site.glob("*.html")}
    anchors = {name: set(re.findall(r"\sid=\"?([^\s\">]+)", text)) for name, text in texts.items()}
    for name, text in texts.items():
        for target in re.findall(r"<a[^>]*\shref=\"?([^\s\">]+)", text):
            if "://" in target or target.startswith("mailto:"):
                continue
            place, _, anchor = target.partition("#")
            place = name if place in ("", ".") else place
            assert place in texts or (site / place).exists(), f"{name}: {target}"
            assert not anchor or place not in anchors or anchor in anchors[place], f"{name}: {target}"


def test_the_wheels_share_of_the_pages_is_small_and_whole(site, tmp_path):
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("in_wheel", ROOT / "docs" / "in_wheel.py")
    in_wheel = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(in_wheel)
    assert in_wheel.pages(tmp_path) == {}
    shutil.copytree(site, tmp_path / in_wheel.SITE)
    chosen = in_wheel.pages(tmp_path)
    with zipfile.ZipFile(tmp_path / "pages.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, name in chosen.items():
            archive.write(path, name)
    assert 500_000 < (tmp_path / "pages.zip").stat().st_size < IN_THE_WHEEL
    names = {name.removeprefix(f"{in_wheel.TARGET}/") for name in chosen.values()}
    asked = re.compile(r"(?:src|href)=\"?([^\s\">#?]+)")
    for page in site.rglob("*.html"):
        for target in asked.findall(page.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith(("data:", "mailto:", ".")):
                assert target in names, f"{page.name}: {target}"
