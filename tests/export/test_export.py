"""Exporting and importing as the user does it: whole files or none, and errors of one line."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import conformance
import onnx
import pytest

import tessera_export
from tessera_engine.errors import CheckFailed, InputError, MissingExtra, ModelError
from tessera_engine.model import installing, published
from tessera_engine.model.file import read_model_file
from tessera_export import export as export_module
from tessera_export.export import CPU_PRECISIONS, Description, export_model, import_checkpoint

TINY = conformance.checkpoint("tiny")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TESSERA_ENGINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


@pytest.mark.parametrize("precision", CPU_PRECISIONS)
def test_export_describes_itself(tmp_path, precision):
    out = tmp_path / "model.onnx"
    report = export_model(TINY, out, precision)
    assert report.path == out
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    facts = read_model_file(out).facts
    assert report.facts == facts
    assert (facts.name, facts.size, facts.precision) == ("tiny", "custom", precision)
    assert (facts.latent_dim, facts.num_layers, facts.num_heads, facts.ffn_dim) == (8, 2, 4, 48)
    assert facts.prefixes == (16, 32, 64, 128)
    assert facts.s2_mean == conformance.MEAN_S2
    assert (facts.s1_descending_mean, facts.s1_descending_std) == conformance.DESCENDING
    assert facts.checkpoint_name == "tiny.pt"
    assert facts.checkpoint_sha256 == hashlib.sha256(TINY.read_bytes()).hexdigest()
    assert facts.licence == "unknown"
    assert "not a recognised published" in facts.card
    assert (facts.quantization == "none") == (precision == "fp32")


def test_export_is_reproducible(tmp_path):
    for name in ("a.onnx", "b.onnx"):
        export_model(TINY, tmp_path / name, "int8")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_name_licence_and_card_can_be_given(tmp_path):
    facts = export_model(
        TINY, tmp_path / "m.onnx", "fp32", description=Description("mine", "MIT", "Mine.")
    ).facts
    assert (facts.name, facts.licence, facts.card) == ("mine", "MIT", "Mine.")


def test_published_checkpoint_is_recognised(tmp_path, monkeypatch):
    nano = conformance.checkpoint("nano")
    sha256 = hashlib.sha256(nano.read_bytes()).hexdigest()
    monkeypatch.setitem(published.PUBLISHED, "nano", replace(published.PUBLISHED["nano"], sha256=sha256))
    facts = export_model(nano, tmp_path / "nano.onnx", "fp32").facts
    assert (facts.name, facts.size, facts.licence) == ("nano", "nano", "CC0-1.0")
    assert facts.card == "Published TESSERA v2 student nano, CC0."


def test_a_conformance_checkpoint_is_not_taken_for_a_published_one(tmp_path):
    facts = export_model(conformance.checkpoint("nano"), tmp_path / "nano.onnx", "int8").facts
    assert facts.name == "nano"
    assert "not a recognised published" in facts.card


def test_existing_file_is_kept_unless_told_otherwise(tmp_path):
    out = tmp_path / "model.onnx"
    out.write_text("precious")
    with pytest.raises(InputError, match=r"model.onnx .* overwrite=True"):
        export_model(TINY, out, "fp32")
    assert out.read_text() == "precious"
    export_model(TINY, out, "fp32", overwrite=True)
    assert onnx.load(out).graph.node


def test_failed_validation_leaves_nothing(tmp_path, monkeypatch):
    def fail(path: Path, model: object) -> None:
        assert path.stat().st_size > 1000
        raise CheckFailed("not as promised")

    monkeypatch.setattr(export_module, "validate", fail)
    with pytest.raises(CheckFailed):
        export_model(TINY, tmp_path / "model.onnx", "fp32")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"precision": "fp8"}, InputError, "precision=fp8 is unknown; choose one of fp32, fp16, int8"),
        ({"description": Description("../nano")}, InputError, "name=../nano"),
        ({"description": Description("-x")}, InputError, "name=-x"),
        ({"out": "missing/model.onnx"}, InputError, "missing"),
        ({"checkpoint": "missing.pt"}, ModelError, "missing.pt"),
    ],
)
def test_wrong_commands_say_what_is_wrong(tmp_path, arguments, error, said):
    arguments = {"checkpoint": TINY, "out": "model.onnx", "precision": "fp32"} | arguments
    arguments["out"] = tmp_path / arguments["out"]
    with pytest.raises(error) as raised:
        export_model(**arguments)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_import_makes_every_precision(home):
    reports = import_checkpoint(TINY, "mine")
    assert [report.path for report in reports] == [home / "mine.fp32.onnx", home / "mine.int8.onnx"]
    names = [
        name
        for precision in CPU_PRECISIONS
        for name in (f"mine.{precision}.onnx", f"mine.{precision}.onnx.sha256")
    ]
    assert sorted(home.iterdir()) == [home / name for name in names]
    assert [read_model_file(report.path).facts.name for report in reports] == ["mine", "mine"]


def test_import_replaces_only_when_told(home):
    import_checkpoint(TINY)
    with pytest.raises(InputError, match=r"tiny\.fp32\.onnx .* overwrite=True"):
        import_checkpoint(TINY)
    assert len(import_checkpoint(TINY, overwrite=True)) == len(CPU_PRECISIONS)


def test_import_never_hides_behind_a_packaged_model(home, tmp_path, monkeypatch):
    (tmp_path / "tiny.int8.onnx").touch()
    monkeypatch.setattr(installing, "packaged_folder", lambda: tmp_path)
    with pytest.raises(InputError, match=r"'tiny' .* name="):
        import_checkpoint(TINY)
    assert not home.exists()


def test_the_package_alone_does_not_import_torch():
    code = "import sys, tessera_export; sys.exit('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_the_package_names_what_users_import():
    from tessera_export.export import export_model, import_checkpoint
    from tessera_export.validate import Report

    assert dir(tessera_export) == tessera_export.__all__
    assert all(getattr(tessera_export, name).__doc__ for name in tessera_export.__all__)
    assert tessera_export.export_model is export_model
    assert tessera_export.import_checkpoint is import_checkpoint
    assert tessera_export.Report is Report
    with pytest.raises(AttributeError, match="nothing"):
        tessera_export.nothing  # noqa: B018


def test_without_pytorch_a_function_says_how_to_install_it(monkeypatch):
    def without_torch(module):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(tessera_export, "import_module", without_torch)
    with pytest.raises(MissingExtra, match=r"export_model .*torch.*\[export\]"):
        tessera_export.export_model  # noqa: B018
