"""The effect of int8 on numbers, in float32 and with gradients: rounded forwards, straight through backwards.

A quantised tensor is codes times scales; here it is that product. The gradient ignores the rounding, because the
gradient of a step function is useless.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from tessera_export import reference

SIGNED, UNSIGNED, WIDE = 127, 255, 32767
"""Largest codes: signed ones are -127..127, those of values after a ReLU 0..255, the fusion's weights -32767..32767."""

TINY = 1e-12
"""Smallest scale, so that it is never zero; as in the kernels."""


class Scheme(Protocol):
    """Which tensors a backend quantises, and how. Layers have the names that they have in a model file."""

    def weight(self, name: str, weight: Tensor) -> Tensor:
        """The weights (out, in) of layer `name`, as the backend stores them."""
        ...

    def bias(self, name: str, weight: Tensor, bias: Tensor | None) -> Tensor | None:
        """The bias (out,) of layer `name`, likewise; `weight` are its weights before they are stored."""
        ...

    def activation(self, name: str, x: Tensor, signed: bool = True) -> Tensor:
        """The input (..., in) of layer `name`, likewise. Without `signed`, it has no negative values."""
        ...

    def attend(self, name: str, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """Attention, as `tessera_export.reference.attend` is: (B, T, H, h) each, bias (B, T) -> (B, T, d)."""
        ...


def straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    """The values of `rounded` with the gradient of x."""
    return x + (rounded - x).detach()


def per_row(x: Tensor, levels: int = SIGNED) -> Tensor:
    """X quantised with one scale per row (the last axis). The largest |value| gets the largest code."""
    scale = x.abs().amax(dim=-1, keepdim=True).clamp(min=TINY) / levels
    return straight_through(x, (x / scale).round() * scale)


def stored(embedding: Tensor) -> Tensor:
    """Embeddings (B, K) after storing them as int8 codes and scales, by the published rule."""
    return per_row(embedding)


class FusedInt8:
    """The scheme of the kernels: a scale per output channel for weights, and a scale per token for activations.

    Activation scales are found at run time. Attention is int8 too: queries, keys and values have a scale per token and
    head. A softmax weight is an unsigned code. It is multiplied by the scale of its value, relative to the largest
    scale of that pixel and head. The fusion computes in float32, with weights of 16 bits.
    """

    def __init__(self, without: Collection[str] = (), means: Mapping[str, Tensor] | None = None) -> None:
        """Quantise everything but `without`.

        Args:
            without: ends of the names of what stays float32, to find out how much its quantisation costs. `qkv` or
                `layers.0.qkv` is the input of such layers, `qkv.weight` or `weight` are weights; `queries`, `keys`,
                `values` and `shares` (the softmax weights) belong to attention.
            means: name of the layer -> mean of its input, see `Averaging`, by which biases are corrected. Default:
                none is.
        """
        self._without = tuple(without)
        self._means = means or {}

    def _keeps(self, name: str) -> bool:
        return name.endswith(self._without) if self._without else False

    def weight(self, name: str, weight: Tensor) -> Tensor:
        """Quantise with a scale per output channel."""
        if self._keeps(f"{name}.weight"):
            return weight
        return per_row(weight, WIDE if name.startswith("fusion") else SIGNED)

    def bias(self, name: str, weight: Tensor, bias: Tensor | None) -> Tensor | None:
        """Add what rounding the weights takes from the layer's mean output."""
        if bias is None or name not in self._means:
            return bias
        return bias + F.linear(self._means[name], weight - self.weight(name, weight))

    def activation(self, name: str, x: Tensor, signed: bool = True) -> Tensor:
        """Quantise with a scale per token."""
        return (
            x
            if name.startswith("fusion") or self._keeps(name)
            else per_row(x, SIGNED if signed else UNSIGNED)
        )

    def attend(self, name: str, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """Compute scores, softmax and context in int8."""
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # (B, H, T, h)
        q = q if self._keeps("queries") else per_row(q)
        k = k if self._keeps("keys") else per_row(k)
        bias = bias[:, None, None, :]  # (B, 1, 1, T), of the keys
        scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5 + bias
        weights = (scores - scores.amax(dim=3, keepdim=True)).exp()  # (B, H, T, T)
        total = weights.sum(dim=3, keepdim=True)
        if not self._keeps("shares"):
            scale = v.detach().abs().amax(dim=3).clamp(min=TINY)[:, :, None, :]  # (B, H, 1, T)
            # Filling does not count for the largest scale
            largest = scale.masked_fill(bias == -torch.inf, 0).amax(dim=3, keepdim=True)
            fold = UNSIGNED * scale / largest
            weights = straight_through(weights, (weights * fold).round() / fold)
        v = v if self._keeps("values") else per_row(v)
        mixed: Tensor = weights @ v / total  # (B, H, T, h)
        return mixed.transpose(1, 2).flatten(2)


class StaticInt8:
    """Explicit Q/DQ: one fixed scale for the input of each layer, found by calibration. Attention is not quantised.

    TensorRT has signed codes only, so that values after a ReLU use 0..127. The rounding of float16 is not included.

    Attributes:
        thresholds: name of each quantised layer -> the magnitude of its input that gets code 127.
    """

    def __init__(self, thresholds: Mapping[str, float]) -> None:
        self.thresholds = thresholds

    def weight(self, name: str, weight: Tensor) -> Tensor:
        """Quantise with a scale per output channel."""
        return per_row(weight) if name in self.thresholds else weight

    def bias(self, name: str, weight: Tensor, bias: Tensor | None) -> Tensor | None:
        """The bias as it is."""
        return bias

    def activation(self, name: str, x: Tensor, signed: bool = True) -> Tensor:
        """Quantise with one scale. Values beyond the codes -128..127 are clipped, and have no gradient."""
        if name not in self.thresholds:
            return x
        scale = self.thresholds[name] / SIGNED
        x = x.clamp(-(SIGNED + 1) * scale, SIGNED * scale)
        return straight_through(x, (x / scale).round() * scale)

    def attend(self, name: str, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """Compute attention in float32."""
        return reference.attend(q, k, v, bias)


class Watching(StaticInt8):
    """Quantises nothing, and records the largest magnitude of the input of each layer.

    Attributes:
        largest: name of the layer -> magnitude. Layers after the pooling are left out, as in graphs for GPUs.
    """

    def __init__(self) -> None:
        super().__init__({})
        self.largest: dict[str, float] = {}

    def activation(self, name: str, x: Tensor, signed: bool = True) -> Tensor:
        """Record the largest magnitude, and give the input back unchanged."""
        if not name.startswith("fusion"):
            self.largest[name] = max(self.largest.get(name, 0.0), x.detach().abs().max().item())
        return x


class Averaging(StaticInt8):
    """Quantises nothing, and averages the input of each layer over all tokens. There must be no filling.

    Layers after the pooling are left out: their weights are not rounded much.
    """

    def __init__(self) -> None:
        super().__init__({})
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def activation(self, name: str, x: Tensor, signed: bool = True) -> Tensor:
        """Count the input in, and give it back unchanged."""
        if not name.startswith("fusion"):
            rows = x.detach().flatten(0, -2)
            total, count = self._sums.get(name, (0, 0))
            self._sums[name] = total + rows.sum(0, dtype=torch.float64), count + len(rows)
        return x

    def means(self) -> dict[str, Tensor]:
        """Name of the layer -> mean of its input, (in,) float32."""
        return {name: (total / count).float() for name, (total, count) in self._sums.items()}
