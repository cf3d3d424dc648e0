"""What int8 does to numbers, in float32 and with gradients: rounded forwards, straight through backwards.

A quantised tensor is codes times scales; here it is that product at once. The gradient takes no notice of the
rounding, since a step function has none of use.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import torch
from torch import Tensor

from tessera_export import reference

SIGNED, UNSIGNED = 127, 255
"""Largest codes: signed ones are -127..127, those of values after a ReLU 0..255."""

TINY = 1e-12
"""Keeps the scale of zeros from being zero; as in the kernels."""


class Scheme(Protocol):
    """Which tensors a backend quantises, and how. Names are those of the layers in a model file."""

    def weight(self, name: str, weight: Tensor) -> Tensor:
        """The weights (out, in) of layer `name`, as the backend has them."""
        ...

    def activation(self, name: str, x: Tensor, signed: bool = True) -> Tensor:
        """The input (..., in) of layer `name`, likewise; not `signed`: it has no negative values."""
        ...

    def attend(self, name: str, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """Attention, as `tessera_export.reference.attend` is: (B, T, H, h) each, bias (B, T) -> (B, T, d)."""
        ...


def straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    """The values of `rounded` with the gradient of x."""
    return x + (rounded - x).detach()


def per_row(x: Tensor, levels: int = SIGNED) -> Tensor:
    """X with a scale for each of its rows (the last axis), the largest |value| being the largest code."""
    scale = x.abs().amax(dim=-1, keepdim=True).clamp(min=TINY) / levels
    return straight_through(x, (x / scale).round() * scale)


def stored(embedding: Tensor) -> Tensor:
    """Embeddings (B, K) as their int8 codes and scales give them back, by the published rule."""
    return per_row(embedding)


class FusedInt8:
    """The kernels' scheme: weights with a scale per output channel, activations with one per token, found at run time.

    Attention is int8 too: queries, keys and values have a scale per token and head. A softmax weight is an unsigned
    code; a value's scale is folded into it, beside the largest value's scale of that pixel and head. The fusion has
    int8 weights, but computes in float32.
    """

    def __init__(self, without: Collection[str] = ()) -> None:
        """All of it.

        Args:
            without: what stays float32, to find out what it costs, by the ends of names: `qkv` or `layers.0.qkv` is the
                input of such layers, `qkv.weight` or `weight` what it says; `queries`, `keys`, `values`, `shares` (the
                softmax's weights) are attention's.
        """
        self._without = tuple(without)

    def _keeps(self, name: str) -> bool:
        return name.endswith(self._without) if self._without else False

    def weight(self, name: str, weight: Tensor) -> Tensor:
        """A scale per output channel."""
        return weight if self._keeps(f"{name}.weight") else per_row(weight)

    def activation(self, name: str, x: Tensor, signed: bool = True) -> Tensor:
        """A scale per token."""
        return (
            x
            if name.startswith("fusion") or self._keeps(name)
            else per_row(x, SIGNED if signed else UNSIGNED)
        )

    def attend(self, name: str, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """Scores, softmax and context in int8."""
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # (B, H, T, h)
        q = q if self._keeps("queries") else per_row(q)
        k = k if self._keeps("keys") else per_row(k)
        bias = bias[:, None, None, :]  # (B, 1, 1, T), of the keys
        scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5 + bias
        weights = (scores - scores.amax(dim=3, keepdim=True)).exp()  # (B, H, T, T)
        total = weights.sum(dim=3, keepdim=True)
        if not self._keeps("shares"):
            scale = v.detach().abs().amax(dim=3).clamp(min=TINY)[:, :, None, :]  # (B, H, 1, T)
            # filling has no say in which value is the largest
            largest = scale.masked_fill(bias == -torch.inf, 0).amax(dim=3, keepdim=True)
            fold = UNSIGNED * scale / largest
            weights = straight_through(weights, (weights * fold).round() / fold)
        v = v if self._keeps("values") else per_row(v)
        mixed: Tensor = weights @ v / total  # (B, H, T, h)
        return mixed.transpose(1, 2).flatten(2)


class StaticInt8:
    """Explicit Q/DQ: a fixed scale per layer's input, found by calibration; attention stays floating-point.

    TensorRT knows signed codes only, so that values after a ReLU have 0..127. What float16 rounds beside is left out.

    Attributes:
        thresholds: name of each layer that is quantised -> the magnitude of its input that becomes code 127.
    """

    def __init__(self, thresholds: Mapping[str, float]) -> None:
        self.thresholds = thresholds

    def weight(self, name: str, weight: Tensor) -> Tensor:
        """A scale per output channel."""
        return per_row(weight) if name in self.thresholds else weight

    def activation(self, name: str, x: Tensor, signed: bool = True) -> Tensor:
        """One scale; what is beyond the codes -128..127 is cut off, and has no gradient."""
        if name not in self.thresholds:
            return x
        scale = self.thresholds[name] / SIGNED
        x = x.clamp(-(SIGNED + 1) * scale, SIGNED * scale)
        return straight_through(x, (x / scale).round() * scale)

    def attend(self, name: str, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """Not quantised."""
        return reference.attend(q, k, v, bias)


class Watching(StaticInt8):
    """Quantises nothing; remembers the largest magnitude of each layer's input.

    Attributes:
        largest: name of the layer -> magnitude. What is behind the pooling is left out, as it is in graphs for GPUs.
    """

    def __init__(self) -> None:
        super().__init__({})
        self.largest: dict[str, float] = {}

    def activation(self, name: str, x: Tensor, signed: bool = True) -> Tensor:
        """As it is."""
        if not name.startswith("fusion"):
            self.largest[name] = max(self.largest.get(name, 0.0), x.detach().abs().max().item())
        return x
