"""QGIS without a screen: its own Python, with the plugin and a profile of its own. Skipped where there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

PYTHON = "/usr/bin/python3"
"""Of the system: Debian's package python3-qgis belongs to it."""

QGIS_PROCESS = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
"""Debian's qgis_process is a script that adds an option which the program itself refuses."""


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """A program tessera-engine that runs the sources under test, in a folder with a space."""
    path = tmp_path_factory.mktemp("the program") / "tessera-engine"
    sources = os.pathsep.join(str(ROOT / folder) for folder in ("engine", "export", "kernels"))
    path.write_text(f'#!/bin/sh\nPYTHONPATH="{sources}" exec "{sys.executable}" -m tessera_engine "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def profile(tmp_path_factory, program):
    """A home with a profile of QGIS that has the plugin, and the environment to run QGIS in."""
    home = tmp_path_factory.mktemp("home")
    settings = home / ".local/share/QGIS/QGIS3/profiles/default"
    (settings / "QGIS").mkdir(parents=True)
    (settings / "python/plugins").mkdir(parents=True)
    (settings / "python/plugins/tessera_qgis").symlink_to(ROOT / "qgis" / "tessera_qgis")
    (settings / "QGIS/QGIS3.ini").write_text(
        f"[PythonPlugins]\ntessera_qgis=true\n[Processing]\nConfiguration\\TESSERA_ENGINE_PROGRAM={program}\n"
    )
    run = home / "run"
    run.mkdir(mode=0o700)
    # With a virtual environment on the PATH, QGIS would take that one's Python
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("LANG", "LC_", "NUMBA", "TESSERA"))
    }
    return {
        **kept,
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(run),
        "PATH": "/usr/bin:/bin",
        "QT_QPA_PLATFORM": "offscreen",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.fixture(scope="session")
def qgis_process(profile):
    """Run an algorithm by `qgis_process`: exit code, its values by name, all that it printed."""
    if QGIS_PROCESS is None:
        pytest.skip("needs qgis_process: apt install qgis")

    def call(algorithm, environment=profile, **values):
        words = [f"--{name}={value}" for name, value in values.items()]
        done = subprocess.run(
            [QGIS_PROCESS, "run", f"tessera_engine:{algorithm}", *words],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        results = done.stdout.partition("Results\n")[2]
        found = dict(line.split(":\t", 1) for line in results.splitlines() if ":\t" in line)
        return done.returncode, found, done.stdout + done.stderr

    return call


@pytest.fixture(scope="session")
def in_qgis(profile, program):
    """Run a function of `in_qgis.py` in QGIS; gives what it returns."""
    test = [PYTHON, "-c", "import qgis.core"]
    if (
        shutil.which(PYTHON) is None
        or subprocess.run(test, env=profile, capture_output=True, check=False).returncode
    ):
        pytest.skip("needs python3-qgis: apt install qgis python3-qgis")

    def call(name, *arguments):
        script = Path(__file__).with_name("in_qgis.py")
        done = subprocess.run(
            [PYTHON, str(script), str(ROOT / "qgis"), str(program), name, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=profile,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.strip().splitlines()[-1])

    return call
