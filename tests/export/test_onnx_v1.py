"""The exported graphs of v1 against the published outputs, and the recurrence against its traps."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import conformance
import numpy as np
import onnx
import pytest
import torch

from tessera_engine.errors import InputError, ModelError
from tessera_engine.model.file import read_model_file
from tessera_engine.model.statistics import FLAVOURS, flavour_of
from tessera_export.checkpoint import load_checkpoint
from tessera_export.export import export_model, import_checkpoint
from tessera_export.onnx_graph import load_network
from tessera_export.validate import validate

V1_1 = conformance.checkpoint("v1_1_tiny")
V1_0 = conformance.checkpoint("v1_0_tiny")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")

    @cache
    def export(checkpoint: Path, precision: str, statistics: str | None = None) -> Path:
        out = folder / f"{checkpoint.stem}.{statistics}.{precision}.onnx"
        export_model(checkpoint, out, precision, statistics=statistics)
        return out

    return export


@pytest.mark.parametrize("flavour", conformance.V1_1_FLAVOURS)
@pytest.mark.parametrize("tile", conformance.V1_1_TILES)
def test_v1_1_gives_the_published_outputs(exported, tile, flavour):
    embeddings = conformance.run_onnx(
        exported(V1_1, "fp32", flavour), conformance.v1_1_tile(tile, flavour).inputs
    )
    conformance.check_conformance("v1_1_tiny", f"{tile}_{flavour}", embeddings)


def test_v1_0_gives_the_published_outputs(exported):
    with np.load(conformance.FOLDER / "expected" / "v1_0_tiny" / "tokens.npz") as tokens:
        s2, s1, wanted = (tokens[name] for name in ("s2_tokens", "s1_tokens", "embedding"))
    parts = [(t[..., :-1], t[..., -1].astype(np.int32), np.ones(t.shape[:2], np.float32)) for t in (s2, s1)]
    found = conformance.run_onnx(exported(V1_0, "fp32"), conformance.Rectangles(*parts[0], *parts[1]))
    assert np.abs(found - wanted).max() <= 2e-4
    assert conformance.cosine(found, wanted).min() >= 0.999999


@pytest.mark.parametrize(
    "trap", [("linear_before_reset", 1), ("direction", "reverse")], ids=["torch's reset gate", "backwards"]
)
def test_a_graph_with_another_recurrence_is_found(exported, tmp_path, trap):
    proto = onnx.load(exported(V1_1, "fp32", "mpc"))
    for node in proto.graph.node:
        if node.op_type == "GRU":
            kept = [attribute for attribute in node.attribute if attribute.name != trap[0]]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute(*trap)])
    path = tmp_path / "trap.onnx"
    onnx.save(proto, path)
    embeddings = conformance.run_onnx(path, conformance.v1_1_tile("edge", "mpc").inputs)
    with pytest.raises(AssertionError):
        conformance.check_conformance("v1_1_tiny", "edge_mpc", embeddings)
    with pytest.raises(ModelError, match=r"form of GRU|GRU has the attribute"):
        validate(path, load_checkpoint(V1_1).model)


@pytest.mark.parametrize("checkpoint", [V1_1, V1_0])
def test_network_comes_back_from_its_model_file(exported, checkpoint):
    again = load_network(exported(checkpoint, "fp32", *["mpc"] * (checkpoint == V1_1)))
    original = load_checkpoint(checkpoint)
    assert again.config == original.config
    for key, value in original.model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


@pytest.mark.parametrize("flavour", conformance.V1_1_FLAVOURS)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_file_is_bound_to_its_statistics(exported, flavour, precision):
    facts = read_model_file(exported(V1_1, precision, flavour)).facts
    assert (facts.generation, facts.size, facts.dims, facts.prefixes) == ("v1.1", "custom", 128, (128,))
    assert facts.s2_mean == FLAVOURS["v1.1"][flavour].s2_mean
    assert flavour_of(facts) == flavour
    assert {"mpc": "Planetary Computer", "aws": "Earth Search"}[flavour] in facts.card
    assert ("recurrence" in facts.quantization) == (precision == "int8")


@pytest.mark.parametrize(
    ("checkpoint", "statistics", "said"),
    [
        (V1_1, None, "statistics=mpc (Planetary Computer) or statistics=aws (Earth Search and OPERA (AWS))"),
        (V1_1, "gee", "not 'gee'"),
        (V1_0, "mpc", "statistics=mpc"),
        (conformance.checkpoint("tiny"), "aws", "a v2 model, which has only one"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(tmp_path, checkpoint, statistics, said):
    with pytest.raises(InputError) as error:
        export_model(checkpoint, tmp_path / "model.onnx", "fp32", statistics=statistics)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_import_makes_every_precision(tmp_path, monkeypatch):
    monkeypatch.setenv("TESSERA_ENGINE_HOME", str(tmp_path))
    reports = import_checkpoint(V1_1, statistics="aws")
    assert [report.path.name for report in reports] == ["v1_1_tiny.fp32.onnx", "v1_1_tiny.int8.onnx"]
