"""Pixels sorted by their number of tokens, see `tessera_export.packed.layouts`. This runs everywhere."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

MOST_PIXELS = 8192
"""Of a call of attention: a GPU's grid has room for 65,535 pairs of a pixel and a head."""


class Group(NamedTuple):
    """Neighbouring pixels with the same number of tokens: the first token, how many pixels, and tokens of each."""

    first: int
    pixels: int
    length: int

    @property
    def rows(self) -> slice:
        """Their tokens."""
        return slice(self.first, self.first + self.pixels * self.length)


class ByLength:
    """Pixels of one length are a rectangle as they lie."""

    def __init__(self, lengths: NDArray[np.int64]) -> None:
        """Args: (P,) tokens of each pixel, where equal numbers are neighbours."""
        starts = np.flatnonzero(np.diff(lengths, prepend=-1))
        self.groups: list[Group] = []
        first = 0
        for start, end in zip(starts, [*starts[1:], len(lengths)], strict=True):
            length = int(lengths[start])
            for part in range(int(start), int(end), MOST_PIXELS):
                pixels = min(MOST_PIXELS, int(end) - part)
                self.groups.append(Group(first, pixels, length))
                first += pixels * length

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `Layout`."""
        out = torch.empty_like(v, memory_format=torch.contiguous_format)
        for group in self.groups:
            shape = group.pixels, group.length
            own_q, own_k, own_v = (
                each[group.rows].view(*shape, *each.shape[1:]).transpose(1, 2) for each in (q, k, v)
            )
            found = F.scaled_dot_product_attention(own_q, own_k, own_v, scale=1.0).transpose(1, 2)
            out[group.rows].view(*shape, *v.shape[1:]).copy_(found)
        return out

    def pool(self, x: Tensor, logits: Tensor) -> Tensor:
        """See `Layout`."""
        found = []
        for group in self.groups:
            shape = group.pixels, group.length
            weights = logits[group.rows].view(shape).softmax(1)
            found.append(torch.bmm(weights[:, None], x[group.rows].view(*shape, -1)).squeeze(1))
        return torch.cat(found)
