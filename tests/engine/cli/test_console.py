"""What is printed: values reach the terminal as they are, but for what a terminal would obey."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import subprocess
import sys
import warnings

import pytest
from places import ROOT
from typer.main import get_command

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


class Console(io.TextIOWrapper):
    """A terminal that has few characters, like those of Windows in many countries."""

    def __init__(self, encoding):
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)

    def isatty(self):
        return True

    def text(self):
        return self.buffer.getvalue().decode(self.encoding)


def every_command(command, path=()):
    yield path
    for name, each in getattr(command, "commands", {}).items():
        yield from every_command(each, (*path, name))


FEW_CHARACTERS = pytest.mark.parametrize("encoding", ["ascii", "cp1252"])


def consoles(monkeypatch, encoding):
    """Take the place of stdout and stderr; only the test itself can, pytest changes them after its fixtures."""
    out, err = Console(encoding), Console(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    return out, err


@FEW_CHARACTERS
def test_every_help_fits_a_console_of_few_characters(monkeypatch, encoding):
    from tessera_engine import cli

    out, err = consoles(monkeypatch, encoding)
    shown_ = 0
    for path in every_command(get_command(cli.app)):
        monkeypatch.setattr(sys, "argv", ["tessera-engine", *path, "--help"])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        text = out.text()
        assert len(text) > shown_, path
        shown_ = len(text)
    assert "\\u" not in text
    assert err.text() == ""


@FEW_CHARACTERS
def test_tables_bars_and_messages_fit_a_console_of_few_characters(monkeypatch, encoding):
    """What it doesn't have is spelled out; nothing fails, and nothing else is lost."""
    from tessera_engine import cli

    out, err = consoles(monkeypatch, encoding)
    monkeypatch.setattr(sys, "argv", ["tessera-engine", "--version"])
    with pytest.raises(SystemExit):
        cli.main()
    print_table([("ፈላሻ", 0.5)], ("name", "ä"))
    say("can't read 农田/ä")
    with shown(True, "embedding ፈላሻ", "px") as report:
        report(1, 2)
        report(2, 2)
    assert r"\u1348\u120b\u123b" in out.text()
    assert "0.5" in out.text()
    assert "can't read " in err.text()
    assert "2/2 px" in err.text()
