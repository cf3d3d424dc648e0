"""Publishing that is killed after any of its steps: the same command or who looks there finishes or undoes it."""

from __future__ import annotations

import signal
import sys

import pytest
from killing import bare, lives, make, pair, part, replace
from results_there import MODES, content, names

from tessera_engine.errors import InputError
from tessera_engine.files.partial import finish_or_undo


@pytest.fixture(scope="module")
def live():
    """Publish in a process of its own that gets a signal after a step; gives the steps that it took."""
    with lives() as started:
        yield started


@MODES
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
@pytest.mark.skipif(sys.platform != "linux", reason="forks and sends signals")
def test_a_signal_after_any_step_leaves_the_old_or_the_new(live, tmp_path, number, exchange):
    folder = tmp_path / "whole"
    make(folder / "out", "old")
    steps = live(replace, folder / "out", number, 0, exchange)
    assert steps > 10
    found = set()
    for step in range(1, steps + 1):
        folder = tmp_path / f"step{step}"
        make(folder / "out", "old")
        live(replace, folder / "out", number, step, exchange)
        if exchange:
            assert (folder / "out").exists()
        found.add(content(folder / "out"))
        make(folder / "out", "next", overwrite=True)
        assert (names(folder), content(folder / "out")) == (["out"], "next")
    assert found == {"old", "new"}


@MODES
@pytest.mark.parametrize("looked_at", [False, True])
@pytest.mark.skipif(sys.platform != "linux", reason="forks and sends signals")
def test_the_same_command_finishes_after_a_kill_at_any_step(live, tmp_path, exchange, looked_at):
    """Until its last step, after which nothing shows that it had not ended: then the result exists."""
    folder = tmp_path / "whole"
    folder.mkdir()
    steps = live(make, folder / "out", signal.SIGKILL, 0, exchange)
    refused = []
    for step in range(1, steps + 1):
        folder = tmp_path / f"step{step}"
        folder.mkdir()
        live(make, folder / "out", signal.SIGKILL, step, exchange)
        left = names(folder)
        if looked_at:
            finish_or_undo(folder / "out")
        try:
            make(folder / "out")
        except InputError:
            refused.append(step)
            assert left == ["out"]
        assert (names(folder), content(folder / "out")) == (["out"], "new")
    assert refused == [steps]


@MODES
@pytest.mark.skipif(sys.platform != "linux", reason="forks and sends signals")
def test_whoever_looks_removes_what_a_kill_left_of_a_part(live, tmp_path, exchange):
    folder = tmp_path / "whole"
    folder.mkdir()
    steps = live(part, folder / "out", signal.SIGKILL, 0, exchange)
    for step in range(1, steps + 1):
        folder = tmp_path / f"step{step}"
        folder.mkdir()
        assert live(part, folder / "out", signal.SIGKILL, step, exchange) == 0
        finish_or_undo(folder / "out")
        part(folder / "out")
        assert (names(folder), (folder / "out").read_text()) == (["out"], "new")


@pytest.mark.skipif(sys.platform != "linux", reason="forks and sends signals")
def test_the_same_command_finishes_a_pair_of_results_after_a_kill_at_any_step(live, tmp_path):
    folder = tmp_path / "whole"
    folder.mkdir()
    steps = live(pair, folder / "out", signal.SIGKILL, 0, True)
    halves, refused = 0, []
    for step in range(steps // 2, steps + 1):  # what comes before is that of one result
        folder = tmp_path / f"step{step}"
        folder.mkdir()
        live(pair, folder / "out", signal.SIGKILL, step, True)
        halves += (folder / "file").exists() and not (folder / "out").exists()
        if step % 2:
            finish_or_undo(folder / "out")
            finish_or_undo(folder / "file")
        try:
            pair(folder / "out")
        except InputError:
            refused.append(step)
        assert (names(folder), content(folder / "out")) == (["file", "out"], "new")
        assert (folder / "file").read_text() == "new"
    assert refused == [steps]
    assert halves > 0  # else nothing was tried between the two


@pytest.mark.skipif(sys.platform != "linux", reason="forks and sends signals")
def test_the_same_command_finishes_a_folder_that_is_no_output(live, tmp_path):
    steps = live(bare, tmp_path / "whole" / "out", signal.SIGKILL, 0, True)
    refused = []
    for step in range(steps // 2, steps + 1):
        folder = tmp_path / f"step{step}"
        folder.mkdir()
        live(bare, folder / "out", signal.SIGKILL, step, True)
        try:
            bare(folder / "out")
        except InputError:
            refused.append(step)
        assert (names(folder), names(folder / "out")) == (["out"], ["content"])
    assert refused == [steps]


@pytest.mark.skipif(sys.platform != "linux", reason="forks and sends signals")
def test_a_file_of_the_user_in_the_place_of_a_pairs_file_stays(live, tmp_path):
    steps = live(pair, tmp_path / "whole" / "out", signal.SIGKILL, 0, True)
    tried = 0
    for step in range(steps // 2, steps + 1):
        folder = tmp_path / f"step{step}"
        folder.mkdir()
        live(pair, folder / "out", signal.SIGKILL, step, True)
        if (folder / "file").exists() and len(names(folder)) > 2:
            tried += 1
            (folder / "file").unlink()
            (folder / "file").write_text("mine")
            with pytest.raises(InputError, match="file exists already"):
                pair(folder / "out")
            assert (folder / "file").read_text() == "mine"
    assert tried > 5
