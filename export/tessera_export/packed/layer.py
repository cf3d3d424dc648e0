"""An encoder layer on packed tokens, with the channels for multiplicities."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tessera_export.packed.layouts import Layout
from tessera_export.packed.recurrent import fixed
from tessera_export.reference import QKNormEncoderLayer, ReferenceConfig

EXTRA = 2
"""Channels of a head for multiplicities."""


class Layer(nn.Module):
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
        self.norms = nn.ParameterList(fixed(each, torch.float32) for each in norms)
        scale = torch.ones(3, 1, 1, 1)
        if not self.norms:
            scale[0] = h**-0.5
        weight = F.pad(weight.detach().view(3, heads, h, d) * scale, (0, 0, 0, free))
        bias = F.pad(bias.detach().view(3, heads, h, 1) * scale, (0, 0, 0, free)).squeeze(3)
        bias[0, :, h : h + EXTRA] = 1  # the queries' two ones
        self.qkv, self.qkv_bias = fixed(weight.reshape(-1, d), dtype), fixed(bias.reshape(-1), dtype)
        self.out = fixed(F.pad(out.weight.detach().view(d, heads, h), (0, free)).reshape(d, -1), dtype)
        self.out_bias = fixed(out.bias, dtype)
        self.up, self.up_bias = (fixed(each, dtype) for each in (layer.linear1.weight, layer.linear1.bias))
        self.down, self.down_bias = (
            fixed(each, dtype) for each in (layer.linear2.weight, layer.linear2.bias)
        )
        self.norm1, self.norm1_bias = (fixed(each, dtype) for each in (layer.norm1.weight, layer.norm1.bias))
        self.norm2, self.norm2_bias = (fixed(each, dtype) for each in (layer.norm2.weight, layer.norm2.bias))

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


def _padded(head: int) -> int:
    """Channels of a head with those for multiplicities, a multiple of 8 as flash attention wants it."""
    return -(-(head + EXTRA) // 8) * 8
