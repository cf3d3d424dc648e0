"""The engine from Python: names, arguments, progress, warnings, types."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import warnings

import numpy as np
import pytest
from fake_backend import FakeBackend
from made_up import FakeReader, made_up_arrays, write_tile
from places import ROOT
from typer.main import get_command

import tessera_engine as te
from tessera_engine import api
from tessera_engine.cli import app
from tessera_engine.running import loading, pipeline
from tessera_engine.running import options as run_options
from tessera_engine.tokens import pack

ARRAYS = made_up_arrays(12, 10)


@pytest.fixture
def scene(tmp_path):
    return write_tile(tmp_path / "scene", ARRAYS)


@pytest.fixture(scope="module")
def model():
    return loading.Model(FakeBackend(), threads=1)


def test_every_name_is_there_and_completes():
    assert set(te.__all__) == set(te._MODULES) == set(dir(te)) - {"__version__"}
    for name in te.__all__:
        assert getattr(te, name).__name__ == name
    with pytest.raises(AttributeError, match="embedd"):
        te.embedd  # noqa: B018


def test_a_function_is_not_hidden_by_the_folder_of_its_name():
    importlib.import_module("tessera_engine.verification.verify")
    assert callable(te.verify)


def test_the_import_loads_nothing_heavy():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, tessera_engine; print(*sys.modules)"],
        capture_output=True, text=True, check=True, cwd=ROOT / "engine",
    ).stdout.split()  # fmt: skip
    assert not {"numpy", "numba", "rasterio", "onnxruntime", "rich"} & set(loaded)


@pytest.mark.parametrize(
    ("arguments", "options", "facts"),
    [
        ((None,), {}, ["scene=None", "open_scene"]),
        (("scene", 3), {}, ["model=3", "load_model"]),
        (("scene", "demo", 3), {}, ["out=3"]),
        (("scene",), {"formt": "npy"}, ["'formt'", "'format'"]),
        (("scene",), {"quality": 3}, ["'quality'", "quicklook", "strict"]),
        (("scene",), {"threads": 2}, ["'threads'", "load_model(threads=...)"]),
        (("scene",), {"like": "x.tif"}, ["'like'", "open_scene(like=...)"]),
        (("scene",), {"dim": "64"}, ["dim='64'", "whole number"]),
        (("scene",), {"dim": True}, ["dim=True"]),
        (("scene",), {"window": (1, 2, 3)}, ["window=[1, 2, 3]", "col, row, width, height"]),
        (("scene",), {"window": (1, 2, 3.5, 4)}, ["window=[1, 2, 3.5, 4]"]),
        (("scene",), {"window": 3}, ["window=3"]),
        (("scene",), {"bbox": ("a", 1, 2, 3)}, ["bbox=['a', 1, 2, 3]"]),
        (("scene",), {"bbox": (1, 2, 3, 4), "window": (0, 0, 1, 1)}, ["window=", "bbox="]),
        (("scene",), {"format": "zar"}, ["format=zar", "'zarr'"]),
        (("scene",), {"format": 3}, ["format=3", "cog, npy"]),
        (("scene",), {"stored_as": "int4"}, ["stored_as=int4", "int8, float32"]),
        (("scene",), {"quicklook": "pac"}, ["quicklook=pac", "pca"]),
        (("scene",), {"memory": 2.5}, ["memory=2.5", "2GB"]),
        (("scene",), {"memory": "2"}, ["memory='2'", "2 bytes", "2GB"]),
        (("scene",), {"overwrite": 1}, ["overwrite=1", "True or False"]),
        (("scene",), {"append": True, "overwrite": True}, ["append=True", "overwrite=True"]),
    ],
)
def test_a_wrong_argument_is_one_line_before_anything_is_opened(tmp_path, arguments, options, facts):
    with pytest.raises(te.InputError) as refused:
        te.embed(*arguments, **options)
    assert "\n" not in str(refused.value)
    for fact in facts:
        assert fact in str(refused.value)


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"dim": 17}, "dim=17"),
        ({"format": "zarr"}, "zarr"),
        ({"window": (8, 0, 5, 5)}, "(8, 0, 5, 5)"),
        ({"bbox": (5, 40, 6, 41)}, "bbox"),
        ({"memory": "10MB"}, "memory=10MB"),
        ({"out": "taken"}, "taken exists already"),
    ],
)
def test_what_a_scene_or_model_refuses_comes_before_the_model_is_loaded(
    scene, tmp_path, monkeypatch, options, fact
):
    def load(*arguments, **options):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(api, "load", load)
    (tmp_path / "taken").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(te.InputError) as refused:
        te.embed(scene, **options)
    assert fact in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ({"name_or_path": 3}, "name_or_path=3"),
        ({"threads": "two"}, "threads='two'"),
        ({"threads": 9999}, "threads=9999"),
        ({"precision": 8}, "precision=8"),
        ({"precision": "int4"}, "int4"),
        ({"backend": None}, "backend=None"),
        ({"backend": "abacus"}, "abacus"),
        ({"device": "tpu"}, "tpu"),
    ],
)
def test_load_model_names_a_wrong_argument(arguments, fact):
    with pytest.raises(te.InputError) as refused:
        te.load_model(**arguments)
    assert fact in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ((3,), "embeddings=3"),
        (("nowhere", 3), "out=3"),
        (("nowhere", "out", "jpeg"), "format=jpeg"),
        (("nowhere", "out", "zarr"), "nowhere"),
    ],
)
def test_convert_names_a_wrong_argument(tmp_path, monkeypatch, arguments, fact):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(te.InputError, match=fact):
        te.convert(*arguments)


def test_help_and_editors_see_every_option():
    listed, options = inspect.signature(te.embed).parameters, run_options.EmbedOptions.__annotations__
    assert set(options) == set(run_options.RunOptions.__dataclass_fields__) < set(listed)
    for name in listed:
        assert f"    {name}: " in te.embed.__doc__
    params = {parameter.name.removeprefix("no_") for parameter in get_command(app).commands["embed"].params}
    assert set(options) < params


def test_a_scene_is_sampled_once(tmp_path, model):
    class Counting(FakeReader):
        samples = 0

        def sample(self, region, max_pixels):
            self.samples += 1
            return super().sample(region, max_pixels)

    prepared = []
    backend = FakeBackend()
    backend.follows_lengths = True
    backend.prepare = prepared.append
    reader = Counting(ARRAYS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        te.embed(te.Scene("x", "x", reader), loading.Model(backend, 1), tmp_path / "out", format="npy")
    assert (reader.samples, len(prepared)) == (1, 1)


def test_findings_are_warnings_unless_they_are_announced(scene, tmp_path, model):
    with pytest.warns(te.SceneWarning) as found:
        done = te.embed(scene, model, tmp_path / "a", format="npy")
    assert len(found) == len(done.findings) > 0
    assert found[0].filename == __file__
    lines = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        te.embed(scene, model, tmp_path / "b", format="npy", announce=lines.append)
    assert lines == [f"warning: {finding.line}" for finding in done.findings]
    with pytest.raises(te.InputError, match="strict"):
        te.embed(scene, model, tmp_path / "c", format="npy", strict=True)


def test_progress_is_silent_shown_or_called(scene, tmp_path, model, capfd, monkeypatch):
    monkeypatch.setattr("tessera_engine.progress.LINE_SECONDS", 0.0)

    def embed(name, progress):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            te.embed(scene, model, tmp_path / name, format="npy", progress=progress)
        return capfd.readouterr().err

    assert embed("a", None) == embed("b", False) == ""  # no terminal here
    assert "embedding scene: 120 of 120 px" in embed("c", True)
    told = []
    assert embed("d", lambda done, total: told.append((done, total))) == ""
    assert (told[0], told[-1]) == ((0, 120), (120, 120))


def test_embed_accepts_names_and_paths(scene, tmp_path):
    done = te.embed(str(scene), "demo", out=str(tmp_path / "out"), format="npy", dim=16, announce=print)
    assert np.load(tmp_path / "out" / "scene.npy").shape == (12, 10, 16)
    copy = te.convert(done.out, tmp_path / "copy", "cog", dim=16, progress=False)
    assert te.open_embeddings(copy).dim == 16


def test_pieces_of_a_window_give_the_same_bits(scene):
    model = te.load_model("demo", "int8")
    reader = te.open_scene(scene).reader
    tokens = pack(reader.read(reader.grid.window), model.facts).tokens
    whole, shares = model.backend.run(tokens), []
    for size in (1, 7, 50):
        model.backend.piece_pixels = size
        started = pipeline._start_network(model.backend, tokens, None, shares.append)
        np.testing.assert_array_equal(started.embedding(), whole)
    assert len(shares) == sum(-(-len(tokens) // size) - 1 for size in (1, 7, 50))
    assert all(0 < share < 1 for share in shares)


def test_a_model_fits_a_line_and_a_table(model):
    assert repr(model).startswith("<Model fake fp32 (v2)")
    assert "\n" not in repr(model)
    assert "<td>fake fp32 (v2)</td>" in model._repr_html_()


SCRIPT = """
from pathlib import Path

import tessera_engine as te

model: te.Model = te.load_model("demo", precision="int8")
scene: te.Scene = te.open_scene("scene")
done: te.Embedded = te.embed(scene, model, out="out", format="zarr", dim=64, memory="2GB", progress=False)
copy: Path = te.convert(done.out, "copy", "npy", overwrite=True)
map: te.Map = te.map(copy, "labels.gpkg", "class", out="map", overwrite=True)
changed: te.Changed = te.change("one", "other", top=0.1)
pixels: int = te.open_embeddings(copy, dim=16).grid.width + done.with_data
"""


@pytest.mark.slow
def test_a_users_script_passes_mypy_strict(tmp_path):
    (tmp_path / "good.py").write_text(SCRIPT)
    (tmp_path / "bad.py").write_text(
        'import tessera_engine as te\n\nte.embed("scene", formt="zarr", dim="64")\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "good.py", "bad.py"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert not [line for line in errors if line.startswith("good.py")], done.stdout
    assert any("formt" in line for line in errors)
    assert any('"str"' in line and "dim" in line for line in errors)
