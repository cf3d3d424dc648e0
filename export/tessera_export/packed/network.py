"""The reference's weights in a form for packed tokens, see `tessera_export.packed.layouts`.

Matrices, biases and the encoder's activations are of the chosen dtype. PyTorch computes norms and sums of products in
float32 whatever that is; pooling and the MLP that fuses the branches are float32 throughout.

Shapes: P pixels, M tokens of all of them, D = d_model, H heads of h channels, filled up to hp.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tessera_export.packed.layer import Layer
from tessera_export.packed.layouts import Layout
from tessera_export.packed.recurrent import RecurrentPool, fixed
from tessera_export.packed.steps import Steps
from tessera_export.reference import Reference, ReferenceConfig

BANDS = 16
"""Inputs of the first matrix: products in float16 are fast where sizes are multiples of 8."""


class BranchTokens(NamedTuple):
    """What a branch takes.

    Attributes:
        values: (M, bands) float32.
        doy: (M,) int32 or int64.
        multiplicity: (M,) float32, above 0.
        layout: where the pixels lie.
        back: (P,) int64, where the pixels of the batch are in the layout's order; None: it has their order.
        steps: of v1's recurrence; None in v2.
    """

    values: Tensor
    doy: Tensor
    multiplicity: Tensor
    layout: Layout
    back: Tensor | None = None
    steps: Steps | None = None


class _Branch(nn.Module):
    """One modality: embed each token, encode, pool over time."""

    days: Tensor

    def __init__(self, backbone: Any, config: ReferenceConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        first, _, second = backbone.embedding
        self.first = fixed(F.pad(first.weight.detach(), (0, BANDS - first.weight.shape[1])), dtype)
        self.first_bias = fixed(first.bias, dtype)
        self.second, self.second_bias = fixed(second.weight, dtype), fixed(second.bias, dtype)
        self.register_buffer("days", backbone.day_of_year.to(dtype))
        layers = backbone.transformer_encoder
        self.layers = nn.ModuleList(
            Layer(layer, config, dtype) for layer in (layers if config.qk_norm else layers.layers)
        )
        if config.generation == "v2":
            # Its bias is the same for all tokens: no weight changes by it
            self.query = fixed(backbone.attn_pool.query.weight[0], torch.float32)
        else:
            self.recurrent = RecurrentPool(backbone.attn_pool, dtype)

    def forward(self, tokens: BranchTokens) -> Tensor:
        """(P, D) float32, in the batch's order."""
        log = tokens.multiplicity.log()
        high = log.to(self.dtype)
        extra = torch.stack((high, (log - high.float()).to(self.dtype)), 1)
        values = F.pad(tokens.values, (0, BANDS - tokens.values.shape[1])).to(self.dtype)
        x = F.linear(values, self.first, self.first_bias).relu_()
        x = F.linear(x, self.second, self.second_bias) + F.embedding(tokens.doy, self.days)
        for layer in self.layers:
            x = layer(x, extra, tokens.layout)
        if tokens.steps is not None:
            last: Tensor = self.recurrent(x, tokens.steps)
            return last[tokens.steps.back]
        x = x.float()
        pooled = tokens.layout.pool(x, x @ self.query + log)
        return pooled if tokens.back is None else pooled[tokens.back]


class PackedNetwork(nn.Module):
    """The network of any size and generation, on packed tokens."""

    def __init__(self, network: Reference, dtype: torch.dtype) -> None:
        """Args: the reference, and what to compute the encoders in."""
        super().__init__()
        config = network.config
        self.s2 = _Branch(network.s2_backbone, config, dtype)
        self.s1 = _Branch(network.s1_backbone, config, dtype)
        self.fusion, self.last_norm = network.dim_reducer, config.generation == "v2"

    def forward(self, s2: BranchTokens, s1: BranchTokens) -> Tensor:
        """(P, dims) float32."""
        embedding: Tensor = self.fusion(torch.cat((self.s2(s2), self.s1(s1)), 1))
        return F.layer_norm(embedding, embedding.shape[1:]) if self.last_norm else embedding
