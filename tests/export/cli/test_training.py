"""The commands `train` and `distil`, as users meet them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from made_up import made_up_arrays, write_tile

from tessera_export.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return write_tile(tmp_path_factory.mktemp("scenes") / "a", made_up_arrays(9, 8))


def weights(path):
    return load_checkpoint(path).model.state_dict()


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["train", "nothing", "-o", "m.pt"], ["nothing"]),
        (["train", "SCENE", "-o", "m.pt", "--size", "huge"], ["--size", "nano, small, medium, large"]),
        (["train", "SCENE", "-o", "m.pt", "--size", "v1.1"], ["--size", "'v1.1'"]),
        (["train", "SCENE", "-o", "m.pt", "--device", "tpu"], ["--device tpu", "auto, cpu, cuda"]),
        (["train", "SCENE", "-o", "m.pt", "--qat", "fp8"], ["--qat", "fp8", "int8, qdq"]),
        (["train", "SCENE", "-o", "SCENE/bands.npy"], ["bands.npy", ".pt"]),
        (["distil", "SCENE", "-o", "m.pt", "--teacher", "SCENE/bands.npy"], ["not a torch checkpoint"]),
        (["distil", "SCENE", "-o", "m.pt", "--teacher", "gone.pt"], ["gone.pt"]),
    ],
)
def test_errors_are_one_line(run, scene, tmp_path, arguments, facts):
    code, out, err = run(*(argument.replace("SCENE", str(scene)) for argument in arguments))
    assert (code, out) == (2, "")
    lines = err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert [fact for fact in facts if fact not in err] == []
    assert not list(tmp_path.iterdir())


def test_options_are_checked_before_scenes_are_opened(run, tmp_path):
    (tmp_path / "there.pt").touch()
    for options, fact in (
        (["--qat", "fp8", "-o", "m.pt"], "--qat"),
        (["--size", "huge", "-o", "m.pt"], "--size"),
        (["--device", "tpu", "-o", "m.pt"], "--device tpu"),
        (["--threads", "9999", "-o", "m.pt"], "--threads 9999"),
        (["--memory", "lots", "-o", "m.pt"], "lots"),
        (["-o", "there.pt"], "--overwrite"),
    ):
        code, _, err = run("train", "nowhere", *options)
        assert (code, fact in err, "nowhere" in err) == (2, True, False), err


def test_train_writes_a_checkpoint_and_says_so(run, scene, tmp_path):
    code, out, err = run("train", scene, "-o", "m.pt", "--steps", 1, "--batch", 16, "--pixels", 256, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["out"], told["steps"]) == ("m.pt", 1)
    assert "model import m.pt" in err
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt"]


OFTEN_SAVED = """
from tessera_export.train import run
run.SAVE_SECONDS = 0.2
from tessera_engine.cli import main
main()
"""


@pytest.mark.slow
def test_a_training_killed_from_outside_goes_on_with_the_same_command(scene, tmp_path):
    """By SIGKILL, once it has saved a state; the weights are those of a training that nobody disturbed."""
    options = ["--steps", "40", "--batch", "16", "--pixels", "256", "--threads", "1", "--json", "-o"]
    command = [sys.executable, "-c", OFTEN_SAVED, "train", str(scene), *options]
    kept = {"env": os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, "text": True}
    subprocess.run([*command, tmp_path / "whole.pt"], check=True, capture_output=True, **kept)
    process = subprocess.Popen([*command, tmp_path / "m.pt"], stderr=subprocess.DEVNULL, **kept)
    while not (tmp_path / "m.pt.partial" / "state.pt").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "m.pt").exists()
    done = subprocess.run([*command, tmp_path / "m.pt"], check=True, capture_output=True, **kept)
    assert "resuming an interrupted training" in done.stderr
    assert json.loads(done.stdout)["steps"] == 40
    again, whole = weights(tmp_path / "m.pt"), weights(tmp_path / "whole.pt")
    assert all(torch.equal(again[key], whole[key]) for key in whole)
