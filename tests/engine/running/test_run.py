"""Interrupted, damaged and refused runs: the same command finishes them, and the output is the same."""

from __future__ import annotations

import json
import os
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from cut_runs import (
    ARRAYS,
    WINDOWS,
    Changing,
    Cut,
    Interrupting,
    assert_only,
    contents,
    embed,
    interrupt,
    plan,
    raising,
)
from fake_backend import FakeBackend
from naive import naive_clear_median

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files import publish
from tessera_engine.files.durable import Lock
from tessera_engine.files.partial import finish_or_undo
from tessera_engine.formats.opening import open_embeddings, stored_years
from tessera_engine.formats.origin import Origin
from tessera_engine.pictures.quicklook import write_quicklook
from tessera_engine.running.run import run
from tessera_engine.scene import Window
from tessera_engine.stac.reading import read_item
from tessera_engine.verification.output import check_files

pytestmark = pytest.mark.usefixtures("read_to_compute")


def counts(planned):
    """Run a plan; gives the pixels and those with an embedding that it reports."""
    done = run(planned.plan, planned.backend, None, lambda line: None)
    return done.pixels, done.with_data


@pytest.mark.parametrize("at", [2, 3, 5])
def test_an_interrupted_run_goes_on_where_it_was(tmp_path, expected, at):
    out = tmp_path / "out"
    interrupt(out, at)
    assert_only(tmp_path, "out.partial")
    again = plan(out)
    told = embed(again)
    assert any("resuming" in line for line in told)
    assert WINDOWS - at <= len(again.windows_read) < WINDOWS
    assert contents(out) == expected
    assert_only(tmp_path, "out")


def test_true_colours_are_those_of_the_scene_after_an_interruption_too(tmp_path, monkeypatch):
    staged = []
    draw = write_quicklook

    def look(staging, *arguments):
        staged.append(staging.colours.read(staging.grid.window))
        return draw(staging, *arguments)

    monkeypatch.setattr("tessera_engine.running.run.write_quicklook", look)
    with pytest.raises(Cut):
        embed(plan(tmp_path / "out", Interrupting(ARRAYS, 3, raising(Cut())), quicklook="rgb"))
    again = plan(tmp_path / "out", quicklook="rgb")
    embed(again)
    assert len(again.windows_read) < WINDOWS
    dates = len(ARRAYS["doys"])
    wanted = naive_clear_median(
        ARRAYS["bands"].reshape(dates, -1, 10), ARRAYS["masks"].reshape(dates, -1), (0, 2, 1)
    )
    np.testing.assert_array_equal(staged[0].reshape(-1, 3), wanted)
    assert not wanted[0].any()
    item = json.loads((tmp_path / "out" / "item.json").read_text())
    assert item["assets"]["quicklook"]["title"] == "True colour: median of the clear dates"


def test_the_picture_is_left_out_on_request_and_its_colours_are_not_staged(tmp_path, expected):
    embed(plan(tmp_path / "out", truecolour=False))
    assert contents(tmp_path / "out").keys() == expected.keys() - {"truecolour.tif"}
    interrupt(tmp_path / "cut")
    assert (tmp_path / "cut.partial" / "staging" / "colours.npy").exists()
    shutil.rmtree(tmp_path / "cut.partial")
    with pytest.raises(Cut):
        embed(plan(tmp_path / "cut", Interrupting(ARRAYS, 3, raising(Cut())), truecolour=False))
    assert not (tmp_path / "cut.partial" / "staging" / "colours.npy").exists()


def test_an_interruption_before_anything_is_finished_leaves_nothing(tmp_path):
    interrupt(tmp_path / "out", 0)
    assert_only(tmp_path)


def states_after_every_step(patch, work, folder):
    """Copies of a folder as it is after every sync, rename and removal that changes it: as a kill leaves it."""
    states, seen = [], []

    def after(module, name):
        honest = getattr(module, name)

        def call(*arguments, **options):
            result = honest(*arguments, **options)
            if "embeddings.zarr" not in str(arguments[0]):  # zarr writes with threads of its own
                now = [(path, path.stat()[6:9:2]) for path in sorted(work.rglob("*"))]  # sizes and times
                if now not in seen[-1:]:
                    seen.append(now)
                    states.append(shutil.copytree(work, folder / f"state{len(states)}"))
            return result

        patch.setattr(module, name, call)

    after(os, "fsync")
    after(Path, "rename")
    after(Path, "replace")
    after(Path, "unlink")
    after(Path, "rmdir")
    after(publish, "_renameat2")
    after(shutil, "rmtree")
    return states


def test_after_every_single_step_the_same_command_finishes(tmp_path, expected, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    with monkeypatch.context() as patch:
        states = states_after_every_step(patch, work, tmp_path)
        reported = counts(plan(work / "out"))
    assert len(states) > 2 * WINDOWS
    assert reported[0] == 99
    for state in states[:-1]:
        assert counts(plan(state / "out")) == reported
        assert contents(state / "out") == expected, state
        assert_only(state, "out")
    with pytest.raises(
        InputError, match="exists already"
    ):  # after the last step nothing shows that it had not ended
        embed(plan(states[-1] / "out"))


def year_of(out, number, append):
    """A plan of one year in a zarr store."""
    reader = Changing(ARRAYS)
    reader.content, reader.period = f"{number:064d}", (date(number, 1, 5), date(number, 12, 20))
    origin = Origin(number, "fake", FakeBackend().model.sha256, "v2", "0.1.0")
    return plan(out, reader, format="zarr", origin=origin, append=append)


@pytest.mark.parametrize("exchange", [True, False], ids=["one step", "two steps"])
def test_after_every_step_a_year_is_added_by_the_same_command(tmp_path, monkeypatch, exchange):
    """A kill after any step of an appending run leaves the old store or the new one, which the command finishes."""
    work = tmp_path / "work"
    embed(year_of(work / "out", 2018, append=False))
    with monkeypatch.context() as patch:
        if not exchange:
            patch.setattr(publish, "_renameat2", lambda *names: False)
        states = states_after_every_step(patch, work, tmp_path)
        embed(year_of(work / "out", 2019, append=True))
    gone = [state for state in states if not (state / "out").exists()]
    assert bool(gone) is not exchange
    for state in states:
        with pytest.raises(
            InputError, match=r"out exists already.*overwrite=True"
        ):  # a fresh start keeps the store
            embed(year_of(state / "out", 2019, append=False), restart=True)
        finish_or_undo(state / "out")
        assert stored_years(state / "out") in ([2018], [2018, 2019])
        if state is not states[-1]:
            embed(year_of(state / "out", 2019, append=True))
        assert_only(state, "out")
        assert stored_years(state / "out") == [2018, 2019]
        check_files(state / "out", read_item(state / "out"))
        one, other = (open_embeddings(state / "out", year=each).read() for each in (2018, 2019))
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="2019"):
        embed(year_of(work / "out", 2019, append=True))
    assert_only(work, "out")


def test_a_folder_that_appears_meanwhile_is_left_as_it_is(tmp_path, expected):
    def appear():
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "notes.txt").write_text("mine")

    with pytest.raises(InputError, match="out has appeared"):
        embed(plan(tmp_path / "out", Interrupting(ARRAYS, 3, appear)))
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    (tmp_path / "out").rename(tmp_path / "mine")
    again = plan(tmp_path / "out")
    embed(again)
    assert again.windows_read == []
    assert contents(tmp_path / "out") == expected
    assert_only(tmp_path, "out", "mine")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dim": 16}, [r"dim \(was 32, now 16\)"]),
        (
            {"stored_as": "float32", "format": "cog"},
            [r"stored_as \(was int8", r"format \(was npy, now cog\)"],
        ),
        ({"window": Window(0, 0, 9, 10)}, [r"window \(was 0 0 9 11, now 0 0 9 10\)"]),
        ({"quicklook": "rgb"}, [r"quicklook \(was pca, now rgb\)"]),
        ({"truecolour": False}, [r"truecolour \(was yes, now no\)"]),
        ({"backend": FakeBackend(name="other")}, [r"model \(was fake .*, now other"]),
    ],
)
def test_another_run_is_refused_by_name(tmp_path, changes, words):
    interrupt(tmp_path / "out")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError) as refused:
        embed(plan(tmp_path / "out", **changes))
    for word in words:
        refused.match(word)
    refused.match("restart=True")
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert not any("resuming" in line for line in embed(plan(tmp_path / "out", **changes), restart=True))


def test_a_scene_that_has_changed_is_refused_before_and_during(tmp_path):
    interrupt(tmp_path / "out")
    other = Changing(ARRAYS)
    other.content = "b" * 64
    with pytest.raises(InputError, match=r"differs in scene \(was place aaaa.*, now place bbbb"):
        embed(plan(tmp_path / "out", other))
    reader = Interrupting(ARRAYS, 4, lambda: setattr(reader, "content", "c" * 64))
    with pytest.raises(TesseraError, match=r"place changed.*restart=True"):
        embed(plan(tmp_path / "other", reader))
    assert not (tmp_path / "other").exists()


def test_windows_keep_their_size_whatever_the_memory(tmp_path, expected):
    interrupt(tmp_path / "out")
    with pytest.raises(InputError, match=r"20 pixels.* memory= .*19"):
        embed(plan(tmp_path / "out", window_pixels=19))
    again = plan(tmp_path / "out", window_pixels=10_000)
    embed(again)
    assert all(window.height <= 2 for window in again.windows_read)
    assert contents(tmp_path / "out") == expected


def test_a_second_run_on_the_same_output_stops(tmp_path, expected):
    def second():
        with pytest.raises(InputError, match=r"another run .process .* is writing .*out.partial"):
            embed(plan(tmp_path / "out"), restart=True)

    embed(plan(tmp_path / "out", Interrupting(ARRAYS, 3, second)))
    assert contents(tmp_path / "out") == expected


def test_a_place_that_is_held_is_left_as_it_is(tmp_path):
    interrupt(tmp_path / "out")
    lock = Lock(tmp_path / "out.partial" / "lock")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="another run"):
        embed(plan(tmp_path / "out"))
    assert sorted(tmp_path.rglob("*")) == before
    lock.release(remove=False)
