"""A short soak: a command of each way to write is killed at its steps, the disk fails, and stores are read meanwhile.

The long one is `make soak`. It runs in a process of its own, which forks and has a library preloaded.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from places import ROOT
from soak.cases import SHORT, WRITES_NOTHING, cases
from typer.main import get_command

from tessera_engine.formats.registry import FORMATS


def commands(command, path=()):
    """Names of all commands, with those of groups."""
    for name, each in command.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, (*path, name))
        else:
            yield " ".join([*path, name])


def test_every_command_that_writes_is_interrupted():
    from tessera_engine.cli import app

    tried = {case.command for case in cases()}
    assert tried | WRITES_NOTHING == set(commands(get_command(app)))
    assert not tried & WRITES_NOTHING
    assert {case.name for case in cases()} >= set(SHORT.values())


def test_every_format_is_written_anew_replaced_and_added_to():
    for command in ("embed", "convert"):
        ways = {(case.format, how) for case in cases() if case.command == command
                for how in ("overwrite", "append", "") if f"--{how}" in case.words or not (how or case.old)}  # fmt: skip
        assert ways >= {(name, how) for name in FORMATS for how in ("", "overwrite")}
        assert ways >= {(name, "append") for name, each in FORMATS.items() if each.appendable}


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and preloads a library")
def test_a_short_soak_finds_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "tests" / "soak" / "run.py"), "--short"],
        env=os.environ | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills: 20," in done.stdout
    assert "publishing a folder for an old one" in done.stdout
