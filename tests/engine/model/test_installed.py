"""Finding models: names, paths, mistyped ones, and folders with a model's name."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

from tessera_engine.errors import InputError, ModelError
from tessera_engine.model import installed
from tessera_engine.model.installed import find_model, is_model_name, open_model, packaged_folder, precisions
from tessera_engine.model.installing import target_file
from tessera_engine.simulate import simulate


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("TESSERA_ENGINE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_a_name_or_a_path_is_found():
    demo = packaged_folder() / "demo.int8.onnx"
    assert find_model("demo", "int8") == find_model(str(demo)) == find_model(demo) == demo
    assert precisions("demo") == ("fp32", "int8")
    with pytest.raises(ModelError, match="expected the name of a model"):
        precisions(str(find_model("demo")))
    assert open_model(demo).facts.precision == "int8"


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("nano", ["'nano'", "model fetch nano"]),
        ("Demo", ["'Demo'", "did you mean 'demo'?"]),
        ("Nano", ["'Nano'", "did you mean 'nano'?", "model fetch nano"]),
        ("demo-", ["did you mean 'demo'?"]),
        ("student_nano.pt", ["model import student_nano.pt"]),
        ("abacus", ["'abacus'", "on this machine: demo"]),
        ("./demo.onnx", ["no model file demo.onnx"]),
        ("nowhere/demo.onnx", ["no model file nowhere/demo.onnx"]),
    ],
)
def test_an_unknown_model_gets_a_hint(name, facts):
    with pytest.raises(ModelError) as error:
        find_model(name)
    assert [fact for fact in facts if fact not in str(error.value)] == []
    assert "\n" not in str(error.value)


def test_a_mistyped_path_names_the_file_beside_it(tmp_path):
    (tmp_path / "my-model.onnx").touch()
    with pytest.raises(ModelError, match=r"mymodel\.onnx; did you mean my-model\.onnx\?"):
        find_model("mymodel.onnx")
    with pytest.raises(ModelError, match=f"did you mean {tmp_path / 'my-model.onnx'}"):
        find_model(Path(tmp_path / "mymodel.onnx"))


def test_a_precision_that_a_model_lacks(home):
    with pytest.raises(ModelError, match=r"'demo' .*fp16.*fp32, int8"):
        find_model("demo", "fp16")
    with pytest.raises(InputError, match="precision=fp8"):
        find_model("demo", "fp8")


def test_imported_models_are_found_beside_the_packages_own(home):
    (home / "models").mkdir(parents=True)
    (home / "models" / "mine.fp32.onnx").write_bytes((packaged_folder() / "demo.fp32.onnx").read_bytes())
    (home / "models" / "demo.fp32.onnx").write_bytes(b"never takes the place of the package's")
    assert find_model("mine").parent == home / "models"
    assert find_model("demo").parent == packaged_folder()
    assert is_model_name("mine")
    assert not is_model_name("./mine")
    assert not is_model_name("mine.fp32.onnx")


def test_a_folder_does_not_hide_the_model_of_its_name(run, tmp_path):
    """`make demo` writes a folder demo/. `demo` is the model everywhere, ./demo and demo/ are the folder."""
    simulate(tmp_path / "demo", (12, 10), seed=1)
    for command in (("info", "demo"), ("verify", "demo", "--precision", "int8", "--pixels", "16")):
        code, out, err = run(*command)
        assert code == 0
        assert "model" in out.split()
        assert "./demo" in err
    assert run("embed", "demo", "--model", "demo", "-o", "out", "-q")[0] == 0  # SCENE can only be the folder
    for folder in ("./demo", "demo/"):
        code, out, err = run("info", folder)
        assert code == 0
        assert "12 x 10" in out
    code, _, err = run("verify", "./demo")
    assert code == 2
    assert "item.json" in err


def test_a_mistyped_folder_is_named(run, tmp_path):
    (tmp_path / "flanders-2018").mkdir()
    for command in ("info", "verify"):
        code, _, err = run(command, "flanders2018")
        assert (code, "did you mean flanders-2018?" in err) == (2, True)


def test_a_checksum_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    model = tmp_path / "x.int8.onnx"
    model.write_bytes(b"first")
    installed.record_checksum(model)
    before = installed.checksum_file(model).read_bytes()
    assert before.startswith(hashlib.sha256(b"first").hexdigest().encode())
    model.write_bytes(b"second")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            installed.record_checksum(model)
    assert installed.checksum_file(model).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.int8.onnx", "x.int8.onnx.sha256"]


@pytest.mark.parametrize("name", ["aux", "Com1", "nano.", "nul.v2"])
def test_a_model_gets_only_a_name_that_its_file_can_have_on_every_system(name, home):
    with pytest.raises(InputError, match=rf"name={re.escape(name)} .*Windows.*name="):
        target_file(name, "fp32")
