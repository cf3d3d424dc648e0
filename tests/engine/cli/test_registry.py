"""A command is added by one module and one line, or by one module and one entry point of another package."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from places import ROOT

COMMAND = '''
from tessera_engine.cli.app import app

@app.command()
def greet(name: str) -> None:
    """Greet somebody."""
    print(f"hello {name}")
'''


def start(folder, *arguments, code=None):
    """Start the command line, or other code, in a process that finds the modules of a folder."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    what = ["-c", code] if code else ["-m", "tessera_engine"]
    return subprocess.run(
        [sys.executable, *what, *arguments], capture_output=True, text=True, env=environment, check=False
    )


@pytest.fixture
def package(tmp_path):
    """An installed package with an entry point."""

    def install(value):
        info = tmp_path / "added-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[tessera_engine.commands]\nadded = {value}\n")
        return tmp_path

    return install


def test_another_package_adds_a_command_by_an_entry_point(package):
    folder = package("added_command")
    (folder / "added_command.py").write_text(COMMAND)
    assert "Greet somebody." in start(folder, "--help").stdout
    assert start(folder, "greet", "you").stdout == "hello you\n"
    assert start(folder, "greet").returncode == 2


def test_a_command_of_the_engine_is_a_module_and_a_line(tmp_path):
    """In a copy of the command line, so that the line can be written."""
    copied = tmp_path / "tessera_engine" / "cli"
    copied.mkdir(parents=True)
    for path in (ROOT / "engine/tessera_engine/cli").glob("*.py"):
        (copied / path.name).write_bytes(path.read_bytes())
    (copied / "greet.py").write_text(COMMAND)
    registry = copied / "registry.py"
    registry.write_text(registry.read_text().replace('    "embed",\n', '    "embed",\n    "greet",\n', 1))
    code = (
        "import tessera_engine, sys\n"
        f"tessera_engine.__path__.insert(0, {str(copied.parent)!r})\n"
        "from tessera_engine.cli import main\n"
        "main()\n"
    )
    assert start(tmp_path, "greet", "you", code=code).stdout == "hello you\n"
    listed = start(tmp_path, "--help", code=code).stdout
    assert listed.index("  embed ") < listed.index("  greet ") < listed.index("  bench ")


def test_a_package_that_can_not_be_imported_is_a_warning(package):
    done = start(package("added_nowhere"), "--help")
    assert done.returncode == 0
    assert "embed" in done.stdout
    assert "'added'" in done.stderr
    assert "added_nowhere" in done.stderr


NO_ENTRY_POINTS = """
import importlib.metadata
from importlib.metadata import entry_points
importlib.metadata.entry_points = lambda **which: (
    () if which.get("group", "").startswith("tessera_engine.") else entry_points(**which)
)
from tessera_engine.cli import main
main()
"""


def test_without_the_export_package_its_commands_are_missing_and_the_others_work(tmp_path):
    listed = start(tmp_path, "--help", code=NO_ENTRY_POINTS).stdout
    assert "embed" in listed
    assert "train" not in listed
    assert start(tmp_path, "model", "list", code=NO_ENTRY_POINTS).returncode == 0
    refused = start(
        tmp_path,
        "verify",
        "demo",
        "--precision",
        "int8",
        "--reference",
        "x.pt",
        "--backend",
        "onnxruntime",
        code=NO_ENTRY_POINTS,
    )
    assert refused.returncode == 2
    assert "'torch'" in refused.stderr


def test_every_command_of_the_export_package_is_registered(tmp_path):
    listed = start(tmp_path, "--help").stdout
    assert all(f"  {name} " in listed for name in ("export", "train", "distil"))
    assert all(
        f"  {name} " in start(tmp_path, "model", "--help").stdout for name in ("list", "import", "fetch")
    )


def test_the_engine_and_the_kernels_never_name_the_export_package():
    named = [
        str(path)
        for package in ("engine", "kernels")
        for path in (ROOT / package).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "tessera_export" in line
    ]
    assert named == []
