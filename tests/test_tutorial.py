"""The tutorial, typed from its first line to its last."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest
from places import FLANDERS, ROOT

PAGE = ROOT / "docs" / "tutorial.md"


def steps():
    """Lines typed at a prompt, and blocks of Python, in their order."""
    for language, block in re.findall(
        r"^```(python)?\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        if language:
            yield [sys.executable, "-c", block]
        for line in () if language else block.splitlines():
            if line.startswith("$ "):
                yield shlex.split(line.removeprefix("$ "))


@pytest.mark.slow
def test_everything_that_the_tutorial_types_works(tmp_path):
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, map(ROOT.joinpath, ("engine", "export", "kernels"))))
    }
    if FLANDERS.is_dir():
        (tmp_path / "flanders-2018").symlink_to(FLANDERS)
    ran = 0
    for words in steps():
        if words[0] == "head" or ("flanders" in " ".join(words) and not FLANDERS.is_dir()):
            continue
        words = {"tessera-engine": [sys.executable, "-m", "tessera_engine"], "python": [sys.executable]}.get(
            words[0], words[:1]
        ) + words[1:]
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        ran += 1
    assert ran >= 8
    row = r"^\| (maize|potato|winter wheat) \| ([\d.]+) \| ([\d.]+) "
    shown = re.findall(row, PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    report = (tmp_path / "farm.area" / "report.md").read_text(encoding="utf-8")
    areas = reversed(re.findall(row, report, re.MULTILINE))  # of several tables, the first has them
    found = {name: (float(mapped), float(area)) for name, mapped, area in areas}
    for name, mapped, area in shown:
        assert found[name] == pytest.approx((float(mapped), float(area)), abs=0.06), name
    assert len(shown) == 3
