"""What all commands have in common: help, version, completion, and how fast they start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest
from command_tree import COMMANDS
from typer.main import get_command

from tessera_engine.cli import app
from tessera_engine.cli.wording import argument_in_usage, arguments_of


def start(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        check=False,
    )


@pytest.mark.parametrize("words", [[], ["model"]])
def test_no_summary_is_cut_off_in_80_columns(words):
    out = start("-m", "tessera_engine", *words, "--help", COLUMNS="80").stdout
    listed = out.split("Commands:\n")[1].splitlines()
    assert len(listed) > 2
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []
    assert max(map(len, out.splitlines())) <= 80


def test_every_help_is_words_only(run):
    """No markup, no names of Python, and each sentence of an option ends."""
    for path, command in COMMANDS:
        code, out, _ = run(*path, "--help")
        assert code == 0
        assert "[/" not in out
        assert "_version" not in out
        assert "list[" not in out
        usage = " ".join(out.partition("\n\n")[0].split())
        if not hasattr(command, "commands"):  # arguments are named as in messages
            arguments = [*map(argument_in_usage, arguments_of(command))]
            assert usage == " ".join(["Usage: tessera-engine", *path, "[OPTIONS]", *arguments])
            assert [word for word in arguments if f"  {word}  " not in out] == []
    root = get_command(app)
    options = [(name, param) for name, command in root.commands.items() for param in command.params]
    assert [(name, param.name) for name, param in options if not param.help.endswith(".")] == []


def test_the_version_has_a_short_option(run):
    expected = f"tessera-engine {version('tessera-engine')}\n"
    assert run("-V")[1] == run("--version")[1] == expected


def test_the_shell_can_complete(run):
    code, out, _ = run("--help")
    assert code == 0
    assert "--install-completion" in out.split("Options:")[0]
    done = start(
        "-m", "tessera_engine",
        _TESSERA_ENGINE_COMPLETE="complete_bash", COMP_WORDS="tessera-engine dis", COMP_CWORD="1",
    )  # fmt: skip
    assert done.stdout.split() == ["distil"]


def test_help_starts_little_later_than_python():
    """In seconds of CPU, so that a busy machine does not count."""

    def fastest(*arguments):
        seconds = []
        for _ in range(4):  # the first one makes bytecode
            before = os.times()
            assert start(*arguments).returncode == 0
            after = os.times()
            seconds.append(sum(after[2:4]) - sum(before[2:4]))
        return min(seconds)

    assert fastest("-m", "tessera_engine", "--help") - fastest("-c", "pass") < 0.3


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from tessera_engine.cli import app\n"
        "sys.exit(' '.join({'numpy', 'numba', 'onnxruntime', 'rasterio', 'rich', 'torch'} & set(sys.modules)))"
    )
    assert start("-c", code).stderr.strip() == ""


def test_a_notice_of_the_kernels_is_one_line(run, monkeypatch, tmp_path):
    from numba import config

    from tessera_kernels import places

    (tmp_path / "taken\x1b[2J").write_text("")
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "taken\x1b[2J"))
    for _ in range(2):
        places.kernels_folder.cache_clear()
        code, out, err = run("doctor")
        assert code == 0
        assert "not kept" in out
        (line,) = err.splitlines()
        assert line.startswith("warning: ")
        assert line.isprintable()
        assert "NUMBA_CACHE_DIR" in line
    places.kernels_folder.cache_clear()


def test_a_closed_window_and_ctrl_break_count_as_ctrl_c():
    """Windows raises SIGBREAK, which is 21 there, for both."""
    from tessera_engine.cli.signals import SIGNALS, exit_code_of

    assert [exit_code_of(number) for number in (signal.SIGINT, signal.SIGTERM, 21)] == [130, 143, 130]
    windows = "import signal; signal.SIGBREAK = 21; from tessera_engine.cli.signals import SIGNALS; print(*map(int, SIGNALS))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", windows], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "15", "21"]
    assert set(SIGNALS) >= {signal.SIGINT, signal.SIGTERM}
