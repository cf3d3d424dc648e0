"""The pooling of v1 networks on packed tokens."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tessera_export.packed.steps import Steps


class RecurrentPool(nn.Module):
    """v1's pooling: logits from a recurrence over each pixel's sequence, all pixels a step at a time."""

    def __init__(self, pool: Any, dtype: torch.dtype) -> None:
        super().__init__()
        cell, self.norm, self.query, self.dtype = (
            pool.temporal_context.gru_cell,
            pool.layer_norm,
            pool.query,
            dtype,
        )
        self.from_x = fixed(torch.cat([cell.W_ir.weight, cell.W_iz.weight, cell.W_ih.weight]), dtype)
        self.bias = fixed(torch.cat([cell.b_r, cell.b_z, cell.b_h]), torch.float32)
        self.gates = fixed(torch.cat([cell.W_hr.weight, cell.W_hz.weight]), dtype)
        self.new = fixed(cell.W_hh.weight, dtype)

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


def fixed(value: Tensor, dtype: torch.dtype) -> nn.Parameter:
    """A weight of another dtype that isn't trained."""
    return nn.Parameter(value.detach().to(dtype).clone(), requires_grad=False)
