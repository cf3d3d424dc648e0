"""The program as a child process of QGIS: its lines arrive as they come, and it ends when the user cancels."""

from __future__ import annotations

import os
import sys
import time

import pytest

from tessera_qgis import child

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


def run(code, tmp_path, heard=lambda line: None, cancelled=lambda: False):
    return child.run([sys.executable, "-c", code], tmp_path, os.environ, heard, cancelled)


def test_lines_and_output_are_read(tmp_path):
    code = "import sys, os; print('é\\n' * 100_000); sys.stderr.write('a\\nß\\n' * 50_000); print(os.getcwd()); sys.exit(3)"
    heard = []
    ended = run(
        f"# -*- coding: utf-8 -*-\nimport sys; sys.stdout.reconfigure(encoding='utf-8')\n{code}",
        tmp_path,
        heard.append,
    )
    assert (ended.code, ended.cancelled) == (3, False)
    assert heard == ["a\n", "ß\n"] * 50_000
    assert ended.output.splitlines()[-1] == str(tmp_path)


WAITS = """
import signal, sys, time
def stop(number, frame):
    print("kept", flush=True)
    sys.stderr.write("interrupted: resumes\\n")
    sys.exit(130)
signal.signal(signal.SIGINT, {handler})
sys.stderr.write("started\\n"); sys.stderr.flush()
time.sleep(60)
"""


def test_a_cancelled_program_ends_as_by_ctrl_c(tmp_path):
    heard = []
    ended = run(WAITS.format(handler="stop"), tmp_path, heard.append, lambda: bool(heard))
    assert (ended.code, ended.cancelled, ended.output) == (130, True, "kept\n")
    assert heard == ["started\n", "interrupted: resumes\n"]


def test_a_program_that_does_not_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(child, "PATIENCE", 0.3)
    heard = []
    begun = time.monotonic()
    ended = run(WAITS.format(handler="signal.SIG_IGN"), tmp_path, heard.append, lambda: bool(heard))
    assert (ended.code, ended.cancelled) == (-9, True)
    assert time.monotonic() - begun < 30


def test_no_child_is_left_when_its_caller_fails(tmp_path):
    def fail(line):
        raise ValueError(line)

    (tmp_path / "mark.py").write_text(WAITS.format(handler="stop") + "\nopen('ended', 'w')")
    begun = time.monotonic()
    with pytest.raises(ValueError, match="started"):
        child.run([sys.executable, "mark.py"], tmp_path, os.environ, fail, lambda: False)
    assert time.monotonic() - begun < 30
    assert not (tmp_path / "ended").exists()


def test_a_program_that_is_none_is_an_error(tmp_path):
    with pytest.raises(OSError, match="nothing-here"):
        child.run([str(tmp_path / "nothing-here")], tmp_path, os.environ, print, lambda: False)
