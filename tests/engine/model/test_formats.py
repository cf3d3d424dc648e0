"""Model files of every format version are read, and run as they always did.

`tests/data/model-format-1` has a small int8 file of version 1, and what the engine that wrote it embedded by it with
the instruction set `plain`, whose results don't depend on the CPU.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from random_networks import made_up_tokens

from tessera_engine.backends.fused import ISA_VARIABLE, FusedBackend
from tessera_engine.backends.onnxruntime import BACKEND as ONNX_RUNTIME
from tessera_engine.errors import ModelError
from tessera_engine.model.file import read_arrays, read_model_file
from tessera_engine.model.installed import open_model
from tessera_kernels.encoder.isa import available

OLD = Path(__file__).parents[2] / "data" / "model-format-1"


def tokens():
    packed = made_up_tokens("v2", 12)
    for modality in (packed.s2, packed.s1):
        modality.multiplicity[:] = 1  # the logarithm of another number may differ by a bit
    return packed


@pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="emitted code can't run as plain Python"
)
def test_an_old_file_gives_the_same_bits(monkeypatch):
    model, wanted = read_model_file(OLD / "tiny.int8.onnx"), np.load(OLD / "tiny.int8.embeddings.npy")
    assert model.facts.format_version == 1
    monkeypatch.setenv(ISA_VARIABLE, "plain")
    np.testing.assert_array_equal(FusedBackend(model, threads=1).run(tokens()), wanted)
    monkeypatch.setenv(ISA_VARIABLE, available()[0])
    np.testing.assert_allclose(FusedBackend(model, threads=1).run(tokens()), wanted, atol=5e-3)
    by_runtime = ONNX_RUNTIME.load(model, 1, "cpu", print).run(tokens())
    np.testing.assert_allclose(by_runtime, wanted, atol=0.1)


def test_a_file_has_the_oldest_version_that_describes_it():
    assert open_model("demo", "fp32").facts.format_version == 1
    int8 = open_model("demo", "int8")
    assert int8.facts.format_version == 2
    codes = {name: values.dtype for name, values in read_arrays(int8).items() if ".int" in name}
    assert {name for name, dtype in codes.items() if dtype == np.int16} == {
        "fusion.0.weight.int16",
        "fusion.1.weight.int16",
    }


def test_weights_of_another_version_are_refused(tmp_path):
    for path, version in ((OLD / "tiny.int8.onnx", "2"), (open_model("demo", "int8").path, "1")):
        proto = onnx.load(path)
        (entry,) = (entry for entry in proto.metadata_props if entry.key == "tessera.format_version")
        entry.value = version
        (tmp_path / "other.onnx").write_bytes(proto.SerializeToString())
        with pytest.raises(ModelError, match=r"fusion\.[01]\.weight\.int"):
            read_model_file(tmp_path / "other.onnx")


def test_a_wide_code_out_of_range_is_refused(tmp_path):
    proto = onnx.load(open_model("demo", "int8").path)
    (tensor,) = (tensor for tensor in proto.graph.initializer if tensor.name == "fusion.0.weight.int16")
    tensor.raw_data = b"\x00\x80" + tensor.raw_data[2:]
    (tmp_path / "other.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="-32768"):
        read_model_file(tmp_path / "other.onnx")
