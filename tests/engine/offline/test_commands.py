"""No command reaches the network, writes elsewhere or reads what nobody named: seen by strace, in one process.

Ordinary inputs go through every command, hostile ones through all commands that could follow them. The default run has
some of the hostile ones of each kind; `-m slow` has all.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path

import conformance
import hostile
import pytest
from made_up import made_up_arrays, write_tile
from places import ROOT
from traced import traced, why_not
from typer.main import get_command

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "can be traced")

pytest.importorskip("torch")
pytest.importorskip("zarr")

SIZE = str(hostile.SIDE)
TRAIN = ["--steps", "1", "--pixels", "256", "--batch", "16", "--size", "nano", "-q"]

ORDINARY = {
    "simulate": ["simulate", "scene", "--size", SIZE, "-q"],
    "simulate again": ["simulate", "later", "--size", SIZE, "--year", "2025", "-q"],
    "info scene": ["info", "scene"],
    "info model": ["info", "demo"],
    "model list": ["model", "list"],
    "doctor": ["doctor"],
    "embed": ["embed", "scene", "-o", "float", "-q"],
    "embed int8": ["embed", "scene", "--int8", "-o", "codes", "-q"],
    "embed again": ["embed", "later", "--int8", "-o", "codes-later", "-q"],
    "verify output": ["verify", "codes", "--scene", "scene"],
    "info output": ["info", "codes"],
    "convert": ["convert", "codes", "--format", "geotessera", "--year", "2024", "-o", "tree", "-q"],
    "convert to zarr": ["convert", "codes", "--format", "zarr", "--year", "2024", "-o", "store", "-q"],
    "append": ["convert", "codes-later", "--format", "zarr", "--year", "2025", "-o", "store", "--append", "-q"],
    # It serves until a signal; see test_the_page_is_served_to_this_machine_only
    "view": ["view", "codes", "--export", "page", "-q"],
    "picture": ["picture", "codes", "--palette", "colours.json", "-o", "picture.png", "-q"],
    "embed shapes": ["embed", "INPUTS/scene", "--points", "INPUTS/labels.geojson", "-o", "points", "-q"],
    "sample": ["sample", "INPUTS/cog", "INPUTS/labels.geojson", "-o", "table.parquet", "-q"],
    "sample to gpkg": ["sample", "INPUTS/cog", "INPUTS/labels.geojson", "-o", "table.gpkg", "-q"],
    "picture for a GIS": ["picture", "codes", "-o", "picture.tif", "-q"],
    "segment": ["segment", "codes", "-o", "fields.gpkg", "-q"],
    "similar": ["similar", "codes", "--at", "4.9262", "50.8045", "-o", "similar", "-q"],
    "change": ["change", "codes", "codes-later", "-o", "changed", "-q"],
    "map": ["map", "INPUTS/cog", "--labels", "INPUTS/labels.geojson", "--field", "crop", "-o", "map", "-q"],
    "sample-design": ["sample-design", "map", "-o", "check.csv", "--per-class", "2", "-q"],
    "area": ["area", "map", "--reference", "INPUTS/labels.geojson", "--field", "crop"],
    "map again": ["map", "INPUTS/npy", "--labels", "INPUTS/labels.geojson", "--field", "crop", "-o", "map-later", "--save", "crops.model", "-q"],
    "apply": ["apply", "crops.model", "INPUTS/cog", "-o", "applied", "-q"],
    "from to": ["change", "--from-to", "map", "map-later", "-o", "transitions", "-q"],
    "suggest": ["suggest", "INPUTS/cog", "-n", "3", "-o", "next.csv", "-q"],
    "evaluate": ["evaluate", "INPUTS/cog", "--labels", "INPUTS/labels.geojson", "--field", "crop", "--block", "50", "--method", "knn"],
    # The two commands that may connect, each with what they refuse before
    "model fetch": ["model", "fetch", "nano", "--from", "ftp://127.0.0.1/nano.pt"],
    "kit": ["kit", "carried", "--platform", "beos"],
    "kit verify": ["kit", "--verify", "INPUTS/carried"],
    "docs": ["docs"],
    "model pack": ["model", "pack", "demo", "-o", "demo.tessera"],
    "model add": ["model", "add", "demo.tessera"],
    "export": ["export", "INPUTS/tiny.pt", "-o", "model.onnx"],
    "verify model": ["verify", "demo", "--precision", "int8", "--pixels", "16", "--scene", "scene"],
}  # fmt: skip
"""Name -> arguments."""

LONG = {
    "simulate": ["simulate", "scene-to-learn", "--size", "32", "-q"],
    "train": ["train", "scene-to-learn", "-o", "model.pt", *TRAIN],
    "distil": ["distil", "scene-to-learn", "--teacher", "model.pt", "-o", "small.pt", *TRAIN],
    "bench": ["bench", "--scene", "scene-to-learn", "--pixels", "16", "--rounds", "1", "-q"],
    "model import": ["model", "import", "model.pt", "--name", "mine"],
    "evaluate": ["evaluate", "INPUTS/cog", "--labels", "INPUTS/labels.geojson", "--field", "crop", "--block", "50"],
}  # fmt: skip
"""Commands that take long."""

FAILS = {"model fetch": 2, "kit": 2, "docs": 0 if (ROOT / "dist" / "site" / "index.html").is_file() else 1}
"""Exit codes of commands that have nothing to do here; pages are built by `make docs` alone."""

WITHOUT_RUNTIME = (*list(ORDINARY)[: list(ORDINARY).index("export")],)
"""What never starts ONNX Runtime: the fused kernels compute, or nothing does."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("offline")
    for name in ("inputs", "work", "home", "tmp", "kinds"):
        (folder / name).mkdir()
    return folder


@pytest.fixture(scope="module")
def kit(place):
    import tessera_engine as te
    from tessera_engine.kit.make import write_sums
    from tessera_engine.model.installed import list_models

    inputs = place / "inputs"
    scene = write_tile(inputs / "scene", made_up_arrays(hostile.SIDE, hostile.SIDE))
    outputs = {"cog": inputs / "cog"}
    te.embed(scene, te.load_model("demo", precision="int8"), inputs / "cog", stored_as="int8", progress=False)
    for format in ("npy", "zarr", "geotessera"):
        outputs[format] = inputs / format
        year = None if format == "npy" else 2024
        te.convert(inputs / "cog", outputs[format], format, year=year, progress=False)
    labels = inputs / "labels.geojson"
    labels.write_text(hostile.geojson())
    shutil.copy(conformance.checkpoint("tiny"), inputs / "tiny.pt")
    (inputs / "carried").mkdir()
    shutil.copy(labels, inputs / "carried" / labels.name)
    write_sums(inputs / "carried")
    model = next(path for path in list_models() if "fp32" in path.name)
    outside = hostile.write_outside(place / "outside")
    return hostile.Kit(place / "kinds", outside, scene, outputs, labels, model)


def start(place: Path, commands: dict[str, list[str]]):
    """Run commands with an empty home, in one process."""
    placed = {
        name: [word.replace("INPUTS", str(place / "inputs")) for word in words]
        for name, words in commands.items()
    }
    cleared = dict.fromkeys(("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "TESSERA_ENGINE_HOME"), "")
    return traced(placed, place / "work", HOME=str(place / "home"), TMPDIR=str(place / "tmp"), **cleared)


def check(place: Path, traces):
    """Check what all commands must keep to."""
    home = place / "home"
    allowed = (
        place / "work",
        place / "tmp",
        home / ".cache" / "tessera-engine",
        home / ".local" / "share" / "tessera-engine",
        ROOT / "kernels",  # compiled kernels, beside their source in a checkout
    )
    parents = {home, *(parent for path in allowed for parent in path.parents if parent.is_relative_to(home))}
    for name, trace in traces.items():
        assert trace.sockets == [], name
        elsewhere = {
            path
            for path in map(Path, trace.written)
            if path not in parents and not any(path.is_relative_to(each) for each in allowed)
        }
        assert elsewhere == set(), name
        assert [path for path in trace.read if Path(path).is_relative_to(place / "outside")] == [], name
        assert trace.code in (0, 1, 2), f"{name}\n{trace.err}"
        assert "Traceback" not in trace.err, name


def run(place: Path, commands: dict[str, list[str]]):
    traces = start(place, commands)
    check(place, traces)
    return traces


@pytest.fixture(scope="module")
def hostile_ones(kit):
    """Some hostile command lines of each kind: the first and the last."""
    some = {}
    for commands in every_hostile(kit, hostile.KINDS).values():
        names = list(commands)
        some |= {names[at]: commands[names[at]] for at in (0, -1)}
    return some


@pytest.fixture(scope="module")
def hostile_cubes(kit):
    if importlib.util.find_spec("h5py") is None:
        return {}
    every = every_hostile(kit, hostile.CUBES)
    return {name: words for commands in every.values() for name, words in commands.items()}


@pytest.fixture(scope="module")
def traces(place, hostile_ones, hostile_cubes):
    """Of everything that the default run tries: one process, which loads the libraries once."""
    return start(place, ORDINARY | hostile_ones | hostile_cubes)


def all_commands(group, before=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from all_commands(command, (*before, name))
        else:
            yield " ".join((*before, name))


def test_every_command_has_a_case():
    from tessera_engine.cli import app

    known = set(all_commands(get_command(app)))
    tried = {" ".join(words[:2]) if words[0] == "model" else words[0] for words in (ORDINARY | LONG).values()}
    assert tried == known


def test_ordinary_inputs(place, traces):
    ordinary = {name: traces[name] for name in ORDINARY}
    check(place, ordinary)
    assert {name: trace.err for name, trace in ordinary.items() if trace.code != FAILS.get(name, 0)} == {}
    started = [
        name for name, trace in ordinary.items() if any("onnxruntime/capi/" in path for path in trace.read)
    ]
    assert started
    assert not set(started) & set(WITHOUT_RUNTIME)


@pytest.mark.slow
def test_ordinary_inputs_of_long_commands(place, kit):
    traces = run(place, LONG)
    assert {name: trace.err for name, trace in traces.items() if trace.code != 0} == {}


def every_hostile(kit, kinds) -> dict[str, dict[str, list[str]]]:
    found = {}
    for name, make in kinds.items():
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=kit.folder))
        commands = make(kit._replace(folder=folder))
        found[name] = {f"{name} {number}": words for number, words in enumerate(commands)}
    return found


def test_some_hostile_inputs(place, traces, hostile_ones):
    assert len(hostile_ones) == 2 * len(hostile.KINDS)
    check(place, {name: traces[name] for name in hostile_ones})


@pytest.mark.slow
def test_all_hostile_inputs(place, kit):
    every = every_hostile(kit, hostile.KINDS)
    assert set(every) == set(hostile.KINDS)
    run(place, {name: words for commands in every.values() for name, words in commands.items()})


def test_hostile_cubes(place, traces, hostile_cubes):
    if not hostile_cubes:
        pytest.skip("h5py is not installed")
    check(place, {name: traces[name] for name in hostile_cubes})


def test_python_reads_no_description_either(place, kit):
    """Without the settings of the command line, which hold for the whole process."""
    code = """
import tessera_engine as te
for call in (
    lambda: te.open_scene({scene!r}),
    lambda: te.map({cog!r}, labels={labels!r}, out="map-in-python", field="crop"),
    lambda: te.map({cog!r}, labels={raster!r}, out="map-in-python"),
):
    try:
        call()
    except te.InputError as error:
        print(error)
"""
    places = {name: str(kit.folder / f"python-{name}") for name in ("scene", "labels", "raster")}
    shutil.copytree(kit.scene, places["scene"])
    Path(places["scene"], "roi.tiff").write_text(hostile.vrt(f"/vsicurl/{hostile.URL}/roi.tif"))
    Path(places["labels"]).write_text(hostile.geojson(f'"crs":{hostile.LINK},'))
    places["raster"] += ".tif"
    Path(places["raster"]).write_text(hostile.vrt(f"/vsicurl/{hostile.URL}/labels.tif"))
    trace = run(place, {"python": ["-c", code.format(cog=str(kit.outputs["cog"]), **places)]})["python"]
    assert trace.code == 0, trace.err
    assert [line.count("gdal_translate") for line in trace.out.splitlines()] == [1, 0, 1]
    assert "EPSG:4326" in trace.out.splitlines()[1]


SERVED = """
import http.client, signal, sys, threading
from tessera_engine import cli
from tessera_engine.view.server import Server

def ask(address):
    host, _, entrance = address.removeprefix("http://").partition("/")
    headers = {{}}
    for path, body in (("/" + entrance, None), ("/api/info", None), ("/api/tile/pca/0/0/0", None),
                       ("/api/similar", '{{"positives": [[5, 5]]}}'), ("/api/pixel?col=5&row=5", None)):
        connection = http.client.HTTPConnection(host)
        connection.request("POST" if body else "GET", path, body, headers)
        answer = connection.getresponse()
        print("answered", answer.status, len(answer.read()))
        headers = headers or {{"Cookie": answer.headers["set-cookie"].split(";")[0]}}
        connection.close()
    signal.raise_signal(signal.SIGINT)

def start_and_ask(server):
    start(server)
    threading.Thread(target=ask, args=[server.address], daemon=True).start()

start, Server.start = Server.start, start_and_ask
sys.argv = ["tessera-engine", "view", {output!r}, "--no-browser"]
cli.main()
"""
"""Serves the page, asks for what a browser would, and sends the signal that ends it."""


def test_the_page_is_served_to_this_machine_only(place, kit):
    code = SERVED.format(output=str(kit.outputs["cog"]))
    folders = {"HOME": str(place / "home"), "TMPDIR": str(place / "tmp")}
    trace = traced({"it": ["-c", code]}, place / "work", loopback=True, **folders)["it"]
    assert trace.code == 0, trace.err
    answers = [line.split() for line in trace.out.splitlines() if line.startswith("answered")]
    assert [status for _, status, _ in answers] == ["303", "200", "200", "200", "200"], trace.err
    assert len([call for call in trace.sockets if call.startswith("bind(")]) == 1
    elsewhere = [
        call for call in trace.sockets if not call.startswith("socket(AF_INET,") and "127.0.0.1" not in call
    ]
    assert elsewhere == []
    written = [path for path in trace.written if not path.startswith((str(place), str(ROOT / "kernels")))]
    assert written == []
    assert [path for path in trace.read if Path(path).is_relative_to(place / "outside")] == []


CONNECTS = "import socket; socket.socket(socket.AF_INET).connect_ex(('127.0.0.1', 9))"


@pytest.mark.parametrize(
    ("code", "where"),
    [
        (CONNECTS, "sockets"),
        ("open({outside!r}).close()", "read"),
        ("open({link!r}).close()", "read"),
        ("open({home!r} + '/new', 'w').close()", "written"),
        ("import os; os.mkdir({home!r} + '/folder')", "written"),
    ],
)
def test_a_violation_is_seen(place, kit, code, where):
    """The checks can fail."""
    link = place / "work" / "link"
    if not link.is_symlink():
        link.symlink_to(place / "outside" / "secret.bin")
    made = code.format(
        outside=str(place / "outside" / "secret.bin"), link=str(link), home=str(place / "home")
    )
    trace = traced({"it": ["-c", made]}, place / "work")["it"]
    assert trace.code == 0, trace.err
    found = " ".join(getattr(trace, where))
    assert {"sockets": "AF_INET", "read": str(place / "outside"), "written": str(place / "home")}[
        where
    ] in found
    with pytest.raises(AssertionError):
        run(place, {"it": ["-c", made.replace("/new", "/new2").replace("/folder", "/folder2")]})
