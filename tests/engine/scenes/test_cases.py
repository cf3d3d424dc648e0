"""The cases of ../shared/cases/scenes, each made by its own script: what is read, against the scene without the fault.

A case is a line of `CASES`: a folder's name, and what is right there. The quick ones run by default, all with `-m slow`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from places import ROOT, SHARED

from tessera_engine import open_scene
from tessera_engine.errors import InputError
from tessera_engine.guard import examine
from tessera_engine.model.installed import open_model

SCENES = SHARED / "cases" / "scenes"
pytestmark = pytest.mark.skipif(not SCENES.exists(), reason="needs ../shared/cases")


@dataclass(frozen=True)
class Case:
    """What is right for a case.

    Attributes:
        equal: every date is read as in the scene without the fault (`like`); False: the dates that are read are.
        dates: number of dates of Sentinel-2.
        unused: part of a reason -> number of files that are named with it.
        certain: names of the findings that must be certain; None: don't look.
        refused: a part of the error, where the scene is refused as a whole.
        quick: whether it runs by default.
        like: the case without the fault; empty where the values differ, because the fault is in them.
        crs: of the grid, where it isn't that of the case without the fault.
    """

    equal: bool = True
    dates: int = 40
    unused: dict[str, int] | None = None
    certain: frozenset[str] | None = None
    refused: str | None = None
    quick: bool = False
    like: str = "control"
    crs: str | None = None


CASES = {
    "control": Case(quick=True),
    "cdse-stac": Case(),
    "empty-safe-dirs": Case(
        equal=False, dates=10, unused={"empty folder": 10, "unfinished download": 20}, quick=True
    ),
    "l1c-by-mistake": Case(equal=False, dates=20, unused={"Level-1C": 20}),
    "partial-granule": Case(like="", certain=frozenset()),
    "boa-flag-wrong": Case(like="", certain=frozenset({"s2-offset-twice"})),
    "eopf-zarr": Case(),
    "cube-band-dim": Case(like="cube-plain"),
    "cube-bool-mask": Case(like="cube-plain"),
    "cube-duplicate-bands": Case(like="cube-plain"),
    "cube-gee-names": Case(like="cube-plain"),
    "cube-int64": Case(like="cube-plain"),
    "cube-missing-date-units": Case(like="cube-plain"),
    "cube-nc4-suffix": Case(like="cube-plain"),
    "cube-no-axis-attributes": Case(like="cube-plain"),
    "cube-no-grid-mapping": Case(like="cube-plain"),
    "cube-plain": Case(like=""),
    "cube-unharmonised": Case(like="", certain=frozenset({"reader", "s2-offset"})),
    "cube-units-loose": Case(like="cube-plain"),
    "cube-webmercator": Case(like="", crs="EPSG:32631"),
    "cube-xee-order": Case(like="cube-plain"),
    "safe-merged-folder": Case(
        equal=False, dates=1, unused={"keep each product in its own .SAFE folder": 39}
    ),
    "safe-same-baseline-twice": Case(unused={"is an older processing": 40}),
    "stac-absolute-href-here": Case(),
    "stac-reprocessed-pc": Case(unused={"baseline 02.14, used is 05.00": 40}),
    "zip-backslash": Case(),
    "zip-macosx": Case(),
    "zip-named-safe": Case(quick=True),
}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Make a case by its own script, once; returns the scene folder."""
    base, made = tmp_path_factory.mktemp("cases"), {}
    environment = {
        **os.environ,
        "CASES_BASE": str(base / "simulated"),
        "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("engine", "export", "kernels")),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "tessera_engine", "simulate", base / "simulated", "--size", "32", "--seed", "7", "-q"]  # fmt: skip
    subprocess.run(command, check=True, env=environment)

    def call(name):
        if name not in made:
            made[name] = base / name / "in"
            script = SCENES / name / "make.py"
            subprocess.run(
                [sys.executable, script], check=True, env={**environment, "CASE_OUT": str(made[name])}
            )
        return made[name]

    return call


def test_every_case_has_its_line():
    assert {path.parent.name for path in SCENES.glob("*/make.py")} == CASES.keys()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if case.quick else pytest.mark.slow) for name, case in CASES.items()]
)
def test_case(make, name):
    case = CASES[name]
    folder = make(name)
    if case.refused is not None:
        with pytest.raises(InputError, match=case.refused):
            open_scene(folder)
        return
    scene = open_scene(folder)
    assert len(scene.reader.dates.s2) == case.dates
    for part, count in (case.unused or {}).items():
        assert sum(part in problem.reason for problem in scene.reader.unused) == count
    assert len(scene.reader.unused) == sum((case.unused or {}).values())
    assert set(Counter(problem.source for problem in scene.reader.unused).values()) <= {1}
    if case.certain is not None:
        found = examine(scene, open_model("demo").facts)
        assert {finding.name for finding in found if finding.sure == "certain"} == case.certain
    if case.crs is not None:
        assert (scene.grid.crs, scene.grid.transform.a) == (case.crs, 10)
    if case.like:
        assert_like(scene, open_scene(make(case.like)), whole=case.equal)


def assert_like(scene, control, whole):
    """Equal observations where a date is clear; of the control, only the dates that the scene has."""
    found, wanted = (each.reader.read(each.grid.window) for each in (scene, control))
    assert scene.grid == control.grid
    if whole:
        np.testing.assert_array_equal(found.s2_doy, wanted.s2_doy)
    at = [int(np.flatnonzero(wanted.s2_doy == doy)[0]) for doy in found.s2_doy]
    np.testing.assert_array_equal(found.s2_valid != 0, wanted.s2_valid[at] != 0)
    np.testing.assert_array_equal(found.s2[found.s2_valid != 0], wanted.s2[at][found.s2_valid != 0])
    for orbit in ("s1_ascending", "s1_descending"):
        np.testing.assert_array_equal(getattr(found, orbit), getattr(wanted, orbit))
