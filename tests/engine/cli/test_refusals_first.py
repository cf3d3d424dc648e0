"""Where the output exists, a command says nothing but that: no note or warning of its inputs comes first."""

from __future__ import annotations

import shutil

import conformance
import numpy as np
import pytest
from made_up import CRS, ORIGIN, made_up_arrays, write_tile
from outputs import made_up_output
from product_files import write_raster
from staged import landscape

import tessera_engine as te

SIDE = 24
LABELS = "--labels points.csv --field crop --labels-crs CRS"

INTO_A_FOLDER = [
    "embed scene",
    "embed scene --format vq --model demo",
    "convert out --format vq",
    "similar out --at 3.001 50.551",
    "change out other",
    "change --from-to classes.tif later.tif",
    f"map out {LABELS}",
    f"map out other {LABELS}",
    "apply crops.model out",
    "area classes.tif --reference checked.csv --field crop --reference-crs CRS",
    f"evaluate out {LABELS}",
    "view out --export OUT",
    "view out --segments out.gpkg --export OUT",
    "simulate OUT",
]
INTO_A_FILE = {
    "picture out": ".png",
    "sample out points.csv --shapes-crs CRS": ".csv",
    "sample scene points.csv --shapes-crs CRS": ".csv",
    f"map out {LABELS} -o fresh --save OUT": ".model",
    "sample-design classes.tif --per-class 2": ".csv",
    f"suggest out -n 3 {LABELS}": ".csv",
    "segment out": ".gpkg",
    "export tiny.pt": ".onnx",
    "train scene": ".pt",
    "distil scene --teacher tiny.pt": ".pt",
    "model pack demo": ".tessera",
}
"""Commands whose inputs give a note or warning, and the ending of what they write."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Inputs that commands have something to say about: few dates, files of no use, labels outside, no year."""
    folder = tmp_path_factory.mktemp("inputs")
    write_tile(folder / "scene", made_up_arrays(SIDE, SIDE))
    (folder / "scene" / "notes.txt").write_text("nothing")
    for name in ("out", "other"):
        made_up_output(folder / name, landscape(SIDE, SIDE, 16), "npy", "float32")
    classes = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE) % 2 + 1
    for name in ("classes.tif", "later.tif"):
        write_raster(folder / name, classes)
    places = [ORIGIN @ (at % SIDE + 0.5, at // SIDE + 0.5) for at in range(0, SIDE * SIDE, 19)] + [(0.0, 0.0)]
    rows = [f"{['wheat', 'maize'][i % 2]},{x},{y}" for i, (x, y) in enumerate(places)]
    (folder / "points.csv").write_text("\n".join(["crop,x,y", *rows, ""]))
    checked = [row.replace("wheat", "1").replace("maize", "2") for row in rows]
    (folder / "checked.csv").write_text("\n".join(["crop,x,y", *checked, ""]))
    shutil.copy(conformance.checkpoint("tiny"), folder / "tiny.pt")
    te.map(
        folder / "out",
        folder / "points.csv",
        "crop",
        folder / "map",
        labels_crs=CRS,
        save=folder / "crops.model",
        progress=False,
    )
    return folder


@pytest.mark.parametrize("written", [*INTO_A_FOLDER, *INTO_A_FILE])
def test_an_existing_output_is_named_alone(run, inputs, tmp_path, monkeypatch, written):
    there = tmp_path / f"there{INTO_A_FILE.get(written, '')}"
    if written in INTO_A_FILE:
        there.write_text("mine")
    else:
        there.mkdir()
        (there / "mine").write_text("mine")
    monkeypatch.chdir(inputs)
    words = [
        part for word in written.split() for part in {"CRS": [CRS], "OUT": [str(there)]}.get(word, [word])
    ]
    words = words if "OUT" in written else [*words, "-o", str(there)]
    before = sorted(inputs.iterdir())
    code, out, err = run(*words)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("error: "), err
    assert str(there) in err
    assert "already" in err
    assert sorted(inputs.iterdir()) == before
    assert (there if there.is_file() else there / "mine").read_text() == "mine"
