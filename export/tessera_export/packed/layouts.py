"""How pixels lie in packed tokens, and what depends on it: attention within a pixel, and pooling over it.

Multiplicities ride in the attention as two more channels of a head, [q, 1, 1] . [k, hi(log m), lo(log m)], so that
attention without mask or bias computes them too. That is the only form that flash attention of variable length has.
Two channels, because float16 rounds log m; `lo` is what it leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

MOST_PIXELS = 8192
"""Of a call of attention: a GPU's grid has room for 65,535 pairs of a pixel and a head."""


class Layout(Protocol):
    """Of P pixels with M tokens."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of each token to the tokens of its pixel: (M, H, h) each -> (M, H, h)."""

    def pool(self, x: Tensor, logits: Tensor) -> Tensor:
        """Means of x (M, D) with the softmax of logits (M,) over each pixel as weights: (P, D)."""


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
    """Pixels sorted by their number of tokens: those of one length are a rectangle as they lie. Runs everywhere."""

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


class Varlen:
    """Pixels in any order, for PyTorch's flash attention of variable length, which takes float16 on CUDA.

    Shapes don't depend on the pixels, so that a captured graph can be run again with other ones: behind the last
    pixel there may be pixels without tokens, and tokens of no pixel.
    """

    def __init__(self, ends: Tensor, owner: Tensor, longest: int) -> None:
        """Where pixels lie.

        Args:
            ends: (P + 1,) int32, pixel p has the tokens ends[p]:ends[p + 1].
            owner: (M,) int64 pixel of each token.
            longest: at least the most tokens of a pixel.
        """
        self.ends, self.owner, self.longest = ends, owner, longest

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `Layout`."""
        from torch.nn.attention.varlen import varlen_attn

        found = varlen_attn(q, k, v, self.ends, self.ends, self.longest, self.longest, scale=1.0)
        assert isinstance(found, Tensor)  # a pair only where it is asked for
        return found

    def pool(self, x: Tensor, logits: Tensor) -> Tensor:
        """See `Layout`. Sums go over a pixel's tokens in their order, so that each run has the same bits."""
        largest = self._reduce(logits, "max")
        weights = (logits - largest[self.owner]).exp()
        total = self._reduce(weights, "sum")
        sums = self._reduce(weights[:, None] * x, "sum")
        return sums / total[:, None]

    def _reduce(self, values: Tensor, how: str) -> Tensor:
        # Unsafe: without a look at the offsets, for which the host would wait
        return torch.segment_reduce(values, how, offsets=self.ends.long(), axis=0, unsafe=True)


class Steps(NamedTuple):
    """The sequences of P pixels for a recurrence, the longest first: step t is that of the first `active[t]` pixels.

    Attributes:
        tokens: (S,) int64 number of the token of each step of each pixel, by step.
        active: how many pixels have a step t.
        back: (P,) int64 where each pixel is in this order.
    """

    tokens: Tensor
    active: Sequence[int]
    back: Tensor


def steps_of(
    tokens: NDArray[np.int64], offsets: NDArray[np.int64], device: torch.device | str = "cpu"
) -> Steps:
    """Sequences, see `tessera_kernels.sequence`, in the order of their steps.

    Args:
        tokens: (S,) which token each step takes, one pixel after the other.
        offsets: (P + 1,) pixel p has the steps offsets[p]:offsets[p + 1].
        device: for the tensors.
    """
    lengths = np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")
    starts, descending = offsets[:-1][order], lengths[order]
    active = [int(np.searchsorted(-descending, -step, "left")) for step in range(int(descending[0]))]
    by_step = np.concatenate([tokens[starts[:count] + step] for step, count in enumerate(active)])
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return Steps(torch.from_numpy(by_step).to(device), active, torch.from_numpy(back).to(device))
