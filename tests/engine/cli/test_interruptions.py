"""Whole processes: killed, told to stop, in odd surroundings. What comes out is what an undisturbed run gives."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from interrupted import contents, start, wait_for_work
from made_up import made_up_arrays, write_tile
from places import ROOT

from tessera_engine.simulate import simulate

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


def embed(folder, *options, before=(), **environment):
    path = os.pathsep.join(str(ROOT / room) for room in ("engine", "export", "kernels"))
    return subprocess.run(
        [*before, sys.executable, "-m", "tessera_engine", "embed", "scene", "--int8", *map(str, options)],
        cwd=folder, env=os.environ | {"PYTHONPATH": path} | environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    simulate(folder / "scene", 96, seed=1)
    assert embed(folder, "-o", "plain", "--memory", "1GB").returncode == 0
    return folder


@pytest.mark.alone
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_within_a_long_kernel_is_obeyed_and_says_how_to_go_on(scene, tmp_path, number, code):
    life = start(scene, str(tmp_path / "out"), "--quiet")
    wait_for_work(life, tmp_path)
    life.send_signal(number)
    _, said = life.communicate(timeout=2)
    assert life.returncode == code
    assert said == "interrupted: give the same command again: it resumes with what is finished\n"
    done = embed(scene, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out") == contents(scene / "plain")


def test_threads_windows_time_zone_and_locale_change_nothing(scene, tmp_path):
    done = embed(
        scene, "-o", tmp_path / "out", "--threads", 1, "--memory", "300MB",
        TZ="Pacific/Kiritimati", LC_ALL="C", LANG="C", NUMBA_NUM_THREADS="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out") == contents(scene / "plain")


def test_the_order_of_files_in_a_folder_changes_nothing(run, tmp_path, monkeypatch):
    from affine import Affine
    from made_up import ORIGIN

    folder = tmp_path / "scene"
    folder.mkdir()
    for n, name in enumerate(("b", "a", "c")):
        write_tile(folder / name, made_up_arrays(4, 5, seed=n), ORIGIN @ Affine.translation(5 * n, 0))
    listed = Path.iterdir
    for out, reverse in (("up", False), ("down", True)):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "iterdir", lambda self, r=reverse: iter(sorted(listed(self), reverse=r)))
            assert run("embed", "scene", "-o", out, "--quiet")[0] == 0
    assert contents(tmp_path / "up") == contents(tmp_path / "down")


def test_a_folder_that_may_not_be_written_is_one_line(scene, tmp_path):
    (tmp_path / "file").write_text("no folder")
    done = embed(scene, "-o", tmp_path / "file" / "out")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: can't write to ")


def test_names_that_are_not_ascii_and_a_home_that_is_read_only(scene, tmp_path):
    place = tmp_path / "Größe \N{SNOWMAN} 'x' $(y)"
    place.mkdir()
    shutil.copytree(scene / "scene", place / "scene")
    done = embed(
        place, "-o", "Süd out", "--window", "0", "0", "8", "8",
        HOME="/proc", XDG_CACHE_HOME="/proc", LC_ALL="C", PYTHONIOENCODING="ascii",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (place / "Süd out" / "item.json").exists()
    assert sorted(path.name for path in place.iterdir()) == ["Süd out", "scene"]


def test_too_little_address_space_is_one_line(scene, tmp_path):
    done = embed(
        scene,
        "-o",
        tmp_path / "out",
        before=["sh", "-c", 'ulimit -v 600000; exec "$@"', "sh"],
        NUMBA_NUM_THREADS="1",
    )
    if done.returncode != 0:
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: ")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_messages_that_cannot_be_written_do_not_end_a_run(scene, tmp_path, redirected):
    window = ("--window", 0, 0, 8, 8, "-o", tmp_path / "out")
    shell = ("sh", "-c", f'exec "$0" "$@" {redirected}')
    done = embed(scene, *window, before=shell)
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "out"))
    assert (tmp_path / "out" / "item.json").is_file()


REDIRECTED = {
    ">&-": "it is closed",
    "<&- >&-": "it is closed",
    ">/dev/full": "No space left on device",
}


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
@pytest.mark.parametrize("redirected", REDIRECTED)
@pytest.mark.parametrize(
    "words",
    [["--version"], ["--help"], ["embed", "--help"], ["info", "demo"], ["info", "demo", "--json"]],
    ids=" ".join,
)
def test_results_that_cannot_be_written_are_an_error_that_says_so(words, redirected):
    done = shell(words, redirected)
    wanted = f"error: standard output can't be written: {REDIRECTED[redirected]}; send it to another file or program\n"
    assert (done.returncode, done.stderr) == (1, wanted)


def test_a_reader_that_has_enough_ends_a_command_without_a_word():
    assert shell(["info", "demo"], "| true").stderr == ""


def test_an_error_is_said_where_standard_output_is_closed():
    done = shell(["info", "nowhere"], ">&-")
    assert done.returncode == 2
    assert "nowhere" in done.stderr


def shell(words, redirected):
    path = os.pathsep.join(str(ROOT / room) for room in ("engine", "export", "kernels"))
    return subprocess.run(
        ["sh", "-c", f'"$0" -m tessera_engine "$@" {redirected}', sys.executable, *words],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


def hang_up(scene, out, ignored):
    """Embed in a terminal of its own, and close that during the run; gives the exit code."""
    import pty
    import termios
    from fcntl import ioctl

    master, terminal = pty.openpty()

    def begin():
        os.setsid()
        ioctl(terminal, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)

    path = os.pathsep.join(str(ROOT / room) for room in ("engine", "export", "kernels"))
    with subprocess.Popen(
        [sys.executable, "-m", "tessera_engine", "embed", "scene", "--int8", "--threads", "1", "-o", out],
        cwd=scene, env=os.environ | {"PYTHONPATH": path}, preexec_fn=begin,
        stdin=terminal, stdout=subprocess.DEVNULL, stderr=terminal,
    ) as life:  # fmt: skip
        os.close(terminal)
        wait_for_work(life, out.parent)
        os.close(master)
        return life.wait(60)


@pytest.mark.parametrize(("ignored", "code"), [(False, 129), pytest.param(True, 0, marks=pytest.mark.slow)])
def test_a_terminal_that_is_closed_ends_a_run_unless_that_is_ignored(scene, tmp_path, ignored, code):
    assert hang_up(scene, tmp_path / "out", ignored) == code
    if not ignored:
        assert embed(scene, "-o", tmp_path / "out").returncode == 0
    assert contents(tmp_path / "out") == contents(scene / "plain")
