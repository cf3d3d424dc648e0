"""How pixels lie in packed tokens, and what depends on it: attention within a pixel, and pooling over it.

Multiplicities ride in the attention as two more channels of a head, [q, 1, 1] . [k, hi(log m), lo(log m)], so that
attention without mask or bias computes them too. That is the only form that flash attention of variable length has.
Two channels, because float16 rounds log m; `lo` is what it leaves.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Layout(Protocol):
    """Of P pixels with M tokens."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of each token to the tokens of its pixel: (M, H, h) each -> (M, H, h)."""

    def pool(self, x: Tensor, logits: Tensor) -> Tensor:
        """Means of x (M, D) with the softmax of logits (M,) over each pixel as weights: (P, D)."""
