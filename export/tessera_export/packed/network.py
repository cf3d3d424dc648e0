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

from tessera_export.packed.layouts import Layout, Steps
from tessera_export.reference import QKNormEncoderLayer, Reference, ReferenceConfig

BANDS = 16
"""Inputs of the first matrix: products in float16 are fast where sizes are multiples of 8."""

EXTRA = 2
"""Channels of a head for multiplicities."""


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


class _Layer(nn.Module):
    """An encoder layer."""

    def __init__(self, layer: Any, config: ReferenceConfig, dtype: torch.dtype) -> None:
        super().__init__()
        d, heads, h = config.d_model, config.num_heads, config.head_dim
        self.d, self.heads, self.h, self.padded = d, heads, h, _padded(h)
        free = self.padded - h
        if isinstance(layer, QKNormEncoderLayer):
            projections = (layer.q_proj, layer.k_proj, layer.v_proj)
            weight = torch.cat([each.weight for each in projections])
            bias = torch.cat([each.bias for each in projections])
            out = layer.out_proj
            norms = [layer.q_norm.weight * h**-0.5, layer.k_norm.weight]
        else:
            weight, bias = layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias
            out, norms = layer.self_attn.out_proj, []
        self.norms = nn.ParameterList(_fixed(each, torch.float32) for each in norms)
        scale = torch.ones(3, 1, 1, 1)
        if not self.norms:
            scale[0] = h**-0.5
        weight = F.pad(weight.detach().view(3, heads, h, d) * scale, (0, 0, 0, free))
        bias = F.pad(bias.detach().view(3, heads, h, 1) * scale, (0, 0, 0, free)).squeeze(3)
        bias[0, :, h : h + EXTRA] = 1  # the queries' two ones
        self.qkv, self.qkv_bias = _fixed(weight.reshape(-1, d), dtype), _fixed(bias.reshape(-1), dtype)
        self.out = _fixed(F.pad(out.weight.detach().view(d, heads, h), (0, free)).reshape(d, -1), dtype)
        self.out_bias = _fixed(out.bias, dtype)
        self.up, self.up_bias = (_fixed(each, dtype) for each in (layer.linear1.weight, layer.linear1.bias))
        self.down, self.down_bias = (
            _fixed(each, dtype) for each in (layer.linear2.weight, layer.linear2.bias)
        )
        self.norm1, self.norm1_bias = (_fixed(each, dtype) for each in (layer.norm1.weight, layer.norm1.bias))
        self.norm2, self.norm2_bias = (_fixed(each, dtype) for each in (layer.norm2.weight, layer.norm2.bias))

    def forward(self, x: Tensor, extra: Tensor, layout: Layout) -> Tensor:
        """From x (M, D) and extra (M, EXTRA), the keys' share of the multiplicity, to (M, D)."""
        h = self.h
        qkv = F.linear(x, self.qkv, self.qkv_bias).view(-1, 3, self.heads, self.padded)
        if self.norms:
            for part, weight in zip((qkv[:, 0], qkv[:, 1]), self.norms, strict=True):
                part[..., :h] = F.rms_norm(part[..., :h].float(), (h,), weight).to(x.dtype)
        qkv[:, 1, :, h : h + EXTRA] = extra[:, None]
        attended = layout.attend(*qkv.unbind(1)).flatten(1)
        x = x + F.linear(attended, self.out, self.out_bias)
        x = F.layer_norm(x, (self.d,), self.norm1, self.norm1_bias)
        hidden = F.linear(x, self.up, self.up_bias).relu_()
        x = x + F.linear(hidden, self.down, self.down_bias)
        return F.layer_norm(x, (self.d,), self.norm2, self.norm2_bias)


class _RecurrentPool(nn.Module):
    """v1's pooling: logits from a recurrence over each pixel's sequence, all pixels a step at a time."""

    def __init__(self, pool: Any, dtype: torch.dtype) -> None:
        super().__init__()
        cell, self.norm, self.query, self.dtype = (
            pool.temporal_context.gru_cell,
            pool.layer_norm,
            pool.query,
            dtype,
        )
        self.from_x = _fixed(torch.cat([cell.W_ir.weight, cell.W_iz.weight, cell.W_ih.weight]), dtype)
        self.bias = _fixed(torch.cat([cell.b_r, cell.b_z, cell.b_h]), torch.float32)
        self.gates = _fixed(torch.cat([cell.W_hr.weight, cell.W_hz.weight]), dtype)
        self.new = _fixed(cell.W_hh.weight, dtype)

    def forward(self, x: Tensor, steps: Steps) -> Tensor:
        """From x (M, D) to (P, D) float32, in the order of the steps."""
        d, dtype, active = x.shape[1], self.dtype, steps.active
        from_x = F.linear(x, self.from_x).float() + self.bias  # (M, 3D)
        h = x.new_zeros((active[0], d), dtype=torch.float32)
        logits = h.new_full((active[0], len(active)), -torch.inf)
        firsts = [0]
        for step, count in enumerate(active):
            first = firsts[-1]
            firsts.append(first + count)
            own = from_x[steps.tokens[first : first + count]]
            before = h[:count]
            gates = torch.sigmoid(own[:, : 2 * d] + F.linear(before.to(dtype), self.gates).float())
            r, z = gates[:, :d], gates[:, d:]
            n = torch.tanh(own[:, 2 * d :] + F.linear((r * before).to(dtype), self.new).float())
            h[:count] = torch.lerp(before, n, z)
            logits[:count, step] = self.query(self.norm(h[:count])).squeeze(1)
        weights = logits.softmax(1)
        pooled = torch.zeros_like(h)
        for step, count in enumerate(active):
            own = x[steps.tokens[firsts[step] : firsts[step] + count]].float()
            pooled[:count] += weights[:count, step, None] * own
        return pooled


class _Branch(nn.Module):
    """One modality: embed each token, encode, pool over time."""

    days: Tensor

    def __init__(self, backbone: Any, config: ReferenceConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        first, _, second = backbone.embedding
        self.first = _fixed(F.pad(first.weight.detach(), (0, BANDS - first.weight.shape[1])), dtype)
        self.first_bias = _fixed(first.bias, dtype)
        self.second, self.second_bias = _fixed(second.weight, dtype), _fixed(second.bias, dtype)
        self.register_buffer("days", backbone.day_of_year.to(dtype))
        layers = backbone.transformer_encoder
        self.layers = nn.ModuleList(
            _Layer(layer, config, dtype) for layer in (layers if config.qk_norm else layers.layers)
        )
        if config.generation == "v2":
            # Its bias is the same for all tokens: no weight changes by it
            self.query = _fixed(backbone.attn_pool.query.weight[0], torch.float32)
        else:
            self.recurrent = _RecurrentPool(backbone.attn_pool, dtype)

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


def _padded(head: int) -> int:
    """Channels of a head with those for multiplicities, a multiple of 8 as flash attention wants it."""
    return -(-(head + EXTRA) // 8) * 8


def _fixed(value: Tensor, dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(value.detach().to(dtype).clone(), requires_grad=False)
