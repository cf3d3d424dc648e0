"""The plugin of QGIS, where it knows nothing of QGIS: command lines, what the program says, where files are."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest
from places import ROOT

from tessera_qgis.lines import ERROR, NOTE, WARNING, Message, Progress, failure, in_dialog, read_line
from tessera_qgis.program import clean_environment, find_program
from tessera_qgis.sources import file_of, is_whole_file, output_folder
from tessera_qgis.words import command_line, shown

PLUGIN = ROOT / "qgis" / "tessera_qgis"


def test_options_become_words():
    words = command_line(
        "embed",
        [Path("/a b/scène")],
        {
            "--int8": True,
            "--strict": False,
            "--year": None,
            "--season": "",
            "--seed": 0,
            "--bbox": (-4.5, 50.0, 4, 51),
            "--at": [(4.5, -3.0), (1.0, 2.0)],
            "--field": "-odd",
        },
    )
    assert words == [
        "embed", "/a b/scène", "--int8", "--seed=0", "--bbox", "-4.5", "50.0", "4", "51",
        "--at", "4.5", "-3.0", "--at", "1.0", "2.0", "--field=-odd", "--json",
    ]  # fmt: skip


def test_a_shown_line_can_be_typed():
    assert shown(["a", "b c", ""]) == 'a "b c" ""'


ALGORITHMS = [path for path in (PLUGIN / "algorithms").glob("*.py") if path.name != "__init__.py"]


@pytest.mark.parametrize("path", ALGORITHMS, ids=lambda path: path.stem)
def test_every_option_of_an_algorithm_is_one_of_its_command(path):
    from typer.main import get_command

    from tessera_engine.cli import app

    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    (command,) = [
        node.value.value
        for node in nodes
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "COMMAND"
    ]
    used = {
        node.value for node in nodes if isinstance(node, ast.Constant) and str(node.value).startswith("--")
    }
    known = {name for parameter in get_command(app).commands[command].params for name in parameter.opts}
    assert used
    assert used <= known


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"event": "progress", "done": 1, "total": 4}', Progress(25.0)),
        ('{"event": "progress", "done": 9, "total": 4}\n', Progress(100.0)),
        ('{"event": "progress", "done": 0, "total": 0}', Progress(100.0)),
        ('{"event": "cell", "cell": [0, 0, 1, 1]}', None),
        ('{"event": "progress"}', Message(NOTE, '{"event": "progress"}')),
        ("{not JSON", Message(NOTE, "{not JSON")),
        ("warning: cloudy", Message(WARNING, "cloudy")),
        ("error: no such file: x", Message(ERROR, "no such file: x")),
        ("Error: No such option: --x", Message(ERROR, "No such option: --x")),
        ("interrupted: give it again\r\n", Message(NOTE, "interrupted: give it again")),
        ("  \n", None),
    ],
)
def test_lines_are_told_apart(line, expected):
    assert read_line(line) == expected


def test_options_become_titles_of_the_dialog():
    titles = {"OVERWRITE": "Replace an earlier result", "MIN_CLEAR": "Dates: fewest"}
    text = "out exists; give --overwrite, --min-clear 3 or --other, not a--overwrite (--overwrite)"
    assert in_dialog(text, titles) == (
        "out exists; give 'Replace an earlier result', 'Dates' 3 or --other, not a--overwrite "
        "('Replace an earlier result')"
    )


def test_a_failure_is_the_programs_own_line():
    said = [Message(NOTE, "reading"), Message(ERROR, "first"), Message(ERROR, "last"), Message(NOTE, "bye")]
    assert failure(1, said) == "last"
    assert "signal 9" in failure(-9, said[:1])
    assert failure(3, said[:1]).endswith("3: reading")


@pytest.mark.parametrize("inside", ["bin/tessera-engine", "Scripts/tessera-engine.exe"])
def test_the_program_is_found_by_its_environment(tmp_path, inside):
    program = tmp_path / "my home" / "tessera-engine-env" / inside
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_program("", str(tmp_path / "nowhere"), tmp_path / "my home") == program
    assert find_program(str(program), "", tmp_path) == program
    assert find_program(str(program.parents[1]), "", tmp_path) == program
    # What was set isn't replaced by another one
    assert find_program(str(tmp_path / "gone"), str(program.parent), tmp_path / "my home") is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows asks for an ending")
def test_the_program_on_the_path_comes_first(tmp_path):
    for folder in (tmp_path / "on path", tmp_path / "home/tessera-engine-env/bin"):
        folder.mkdir(parents=True)
        (folder / "tessera-engine").write_text("#!/bin/sh\n")
        (folder / "tessera-engine").chmod(0o755)
    found = find_program("", str(tmp_path / "on path"), tmp_path / "home")
    assert found == tmp_path / "on path/tessera-engine"


def test_what_qgis_sets_for_itself_is_not_passed_on():
    given = {"PYTHONHOME": "/qgis", "GDAL_DATA": "/qgis", "PROJ_LIB": "/qgis", "PATH": "/bin", "HOME": "/me"}
    assert clean_environment(given) == {"PATH": "/bin", "HOME": "/me", "PYTHONIOENCODING": "utf-8"}


def test_the_output_of_a_layer_is_found(tmp_path):
    out = tmp_path / "scène a.embeddings"
    (out / "part").mkdir(parents=True)
    (out / "item.json").write_text("{}")
    for name in ("embeddings.tif", "part/map.tif"):
        (out / name).write_text("")
        assert output_folder(out / name) == out
    assert output_folder(tmp_path / "other.tif") is None
    file = out / "embeddings.tif"
    assert file_of(str(file)) == file
    odd = tmp_path / "a|b.tif"
    odd.write_text("")
    assert file_of(str(odd)) == odd
    assert file_of(f"{file}|option:NUM_THREADS=2") == file
    assert file_of(file.as_uri()) == file
    for source in (
        "/vsizip/a.zip/b.tif",
        "NETCDF:a.nc:b",
        f"GPKG:{file}:layer",
        "https://host/a.tif",
        str(out),
    ):
        assert file_of(source) is None, source


@pytest.mark.parametrize(
    ("source", "alone", "whole"),
    [
        ("/a/b.gpkg", False, True),
        ("/a/b.gpkg", True, True),
        ("/a/b.gpkg|layername=c", False, True),
        ("/a/b.gpkg|layername=c", True, False),
        ("/a/b.gpkg|layerid=1", False, False),
        ("/a/b.geojson|geometrytype=Point", False, False),
        ('/a/b.gpkg|layername=c|subset="x" = 1', False, False),
        ("/vsizip//a/b.zip/c.shp", False, False),
    ],
)
def test_a_part_of_a_file_is_told_from_all_of_it(source, alone, whole):
    assert is_whole_file(source, alone) is whole


def test_the_plugin_is_python_3_9_and_needs_qgis_alone():
    for path in PLUGIN.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
        names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names += [
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        ]
        foreign = {name.split(".")[0] for name in names} - {"qgis", "processing", "tessera_qgis"}
        assert foreign <= sys.stdlib_module_names, path
        annotated = any(
            isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in ast.walk(tree)
        )
        assert annotated or path.parent.name == "algorithms", path


def test_progress_events_of_the_command_line_are_understood(capsys):
    from tessera_engine.cli.console import progress_for

    report = progress_for(quiet=False, json=True)
    for done in range(1001):
        report(done, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert [read_line(line) for line in lines] == [Progress(float(percent)) for percent in range(101)]
    assert all(set(json.loads(line)) == {"event", "done", "total"} for line in lines)
