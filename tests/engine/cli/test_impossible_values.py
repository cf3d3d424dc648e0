"""Every option with values that nothing has: exit code 2 and one line, or the command takes it as it is. No traceback."""

from __future__ import annotations

from itertools import chain

import pytest
from made_up import made_up_arrays, write_tile
from outputs import made_up_output
from staged import landscape
from typer.main import get_command

from tessera_engine.cli import app

LINES = {
    "embed": "scene",
    "convert": "out --format npy",
    "picture": "out",
    "sample": "out points.csv",
    "similar": "out --at 4.9 50.8",
    "change": "out other",
    "map": "out --labels points.csv --field crop",
    "apply": "missing.model out",
    "suggest": "out --labels points.csv -n 3 -o next.csv",
    "sample-design": "missing.tif -o check.csv --per-class 2",
    "area": "missing.tif --reference points.csv",
    "evaluate": "out --labels points.csv --field crop",
    "segment": "out",
    "view": "out missing",
    "info": "out",
    "verify": "out",
    "bench": "missing.onnx",
    "simulate": "scene",
    "export": "missing.pt -o model.onnx",
    "train": "missing -o model.pt",
    "distil": "missing --teacher missing.pt -o model.pt",
    "kit": "kit --platform beos",
    "model import": "missing.pt",
    "model fetch": "nano --from ftp://127.0.0.1/nano.pt",
    "model pack": "missing -o model.tessera",
    "model add": "missing.tessera",
}
"""Commands that end before they do much: their input is missing, or the value of each option is wrong."""

IMPOSSIBLE = ("", "nonsense", "-1", "nan", "1e400", "99999999999999999999")
TAKEN = ("--out", "--palette", "--save", "--memory", "--seed", "--pixels", "--nodata", "--export")
"""Options for which some of these values are possible."""


def commands(command, path=()):
    subs = getattr(command, "commands", None)
    if subs is None:
        return [(" ".join(path), command)]
    return list(chain.from_iterable(commands(each, (*path, name)) for name, each in subs.items()))


COMMANDS = dict(commands(get_command(app)))


def test_every_command_with_options_is_tried():
    assert set(COMMANDS) == {*LINES, "docs", "doctor", "model list"}


@pytest.fixture
def inputs(tmp_path):
    write_tile(tmp_path / "scene", made_up_arrays(8, 8))
    for year, name in enumerate(("out", "other"), 2020):
        made_up_output(tmp_path / name, landscape(8, 8, 16), "npy", year=year)
    (tmp_path / "points.csv").write_text("crop,lon,lat\nwheat,0,0\nmaize,1,1\n")


@pytest.mark.parametrize("name", LINES)
def test_no_option_ends_in_a_traceback(run, inputs, name):
    for option in COMMANDS[name].params:
        spelled = max(option.opts, key=len)
        if option.param_type_name == "argument" or option.is_flag or spelled in TAKEN:
            continue
        for value in IMPOSSIBLE:
            words = [*name.split(), *LINES[name].split(), spelled, *[value] * option.nargs]
            code, out, err = run(*words)
            assert code == 2, (words, code, err)
            assert out == "", words
            lines = [line for line in err.splitlines() if line.lower().startswith("error: ")]
            assert len(lines) == 1, (words, err)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["embed", "two", "words"], "'two words' is one folder"),
        (["convert", "out", "--format", "GeoTIFF"], "did you mean 'cog'?"),
        (["map", "out", "--labels", "point.csv", "--field", "crop"], "did you mean points.csv?"),
        (["apply", "out", "out"], "out is a folder"),
        (["info", "out", "--year", "2020"], "--year 2020"),
        (["map", "out", "--labels", "points.csv", "--field", "crop", "--train-year", "2020"], "--train"),
        (["map", "out", "--labels", "points.csv", "--field", "crop", "--band", "1"], "--band 1"),
        (["map", "out", "--labels", "labels.tif", "--field", "crop"], "--field 'crop'"),
        (["evaluate", "out", "--labels", "labels.tif", "--layer", "crop"], "--layer 'crop'"),
        (["verify", "out", "--model", "demo"], "--scene"),
        (["embed", "scene", "--aoi", ""], "--aoi is empty"),
        (["embed", "scene", "--aoi="], "--aoi is empty"),
    ],
)
def test_mistakes_that_people_make_are_named(run, inputs, tmp_path, words, named):
    (tmp_path / "two words").mkdir()
    (tmp_path / "labels.tif").write_bytes(b"")  # what can't be used is named before a file is read
    code, out, err = run(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert named in err
