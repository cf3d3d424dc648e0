"""How progress is shown: speed counts only this run, and a log gets few lines."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from tessera_engine import progress
from tessera_engine.progress import Pace, shown


def test_speed_counts_only_what_this_run_did():
    times = iter([100.0, 110.0, 120.0])
    pace = Pace("px", lambda: next(times))
    assert pace.report(9_000, 10_000) == ("", "")
    assert pace.report(9_100, 10_000) == ("10 px/s", "0:01:30 left")
    assert pace.report(9_900, 10_000) == ("45 px/s", "0:00:02 left")


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now.seconds)
    return now


def test_a_log_gets_a_line_each_half_minute(clock, capsys, monkeypatch):
    monkeypatch.setattr(Pace.__init__, "__defaults__", (lambda: clock.seconds,))
    with shown(True, "embedding", "px") as update:
        for done in range(0, 1001, 100):
            update(done, 1000)
            clock.seconds += 12.5
    assert capsys.readouterr().err.splitlines() == [
        "embedding: 300 of 1,000 px, 8 px/s, 0:01:28 left",
        "embedding: 600 of 1,000 px, 8 px/s, 0:00:50 left",
        "embedding: 900 of 1,000 px, 8 px/s, 0:00:12 left",
    ]


def test_a_notebook_gets_one_line_that_changes(clock, capsys, monkeypatch):
    shell = SimpleNamespace(kernel=None)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    with shown(None, "embedding", "px") as update:
        for done in (0, 50, 100):
            clock.seconds += 1
            update(done, 100)
    text = capsys.readouterr().err
    assert text.count("\r") == 3
    assert text.endswith("\n")
    assert "embedding: 100 of 100 px" in text


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "150")
    with shown(None, "embedding", "px") as update:
        update(50, 100)
        update(100, 100)
    assert "100/100 px" in capsys.readouterr().err


def test_nothing_is_shown_without_a_terminal_unless_asked_for(capsys):
    with shown(None, "embedding", "px") as update:
        update(100, 100)
    with shown(False, "embedding", "px") as update:
        update(100, 100)
    assert capsys.readouterr().err == ""


def test_a_function_is_called_itself():
    told = []
    with shown(lambda *numbers: told.append(numbers), "embedding", "px") as update:
        update(1, 2)
    assert told == [(1, 2)]
