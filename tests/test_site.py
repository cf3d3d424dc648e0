"""The documentation as pages: they build without a warning, and nothing in them comes from elsewhere."""

from __future__ import annotations

import importlib.util
import inspect
import json
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
    pytest.importorskip("nbconvert")
    folder = tmp_path_factory.mktemp("site").resolve()
    words = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "404.html").unlink()  # for servers: not read from a disk
    return folder


def test_pages_have_all_commands_and_functions(site):
    from typer.main import get_command

    import tessera_engine
    import tessera_export
    from tessera_engine.cli import app

    for name, command in get_command(app).commands.items():
        for inner in getattr(command, "commands", {"": None}):
            page = site / f"command-{'-'.join(filter(None, (name, inner)))}.html"
            assert f"tessera-engine {f'{name} {inner}'.strip()}" in page.read_text(encoding="utf-8")
    python = (site / "python.html").read_text(encoding="utf-8")
    for name in (*tessera_engine.__all__, *tessera_export.__all__):
        assert name.startswith("__") or f".{name}" in python, name


def test_the_page_of_python_has_every_option_and_method(site):
    import tessera_engine

    python = (site / "python.html").read_text(encoding="utf-8")
    sections = dict(re.findall(r"<h3[^>]* id=\"?([\w.]+)\"?(.*?)(?=<h[23]|\Z)", python, re.DOTALL))
    for name in tessera_engine.__all__:
        value = getattr(tessera_engine, name)
        section = sections[f"{value.__module__}.{name}"]
        if isinstance(value, type):
            kinds = (type(lambda: None), property)
            for method, each in vars(value).items():
                if isinstance(each, kinds) and not method.startswith("_"):
                    assert re.search(rf"id=\"?{value.__module__}\.{name}\.{method}[\"\s>]", python), method
            continue
        shown = re.sub(r"<[^>]+>", "", section)
        for parameter in inspect.signature(value).parameters.values():
            assert f"{parameter.name}{'' if parameter.default is parameter.empty else '='}" in shown, (
                name,
                parameter,
            )


def test_pages_load_nothing_from_elsewhere(site):
    loaded = re.compile(
        r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?([^\s\">]+)|<link[^>]*\shref=\"?([^\s\">]+)"
    )
    for page in site.rglob("*.html"):
        for found in loaded.finditer(page.read_text(encoding="utf-8")):
            target = found[1] or found[2]
            assert "://" not in target, f"{page.name}: {target}"
            place = page.parent / target.split("?")[0].split("#")[0]
            assert target.startswith("data:") or place.exists(), f"{page.name}: {target}"


def test_the_licences_of_the_theme_and_of_what_it_bundles_are_there(site):
    notices = (site / "vendored" / "theme.licences.txt").read_text(encoding="utf-8")
    assert notices == (ROOT / "docs" / "vendored" / "theme.licences.txt").read_text(encoding="utf-8")
    sources = [
        name for path in site.rglob("*.map") for name in json.loads(path.read_text("utf-8"))["sources"]
    ]
    bundled = set(re.findall(r"node_modules/((?:@[^/\n]+/)?[^/\n]+)/", "\n".join(sources)))
    assert {"lunr", "rxjs"} <= bundled
    for name in {"mkdocs-material", *bundled}:
        assert re.search(rf"^{re.escape(name)} \([\w.-]+\)$", notices, re.MULTILINE), name


def test_links_lead_to_pages_and_places_in_them(site):
    texts = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    anchors = {page: set(re.findall(r"\sid=\"?([^\s\">]+)", text)) for page, text in texts.items()}
    for page, text in texts.items():
        for target in re.findall(r"<a[^>]*\shref=\"?([^\s\">]+)", text):
            if "://" in target or target.startswith("mailto:"):
                continue
            place, _, anchor = target.partition("#")
            led = page if place in ("", ".") else (page.parent / place).resolve()
            assert led in texts or led.exists(), f"{page.name}: {target}"
            assert not anchor or led not in anchors or anchor in anchors[led], f"{page.name}: {target}"


def test_notebooks_are_pages_with_what_they_show(site):
    for notebook in (ROOT / "docs" / "notebooks").glob("*.ipynb"):
        page = site / "notebooks" / f"{notebook.stem}.html"
        text = page.read_text(encoding="utf-8")
        pictures = notebook.read_text(encoding="utf-8").count('"image/png"')
        assert pictures >= 1
        assert len(list(page.with_name(f"{notebook.stem}-pictures").iterdir())) == pictures
        assert len(re.findall(r"<img[^>]*output_", text)) == pictures
        assert "tessera_engine" in text


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
    names = {site / name.removeprefix(f"{in_wheel.TARGET}/") for name in chosen.values()}
    asked = re.compile(r"(?:src|href)=\"?([^\s\">#?]+)")
    for page in site.rglob("*.html"):
        for target in asked.findall(page.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith(("data:", "mailto:")) and target != ".":
                assert (page.parent / target).resolve() in names, f"{page.name}: {target}"
