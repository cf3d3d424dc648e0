"""A reference network as an int8 backend computes it: the same weights, with each tensor quantised by a scheme."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from tessera_engine.backends.rectangles import rectangle
from tessera_engine.model.file import INPUT_NAMES
from tessera_engine.tokens import PackedTokens
from tessera_export.reference import (
    Backbone,
    EncoderLayer,
    GruCell,
    QKNormEncoder,
    QKNormEncoderLayer,
    RecurrentPool,
    Reference,
)
from tessera_export.train.quantizers import Scheme


class QuantizedNetwork(nn.Module):
    """It shares the parameters of a reference, so that training it trains the reference.

    The first layer of a branch, norms, the pooling and all sums are float32, as in every backend. The scheme decides
    what else is float32. There is no dropout.
    """

    def __init__(self, network: Reference, scheme: Scheme) -> None:
        super().__init__()
        self.network = network
        self.scheme = scheme

    def forward(
        self,
        s2: Tensor,
        s2_doy: Tensor,
        s2_multiplicity: Tensor,
        s1: Tensor,
        s1_doy: Tensor,
        s1_multiplicity: Tensor,
    ) -> Tensor:
        """Embed a rectangle of tokens, with the arguments and result of `Reference.forward`."""
        network = self.network
        pooled = torch.cat(
            (
                self._branch("s2", network.s2_backbone, s2, s2_doy, s2_multiplicity),
                self._branch("s1", network.s1_backbone, s1, s1_doy, s1_multiplicity),
            ),
            dim=1,
        )  # (B, 2d)
        x = self._linear("fusion.0", network.dim_reducer[0], pooled)
        if network.config.generation != "v1.0":
            x = network.dim_reducer[1](x).relu()
            x = self._linear("fusion.1", network.dim_reducer[4], x, signed=False)
        return F.layer_norm(x, x.shape[1:]) if network.config.generation == "v2" else x

    def _product(self, name: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, self.scheme.weight(name, weight), self.scheme.bias(name, weight, bias))

    def _linear(self, name: str, layer: Any, x: Tensor, signed: bool = True) -> Tensor:
        return self._product(name, self.scheme.activation(name, x, signed), layer.weight, layer.bias)

    def _branch(
        self, name: str, backbone: Backbone, values: Tensor, doy: Tensor, multiplicity: Tensor
    ) -> Tensor:
        """One modality: values (B, T, C), doy (B, T), multiplicity (B, T) to (B, d)."""
        bias = multiplicity.log()  # log(0) = -inf: filling gets no weight
        hidden = backbone.embedding[0](values).relu()
        x = self._linear(f"{name}.embedding.1", backbone.embedding[2], hidden, signed=False)
        x = x + F.embedding(doy, backbone.day_of_year)  # (B, T, d)
        encoder = backbone.transformer_encoder
        layers: Any = encoder if isinstance(encoder, QKNormEncoder) else encoder.layers
        for index, layer in enumerate(layers):
            x = self._layer(f"{name}.layers.{index}", layer, x, bias)
        pool = backbone.attn_pool
        context = x
        if isinstance(pool, RecurrentPool):
            context = pool.layer_norm(self._states(f"{name}.gru", pool.temporal_context.gru_cell, x))
        weights = torch.softmax(pool.query(context).squeeze(2) + bias, dim=1)  # (B, T)
        return (weights[:, None, :] @ x).squeeze(1)

    def _layer(self, name: str, layer: EncoderLayer | QKNormEncoderLayer, x: Tensor, bias: Tensor) -> Tensor:
        """One encoder layer: x (B, T, d), bias (B, T) to (B, T, d)."""
        config = self.network.config
        heads = (*x.shape[:2], config.num_heads, config.head_dim)
        quantized = self.scheme.activation(f"{name}.qkv", x)
        if isinstance(layer, QKNormEncoderLayer):
            projections = (layer.q_proj, layer.k_proj, layer.v_proj)
            q, k, v = (
                self._product(f"{name}.qkv", quantized, part.weight, part.bias).view(heads)
                for part in projections
            )
            q, k, out = layer.q_norm(q), layer.k_norm(k), layer.out_proj
        else:
            attention = layer.self_attn
            qkv = self._product(
                f"{name}.qkv", quantized, attention.in_proj_weight, attention.in_proj_bias
            )  # (B, T, 3d)
            q, k, v = (part.view(heads) for part in qkv.chunk(3, dim=2))
            out = attention.out_proj
        x = layer.norm1(x + self._linear(f"{name}.out", out, self.scheme.attend(name, q, k, v, bias)))
        hidden = self._linear(f"{name}.up", layer.linear1, x).relu()
        result: Tensor = layer.norm2(x + self._linear(f"{name}.down", layer.linear2, hidden, signed=False))
        return result

    def _states(self, name: str, cell: GruCell, x: Tensor) -> Tensor:
        """All states of the recurrence of v1, from tokens x (B, T, d) to (B, T, d); see `GruCell`."""
        quantize, product = self.scheme.activation, self._product
        inputs = quantize(f"{name}.input", x)
        from_r = product(f"{name}.input", inputs, cell.W_ir.weight, cell.b_r)
        from_z = product(f"{name}.input", inputs, cell.W_iz.weight, cell.b_z)
        from_n = product(f"{name}.input", inputs, cell.W_ih.weight, cell.b_h)
        of_r, of_z, of_n = (
            self.scheme.weight(f"{name}.hidden", layer.weight) for layer in (cell.W_hr, cell.W_hz, cell.W_hh)
        )
        h = torch.zeros_like(x[:, 0])  # (B, d)
        states = []
        for t in range(x.shape[1]):
            before = quantize(f"{name}.hidden", h)
            r = torch.sigmoid(from_r[:, t] + F.linear(before, of_r))
            z = torch.sigmoid(from_z[:, t] + F.linear(before, of_z))
            n = torch.tanh(from_n[:, t] + F.linear(quantize(f"{name}.hidden", r * h), of_n))
            h = (1 - z) * h + z * n
            states.append(h)
        return torch.stack(states, dim=1)


@torch.no_grad()
def watch(network: Reference, scheme: Scheme, tokens: PackedTokens, pixels: NDArray[np.int64]) -> None:
    """Show a scheme the tensors of some pixels, without any filling.

    Args:
        network: in eval mode.
        scheme: one that records what it sees.
        tokens: as the network takes them, see `tessera_engine.tokens.sequence`.
        pixels: (N,) their numbers.
    """
    watched = QuantizedNetwork(network, scheme)
    for pixel in pixels[:, None]:  # one by one: a rectangle of several has filling
        inputs = rectangle(tokens.s2, pixel, "s2", 1) | rectangle(tokens.s1, pixel, "s1", 1)
        watched(*(torch.from_numpy(inputs[name]) for name in INPUT_NAMES))
