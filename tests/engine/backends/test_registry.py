"""A backend is added by one module and one line, and everything that lists backends knows it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from made_up import made_up_arrays, write_tile

import tessera_engine as te
from tessera_engine.backends.choosing import DEVICES, choose
from tessera_engine.backends.registry import BACKENDS, backend_names, backend_record
from tessera_engine.errors import InputError
from tessera_engine.model.facts import PRECISIONS


@pytest.fixture
def line(monkeypatch):
    """One line in the registry."""
    monkeypatch.setitem(BACKENDS, "fake", "added_backend")


@pytest.fixture
def entry_point(monkeypatch, tmp_path):
    """An installed package with an entry point."""
    package = tmp_path / "site" / "added-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[tessera_engine.backends]\nfake = added_backend\n")
    monkeypatch.syspath_prepend(str(package.parent))


@pytest.mark.parametrize("added", ["line", "entry_point"])
def test_an_added_backend_is_chosen_by_its_name(added, request, run, tmp_path):
    with pytest.raises(InputError, match="backend=fake"):
        te.load_model(backend="fake")
    request.getfixturevalue(added)
    model = te.load_model(backend="fake")
    assert model.backend.description == "fake 1.0 (paper)"
    write_tile(tmp_path / "scene", made_up_arrays())
    code, out, err = run("embed", "scene", "--backend", "fake", "--format", "npy", "-o", "out")
    assert (code, out.strip()) == (0, "out")
    assert "fake 1.0 (paper)" in err
    values = np.load(tmp_path / "out" / "scene.npy")
    te.embed("scene", model, "again", format="npy")
    np.testing.assert_array_equal(np.load(tmp_path / "again" / "scene.npy"), values)
    assert np.nanmin(values) >= 2
    assert (values[..., :1] == values)[np.isfinite(values)].all()


def test_an_added_backend_is_listed_and_its_limits_are_respected(line, run, tmp_path):
    assert "fake" in backend_names()
    code, out, _ = run("doctor", "--json")
    assert code == 0
    assert json.loads(out)["packages"]["fake"] == "1.0"
    write_tile(tmp_path / "scene", made_up_arrays())
    for options in (("--int8",), ("--device", "cuda")):
        code, _, err = run("embed", "scene", "--backend", "fake", *options)
        assert (code, "--backend fake" in err) == (2, True)
    for precision, device, fact in (("int8", "auto", "int8"), ("fp32", "cuda", "device=cuda")):
        with pytest.raises(InputError, match=f"backend=fake .*{fact}"):
            choose("fake", device, precision)


def test_the_help_names_the_backends():
    out = subprocess.check_output([sys.executable, "-m", "tessera_engine", "embed", "--help"], text=True)
    assert all(name in out for name in backend_names())


@pytest.mark.parametrize("name", ["fused", "cuda", "onnxruntime", "openvino", "tensorrt", "torch"])
def test_records_say_what_can_be_run(name):
    record = backend_record(name)
    assert record.name == name
    assert set(record.runs) <= set(DEVICES[1:])
    assert all(set(precisions) <= set(PRECISIONS) for precisions in record.runs.values())
    for device in record.runs:
        part = record.find(device)
        assert part.version or part.missing


def test_records_are_read_without_the_libraries():
    """Also on a machine without PyTorch and OpenVINO, and fast: PyTorch takes seconds to import."""
    code = (
        "import sys\n"
        "sys.modules['openvino'] = None\n"
        "from tessera_engine.backends.registry import backend_names, backend_record\n"
        "[backend_record(name) for name in backend_names()]\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.check_call([sys.executable, "-c", code])


@pytest.mark.parametrize(
    ("parameters", "facts"),
    [
        ({"name_or_path": 3}, ["name_or_path=3"]),
        ({"name_or_path": None}, ["name_or_path=None"]),
        ({"precision": "int4"}, ["precision=int4", "fp32, int8, fp16, qdq"]),
        ({"precision": 8}, ["precision=8", "fp32, int8, fp16, qdq"]),
        ({"backend": "gpu"}, ["backend=gpu", "auto, fused, cuda, onnxruntime, openvino, tensorrt, torch"]),
        ({"backend": None}, ["backend=None"]),
        ({"backend": ["fused"]}, ["backend=['fused']"]),
        ({"threads": "two"}, ["threads='two'", "whole number"]),
        ({"threads": 1.5}, ["threads=1.5", "whole number"]),
        ({"threads": 0}, ["threads=0"]),
        ({"device": "gpu"}, ["device=gpu", "auto, cpu, cuda"]),
        ({"device": 0}, ["device=0"]),
    ],
)
def test_wrong_parameters_get_one_line_before_a_model_is_read(parameters, facts, tmp_path):
    """The model doesn't exist, and nobody gets as far as that."""
    with pytest.raises(InputError) as error:
        te.load_model(**({"name_or_path": tmp_path / "nowhere.onnx"} | parameters))
    assert [fact for fact in facts if fact not in str(error.value)] == []
    assert "\n" not in str(error.value)
    assert "nowhere" not in str(error.value)
