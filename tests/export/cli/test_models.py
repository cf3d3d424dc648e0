"""The commands that make model files, as users meet them."""

from __future__ import annotations

import hashlib
import shutil
import sys
from dataclasses import replace

import pytest
from model_server import proper, ranges, served

from tessera_engine.errors import ModelError
from tessera_engine.files.user_folders import HOME_VARIABLE
from tessera_engine.model import installed, published


@pytest.fixture
def server(monkeypatch):
    with served(monkeypatch) as running:
        yield running


@pytest.fixture
def nano(monkeypatch, tmp_path, request):
    """A made-up checkpoint in the place of the published nano, and an empty home."""
    import conformance

    file = conformance.checkpoint("tiny")
    content = file.read_bytes()
    entry = replace(
        published.PUBLISHED["nano"], bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    monkeypatch.setitem(published.PUBLISHED, "nano", entry)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return file


def test_fetch_makes_models_that_embed_finds(server, nano, run, tmp_path):
    server.content = nano.read_bytes()
    server.acts = [lambda handler: proper(handler, until=20_000)]
    code, out, _ = run("model", "fetch", "nano", "--from", server.address, "-q")
    assert code == 0
    models = tmp_path / "home" / "models"
    assert out.split() == [str(models / "nano.fp32.onnx"), str(models / "nano.int8.onnx")]
    assert server.requests[0][0] == f"/{'/'.join(published.PUBLISHED['nano'].url().split('/')[3:])}"
    assert ranges(server) == [None, "bytes=20000-"]
    opened = installed.open_model("nano", "int8")
    assert opened.facts.card == "Published TESSERA v2 student nano, CC0."
    # A second time, nothing is fetched again
    code, _, err = run("model", "fetch", "nano", "--from", server.address, "-q")
    assert code == 2
    assert "nano.fp32.onnx" in err
    assert "--overwrite" in err
    kept = published.obtain(published.published("nano"), server.address)
    assert kept.read_bytes() == nano.read_bytes()
    assert len(server.requests) == 2
    # A flipped bit in a weight is a model like any other, but for its sha256
    content = bytearray((models / "nano.fp32.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (models / "nano.fp32.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"nano.fp32.onnx .* sha256 .* overwrite=True"):
        installed.open_model("nano")
    installed.checksum_file(models / "nano.fp32.onnx").write_text("")
    with pytest.raises(ModelError, match=r"nano.fp32.onnx.sha256 has nothing"):
        installed.open_model("nano")


def test_fetch_from_a_stick(nano, run, tmp_path):
    stick = tmp_path / "stick"
    stick.mkdir()
    code, _, err = run("model", "fetch", "nano", "--from", stick, "-q")
    assert (code, "no file" in err) == (2, True)
    shutil.copy(nano, stick / "student_nano.pt")
    assert run("model", "fetch", "nano", "--from", stick, "-q")[0] == 0
    entry = published.published("nano")
    assert published.obtain(entry, str(stick / "student_nano.pt")) == stick / "student_nano.pt"
    damaged = bytearray(nano.read_bytes())
    damaged[5000] ^= 1
    (stick / "student_nano.pt").write_bytes(damaged)
    code, _, err = run("model", "fetch", "nano", "--from", stick, "-q", "--overwrite")
    assert code == 2
    assert "is not the published checkpoint nano" in err


def test_fetch_takes_model_files_of_the_checkpoint(nano, run, monkeypatch, tmp_path):
    """PyTorch is not needed for these: they were made on another machine."""
    assert run("model", "fetch", "nano", "--from", nano, "-q")[0] == 0
    shutil.copytree(tmp_path / "home" / "models", tmp_path / "stick")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "field"))
    monkeypatch.setitem(sys.modules, "torch", None)
    code, out, _ = run("model", "fetch", "nano", "--from", tmp_path / "stick", "-q")
    models = tmp_path / "field" / "models"
    assert (code, out.split()) == (0, [str(models / "nano.fp32.onnx"), str(models / "nano.int8.onnx")])
    code, _, err = run("model", "fetch", "small", "--from", tmp_path / "stick" / "nano.int8.onnx")
    assert (code, "small" in err) == (2, True)


def test_fetch_of_an_unknown_name_says_which_there_are(run):
    code, _, err = run("model", "fetch", "giant")
    assert code == 2
    assert "'giant'" in err
    assert "nano, small, medium, large" in err
    code, _, err = run("model", "fetch", "Nano")
    assert (code, "did you mean 'nano'?" in err) == (2, True)
