"""The v1 networks of the reference against the published code's outputs, and against the wrong recurrence."""

from __future__ import annotations

from dataclasses import replace

import conformance
import numpy as np
import pytest
import torch

from tessera_export.checkpoint import load_checkpoint
from tessera_export.reference import SIZES, GruCell, Reference, ReferenceConfig, TemporalContext


def embed(model: Reference, inputs: conformance.Rectangles) -> np.ndarray:
    with torch.inference_mode():
        return model(*map(torch.from_numpy, inputs)).numpy()


def v1_1() -> Reference:
    return load_checkpoint(conformance.checkpoint("v1_1_tiny")).model


@pytest.mark.parametrize("flavour", conformance.V1_1_FLAVOURS)
@pytest.mark.parametrize("tile", conformance.V1_1_TILES)
def test_v1_1_gives_the_published_outputs(tile, flavour):
    embeddings = embed(v1_1(), conformance.v1_1_tile(tile, flavour).inputs)
    conformance.check_conformance("v1_1_tiny", f"{tile}_{flavour}", embeddings)


def test_v1_0_gives_the_published_outputs():
    model = load_checkpoint(conformance.checkpoint("v1_0_tiny")).model
    with np.load(conformance.FOLDER / "expected" / "v1_0_tiny" / "tokens.npz") as tokens:
        s2, s1, wanted = (tokens[name] for name in ("s2_tokens", "s1_tokens", "embedding"))
    parts = [(t[..., :-1], t[..., -1].astype(np.int32), np.ones(t.shape[:2], np.float32)) for t in (s2, s1)]
    found = embed(model, conformance.Rectangles(*parts[0], *parts[1]))
    assert np.abs(found - wanted).max() <= 2e-4
    assert conformance.cosine(found, wanted).min() >= 0.999999


class TorchContext(torch.nn.Module):
    """torch.nn.GRU with the published weights: the trap."""

    def __init__(self, cell: GruCell) -> None:
        super().__init__()
        d = len(cell.b_r)
        self.gru = torch.nn.GRU(d, d, batch_first=True)
        with torch.no_grad():
            self.gru.weight_ih_l0.copy_(torch.cat([cell.W_ir.weight, cell.W_iz.weight, cell.W_ih.weight]))
            self.gru.weight_hh_l0.copy_(torch.cat([cell.W_hr.weight, cell.W_hz.weight, cell.W_hh.weight]))
            self.gru.bias_ih_l0.copy_(torch.cat([cell.b_r, cell.b_z, cell.b_h]))
            self.gru.bias_hh_l0.zero_()

    def forward(self, x):
        return self.gru(x)[0]


class LateReset(TemporalContext):
    """The recurrence with the reset gate behind W_hh: half of the trap."""

    def __init__(self, cell: GruCell) -> None:
        super().__init__(len(cell.b_r))
        self.gru_cell = cell

    def forward(self, x):
        cell, h, states = self.gru_cell, torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            r = torch.sigmoid(cell.W_ir(x[:, t]) + cell.b_r + cell.W_hr(h))
            z = torch.sigmoid(cell.W_iz(x[:, t]) + cell.b_z + cell.W_hz(h))
            n = torch.tanh(cell.W_ih(x[:, t]) + cell.b_h + r * cell.W_hh(h))
            h = (1 - z) * h + z * n
            states.append(h)
        return torch.stack(states, dim=1)


@pytest.mark.parametrize("trap", [TorchContext, LateReset])
def test_another_recurrence_fails(trap):
    model = v1_1()
    for backbone in (model.s2_backbone, model.s1_backbone):
        backbone.attn_pool.temporal_context = trap(backbone.attn_pool.temporal_context.gru_cell)
    embeddings = embed(model, conformance.v1_1_tile("edge", "mpc").inputs)
    with pytest.raises(AssertionError):
        conformance.check_conformance("v1_1_tiny", "edge_mpc", embeddings)


@pytest.mark.parametrize(
    ("size", "dims", "parameters"), [("v1.1", 192, 57_708_738), ("v1.0", 128, 45_828_226)]
)
def test_published_sizes_have_the_published_number_of_parameters(size, dims, parameters):
    with torch.device("meta"):
        model = Reference(replace(SIZES[size], dims=dims))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_filling_behind_has_no_effect():
    rng = np.random.default_rng(0)
    short = [
        part
        for bands in (10, 2)
        for part in (
            rng.standard_normal((3, 8, bands), np.float32),
            rng.integers(1, 367, (3, 8), np.int32),
            np.ones((3, 8), np.float32),
        )
    ]
    longer = [
        np.concatenate([part, np.zeros_like(part[:, :5]) if i % 3 == 2 else part[:, :5]], axis=1)
        for i, part in enumerate(short)
    ]
    model = v1_1()
    np.testing.assert_allclose(
        embed(model, conformance.Rectangles(*short)), embed(model, conformance.Rectangles(*longer)), atol=1e-6
    )


def test_one_token_is_pooled_to_itself():
    pool = v1_1().s2_backbone.attn_pool
    x = torch.randn(4, 1, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pool(x, torch.zeros(4, 1)), x[:, 0])


@pytest.mark.parametrize("generation", ["v1.1", "v1.0"])
def test_gradients_reach_every_parameter(generation):
    torch.manual_seed(0)
    model = Reference(ReferenceConfig(4, 1, 2, 24, dims=16, prefixes=(16,), generation=generation))
    inputs = [torch.from_numpy(part[:16]) for part in conformance.v1_1_tile("edge", "mpc").inputs]
    ((model(*inputs) - torch.randn(16, 16)) ** 2).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if not name.endswith("query.bias"):  # moves every logit alike: softmax doesn't see it
            assert parameter.grad.abs().max() > 0, name
