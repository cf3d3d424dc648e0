"""Pixels in any order, for attention of variable length; see `tessera_export.packed.layouts`."""

from __future__ import annotations

import torch
from torch import Tensor


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
