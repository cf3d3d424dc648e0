"""Every option that names a file to write: another kind of file is refused in one line, before any work."""

from __future__ import annotations

import inspect
from typing import get_type_hints

import pytest
from command_tree import SINGLE
from outputs import made_up_output
from staged import landscape

WRITTEN = {
    ("picture", "--palette"): ("out", ".json"),
    ("picture", "--out"): ("out", ".png, .tif or .tiff"),
    ("sample", "--out"): ("out points.csv", ".csv"),
    ("map", "--save"): ("out --labels points.csv --field crop", ".model"),
    ("sample-design", "--out"): ("map --per-class 2", ".gpkg"),
    ("suggest", "--out"): ("out --labels points.csv -n 3", ".geojson"),
    ("segment", "--out"): ("out", ".parquet"),
    ("export", "--out"): ("missing.pt", ".onnx"),
    ("train", "--out"): ("scene", ".pt"),
    ("distil", "--out"): ("scene --teacher missing.pt", ".pt"),
    ("model pack", "--out"): ("missing", ".tessera"),
}
"""The rest of a command, of whose inputs most are missing, and an ending that it expects."""

FOLDERS = {
    "--out": {"embed", "convert", "similar", "change", "map", "apply", "area", "evaluate"},
    "--export": {"view"},
}

READ = {
    "--aoi", "--points", "--like", "--jobs", "--labels", "--train", "--by-segment", "--test", "--reference", "--map",
    "--segments", "--calibrate", "--teacher",
}  # fmt: skip


def test_every_option_that_names_a_file_is_known():
    named = set()
    for path, command in SINGLE:
        name, kinds = " ".join(path), get_type_hints(inspect.unwrap(command.callback))
        for option in command.params:
            spelled = max(option.opts, key=len)
            known = spelled in READ or name in FOLDERS.get(spelled, ())
            if option.param_type_name == "option" and "Path" in str(kinds.get(option.name)) and not known:
                named.add((name, spelled))
    assert named == set(WRITTEN)


@pytest.mark.parametrize(("command", "option"), WRITTEN)
def test_another_kind_of_file_is_refused_before_any_work(run, tmp_path, command, option):
    rest, ending = WRITTEN[command, option]
    made_up_output(tmp_path / "out", landscape(8, 8, 16), "npy")
    for wrong in ("c.xyz", "c"):
        code, out, err = run(*command.split(), *rest.split(), option, wrong)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith(f"error: {option} {wrong} is not the name of "), err
        assert ending in err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
