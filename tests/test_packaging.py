"""What the package promises about itself: types are shipped, the source archive is whole, extras and hints agree."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest
from places import ROOT

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
PACKAGES = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

NOT_LISTED = {".gitattributes", ".github", ".gitignore", "pyproject.toml"}
"""Of the repository's root: its host and git use the first three, and hatchling adds the last by itself."""


@pytest.mark.parametrize("package", PACKAGES)
def test_types_are_shipped(package):
    assert (ROOT / package / "py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["classifiers"]


def test_the_source_archive_has_all_that_the_repository_has():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    entries = {f"/{line.split('/')[0]}" for line in listed.stdout.splitlines()}
    archived = set(SETTINGS["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    assert entries - archived == {f"/{name}" for name in NOT_LISTED}


def test_every_extra_that_code_or_pages_name_is_there():
    sources = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    sources += [path for folder in ("engine", "export") for path in (ROOT / folder).rglob("*.py")]
    for path in sources:
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"'\.\[([a-z,]+)\]'", text)
        named += re.findall(r"MissingExtra\(\s*[^,()]+, \"([a-z]+)\"", text)
        extras = {extra for group in named for extra in group.split(",")}
        assert extras <= set(PROJECT["optional-dependencies"]), path
        assert "tessera-engine[" not in text, f"{path}: tessera-engine is not on PyPI"


def test_citation_changelog_and_the_plugin_have_the_version():
    plugin = (ROOT / "qgis" / "tessera_qgis" / "metadata.txt").read_text(encoding="utf-8")
    assert f"version={PROJECT['version']}" in plugin.splitlines()
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == PROJECT["version"]
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the source archive: names of their files -> contents."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(source) as archive:
        in_source = {
            each.name.partition("/")[2]: archive.extractfile(each).read() for each in archive if each.isfile()
        }
    return in_wheel, in_source


def test_wheel_and_source_archive_have_the_licences_of_all_that_they_carry(built):
    in_wheel, in_source = built
    page = "tessera_engine/view/page"
    info = f"tessera_engine-{PROJECT['version']}.dist-info"
    assert in_wheel[f"{info}/licenses/LICENSE"] == in_source["LICENSE"] == (ROOT / "LICENSE").read_bytes()
    metadata = in_wheel[f"{info}/METADATA"].decode()
    bundled = re.findall(
        r"^\S+ [\d.]+ \(([\w.-]+)\)$", in_source[f"engine/{page}/licences.txt"].decode(), re.M
    )
    assert len(bundled) >= 3
    theme = in_source["docs/vendored/theme.licences.txt"].decode()
    bundled += re.findall(r"^[^\n(]+ \(([\w.-]+)\)$\n\n", theme, re.M)
    declared = set(re.search(r"^License-Expression: (.+)$", metadata, re.M)[1].split(" AND "))
    assert declared == {"MIT", *bundled}
    # Exported pages get them from there
    assert in_wheel[f"{page}/licences.txt"] == in_source[f"engine/{page}/licences.txt"]
    vendored = {name for name in in_source if name.startswith("docs/vendored/") and name.endswith(".js")}
    assert vendored
    for name in vendored:
        assert b"Permission is hereby granted" in in_source[name.replace(".js", ".licence.txt")]


def test_the_models_in_the_wheel_say_their_licence(built):
    import onnx

    models = [name for name in built[0] if name.endswith(".onnx")]
    assert len(models) == 2
    for name in models:
        facts = {each.key: each.value for each in onnx.load_from_string(built[0][name]).metadata_props}
        assert "MIT" in json.dumps(facts)
        assert f"{name}.sha256" in built[0]


def test_no_minified_code_of_others_is_carried_elsewhere(built):
    """What a bundler wrote has lines of thousands of characters."""
    page, pages = "tessera_engine/view/page", "tessera_engine/documentation"
    for name, content in {**built[0], **built[1]}.items():
        if name.endswith((".js", ".css", ".mjs")) and max(map(len, content.split(b"\n")), default=0) > 5000:
            # In the wheel also the pages of the documentation, with the licences of their theme
            place = next(each for each in (page, pages, "") if name.removeprefix("engine/").startswith(each))
            assert place in (page, pages), name
            assert place == page or f"{pages}/vendored/theme.licences.txt" in built[0]


def test_only_clean_removes_what_other_targets_made():
    recipes = re.findall(r"^(\w+):.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    removing = {name for name, lines in recipes if re.search(r"\brm -rf (.* )?dist( |$)", lines, re.M)}
    assert removing == {"clean"}
