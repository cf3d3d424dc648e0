"""What is printed: values reach the terminal as they are, but for what a terminal would obey."""

from __future__ import annotations

import ast
import json
import logging
import os
import subprocess
import sys
import warnings

import pytest
from places import ROOT

from tessera_engine.cli.console import (
    keep_libraries_plain,
    print_json,
    print_line,
    print_table,
    print_text,
    say,
)
from tessera_engine.errors import install_hint
from tessera_engine.progress import shown


def test_a_table_takes_no_value_for_markup_or_an_emoji(capsys):
    print_table([("file", "a[bold]b.tif"), ("name", ":warning: [/]")])
    shown = capsys.readouterr().out
    assert "a[bold]b.tif" in shown
    assert ":warning: [/]" in shown


def test_a_table_shows_the_extra_of_a_missing_package(capsys):
    # `doctor` prints such hints
    print_table([("openvino", f"missing: {install_hint('openvino')}")])
    assert "'.[openvino]'" in "".join(capsys.readouterr().out.split())


HARMFUL = "a\x1b[2J\x9b\u202e\u2028\udce9"
SHOWN = r"a\x1b[2J\x9b\u202e\u2028\udce9"


@pytest.mark.parametrize(
    "show",
    [
        print_line,
        print_text,
        say,
        lambda text: print_table([(text, 1)]),
        lambda text: print_table([("name", text)], ("name", text)),
        lambda text: print_table([("name", {text: [text, {"x": text}]})]),
        lambda text: print_table([("name", [text + " 1", text + " 2"])]),
    ],
)
def test_whatever_is_printed_is_harmless_to_a_terminal(show, capsys):
    show(HARMFUL)
    out, err = capsys.readouterr()
    assert SHOWN in out + err
    assert all(line.isprintable() for line in (out + err).splitlines())


def test_json_is_ascii_and_gives_the_text_back(capsys):
    print_json({HARMFUL: "ፈላሻ"})
    shown_ = capsys.readouterr().out
    assert all(line.isprintable() and line.isascii() for line in shown_.split("\n"))
    assert json.loads(shown_) == {HARMFUL: "ፈላሻ"}


def test_progress_names_a_scene_harmlessly(capsys, monkeypatch):
    monkeypatch.setattr("tessera_engine.progress.LINE_SECONDS", 0)
    with shown(True, f"embedding {HARMFUL}", "px") as report:
        report(1, 2)
    assert f"embedding {SHOWN}" in capsys.readouterr().err


def test_warnings_and_logs_of_libraries_are_harmless(capsys, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    keep_libraries_plain()
    assert warnings.formatwarning(HARMFUL, UserWarning, "x.py", 1) == f"warning: {SHOWN}\n"
    record = logging.LogRecord("rasterio", logging.WARNING, "", 0, "CPLE %s", (HARMFUL,), None)
    assert logging.lastResort.format(record) == f"warning: CPLE {SHOWN}"


@pytest.mark.parametrize("folder", ["engine/tessera_engine/cli", "export/tessera_export/cli"])
def test_commands_print_through_the_console_only(folder):
    for path in (ROOT / folder).rglob("*.py"):
        calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
        printing = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not printing or path.name == "console.py", path


@pytest.mark.parametrize(
    "words",
    [
        [f"a{HARMFUL}"],
        ["info", f"a{HARMFUL}"],
        ["info", f"--a{HARMFUL}"],
        ["info", "a", HARMFUL],
        ["info", "a", "--from", HARMFUL],
        ["embed", f"a{HARMFUL}"],
        ["similar", f"a{HARMFUL}", "--at", HARMFUL],
        ["convert", f"a{HARMFUL}", "--format", HARMFUL],
    ],
    ids=lambda words: ascii(words[-1])[:10],
)
def test_what_was_typed_is_quoted_harmlessly(run, words):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert all(line.isprintable() for line in err.splitlines())


ENCODINGS = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "cp1252"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize(
    "words", [["info", "农田"], ["info", "demo"], ["--help"], ["model", "list"]], ids=" ".join
)
@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda given: ",".join(given.values()))
def test_a_terminal_of_few_characters_is_enough(tmp_path, words, encoding):
    (tmp_path / "农田 x").mkdir()
    path = os.pathsep.join(str(ROOT / room) for room in ("engine", "export", "kernels"))
    done = subprocess.run(
        [sys.executable, "-m", "tessera_engine", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path} | encoding,
        capture_output=True,
    )
    assert done.returncode == (2 if words[-1] == "农田" else 0), done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout or done.stderr
