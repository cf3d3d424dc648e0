"""Every option with values that nothing has: exit code 2 and one line, or the command takes it as it is. No traceback."""

from __future__ import annotations

import inspect
from itertools import chain
from typing import get_args, get_type_hints

import pytest
from command_tree import SINGLE
from made_up import CRS, ORIGIN, made_up_arrays, write_tile
from outputs import made_up_output
from staged import landscape

LINES = {
    "embed": "scene",
    "convert": "out --format npy",
    "picture": "out",
    "sample": "out points.csv -o table.csv",
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
    "simulate": "new",
    "export": "missing.pt -o model.onnx",
    "train": "scene -o model.pt",
    "distil": "scene --teacher missing.pt -o model.pt",
    "kit": "kit --platform beos",
    "model import": "missing.pt",
    "model fetch": "nano --from ftp://127.0.0.1/nano.pt",
    "model pack": "missing -o model.tessera",
    "model add": "missing.tessera",
}
"""Commands that end before they do much: the value of each option is wrong, or what it belongs to is missing."""

IMPOSSIBLE = ("", "nonsense", "-1", "nan", "1e400", "99999999999999999999")
TAKEN = ("--out", "--palette", "--save", "--memory", "--seed", "--pixels", "--nodata", "--export")
TAKEN_BY = {("simulate", "--year")}
"""Options, of all commands or of one, for which some of these values are possible."""

LATER = {("apply", "--year")}
"""What is only looked at once the classifier has been read, which is missing here."""


COMMANDS = {" ".join(path): command for path, command in SINGLE}


def test_every_command_with_options_is_tried():
    assert set(COMMANDS) == {*LINES, "docs", "doctor", "model list"}


@pytest.fixture
def inputs(tmp_path):
    write_tile(tmp_path / "scene", made_up_arrays(8, 8))
    for year, name in enumerate(("out", "other"), 2020):
        made_up_output(tmp_path / name, landscape(8, 8, 16), "npy", year=year)
    (tmp_path / "points.csv").write_text("crop,lon,lat\nwheat,0,0\nmaize,1,1\n")


def parts(kind):
    """A type, and all types in it."""
    return {kind, *chain.from_iterable(map(parts, get_args(kind)))}


def numbers(command):
    """The options of a command whose values are numbers: an impossible one is named, not what comes after it."""
    kinds = get_type_hints(inspect.unwrap(command.callback))
    return {option.name for option in command.params if {int, float} & parts(kinds.get(option.name))}


@pytest.mark.parametrize("name", LINES)
def test_no_option_ends_in_a_traceback(run, inputs, name):
    for option in COMMANDS[name].params:
        spelled = max(option.opts, key=len)
        if option.param_type_name == "argument" or option.is_flag:
            continue
        if spelled in TAKEN or (name, spelled) in TAKEN_BY:
            continue
        for value in IMPOSSIBLE:
            words = [*name.split(), *LINES[name].split(), spelled, *[value] * option.nargs]
            code, out, err = run(*words)
            assert code == 2, (words, code, err)
            assert out == "", words
            lines = [line for line in err.splitlines() if not line.startswith("note: ")]
            assert len(lines) == 1, (words, err)
            assert lines[0].startswith("error: "), (words, err)
            if option.name in numbers(COMMANDS[name]) and (name, spelled) not in LATER:
                assert spelled in lines[0] or (value and value in lines[0]), (words, err)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["embed", "two", "words"], "'two words' is one folder"),
        (["convert", "out", "--format", "GeoTIFF"], "did you mean 'cog'?"),
        (["embed", "scene", "--format", "GeoTIFF"], "did you mean 'cog'?"),
        (["map", "out", "--labels", "point.csv", "--field", "crop"], "did you mean points.csv?"),
        (["apply", "out", "out"], "out is a folder"),
        (["info", "out", "--year", "2020"], "--year 2020"),
        (["map", "out", "--labels", "points.csv", "--field", "crop", "--train-year", "2020"], "--train"),
        (["map", "out", "--labels", "points.csv", "--field", "crop", "--band", "1"], "--band 1"),
        (["map", "out", "--labels", "labels.tif", "--field", "crop"], "--field 'crop'"),
        (["evaluate", "out", "--labels", "labels.tif", "--layer", "crop"], "--layer 'crop'"),
        (["sample", "out", "points.csv", "-o", "t.csv", "--model", "nano"], "--model nano"),
        (
            ["map", "out", "--labels", "same.csv", "--field", "yield", "--labels-crs", CRS, "--regression"],
            "are 7, so",
        ),
        (
            ["map", "out", "--labels", "yields.csv", "--field", "yield", "--labels-crs", CRS],
            "or for numbers --regression",
        ),
        (["embed", "scene", "--append", "-o", "out"], "--append adds to zarr and geotessera"),
        (["sample", "points.csv", "out", "-o", "t.csv"], "points.csv is a table or a file of shapes"),
        (["apply", "out", "points.csv"], "a classifier that map saved"),
        (["verify", "out", "--model", "demo"], "--scene"),
        (["embed", "scene", "--aoi", ""], "--aoi is empty"),
        (["embed", "scene", "--aoi="], "--aoi is empty"),
    ],
)
def test_mistakes_that_people_make_are_named(run, inputs, tmp_path, words, named):
    (tmp_path / "two words").mkdir()
    (tmp_path / "labels.tif").write_bytes(b"")  # what can't be used is named before a file is read
    for file, values in (("same.csv", [7] * 6), ("yields.csv", [7.1, 6.5, 8.25, 5, 4.5, 7])):
        places = [ORIGIN @ (i + 0.5, i + 0.5) for i in range(6)]
        rows = [f"{value},{x},{y}\n" for value, (x, y) in zip(values, places, strict=True)]
        (tmp_path / file).write_text("yield,x,y\n" + "".join(rows))
    code, out, err = run(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert named in err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["embed", "scene", "--from", "31/03/2024"], ("'31/03/2024'", "2024-03-31")),
        (["view", "out", "--until", "2024-02-30"], ("'2024-02-30'", "2024-03-31")),
        (["embed", "scene", "--year", "1.5"], ("--year", "whole number")),
        (["segment", "out", "--scale", "much"], ("--scale", "a number")),
        (["train", "scene", "-o", "m.pt", "--learning-rate", "2"], ("--learning-rate", "at most 1")),
        (["train", "scene", "-o", "m.pt", "--learning-rate", "0"], ("--learning-rate", "at least 1e-08")),
    ],
)
def test_values_are_refused_in_plain_words(run, words, named):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert all(fact in err for fact in named), err
    assert "Input should" not in err
    assert "%" not in err
