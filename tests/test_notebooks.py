"""Notebooks run, and what is kept in them is what they show."""

from __future__ import annotations

import copy
import importlib.util
import os

import pytest
from places import ROOT

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("rioxarray")

SPEC = importlib.util.spec_from_file_location("run_notebooks", ROOT / "docs" / "run_notebooks.py")
run_notebooks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(run_notebooks)


@pytest.mark.parametrize(
    "name",
    ["embeddings", pytest.param("areas", marks=pytest.mark.slow)],  # the light one is enough every time
)
def test_it_shows_what_is_kept(name, monkeypatch):
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("engine", "export", "kernels"))
    monkeypatch.setenv("PYTHONPATH", paths)
    monkeypatch.setenv("PATH", os.environ["PATH"])
    path = run_notebooks.FOLDER / f"{name}.ipynb"
    kept = nbformat.read(path, as_version=4)
    found = list(run_notebooks.differences(kept, run_notebooks.execute(path)))
    assert found == [], "what is kept is old: run 'make notebooks', and look at the difference"


def test_all_notebooks_are_run():
    assert {path.stem for path in run_notebooks.FOLDER.iterdir()} == {"embeddings", "areas"}


def change_text(cell):
    output = next(each for each in cell.outputs if "text/plain" in each.get("data", {}))
    output.data["text/plain"] = output.data["text/plain"].replace("dimensions", "bands")


def change_number(cell):
    output = next(each for each in cell.outputs if "text/plain" in each.get("data", {}))
    output.data["text/plain"] = output.data["text/plain"].replace("48", "64")


def drop_output(cell):
    cell.outputs.pop()


@pytest.mark.parametrize("change", [change_text, change_number, drop_output])
def test_a_difference_is_found(change):
    kept = nbformat.read(run_notebooks.FOLDER / "embeddings.ipynb", as_version=4)
    other = copy.deepcopy(kept)
    (cell,) = (each for each in other.cells if each.source.endswith("found"))
    change(cell)
    assert len(list(run_notebooks.differences(kept, other))) == 1


def test_another_picture_is_found():
    kept = nbformat.read(run_notebooks.FOLDER / "embeddings.ipynb", as_version=4)
    other = copy.deepcopy(kept)
    pictures = [
        each.data
        for cell in other.cells
        for each in cell.get("outputs", ())
        if "image/png" in each.get("data", {})
    ]
    pictures[0]["image/png"] = pictures[1]["image/png"]
    assert len(list(run_notebooks.differences(kept, other))) == 1
