"""What the package promises about itself: types are shipped, the source archive is whole, extras and hints agree."""

from __future__ import annotations

import re
import subprocess

import pytest
from places import ROOT

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
PACKAGES = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

NOT_LISTED = {".github", ".gitignore", "pyproject.toml"}
"""Of the repository's root: its host and git use the first two, and hatchling adds the third by itself."""


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


def test_citation_and_changelog_have_the_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == PROJECT["version"]
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
