"""Moves spread from activations into weights before both are quantised, after SmoothQuant (arXiv 2211.10438).

All channels of a layer's input share one scale, so one large channel leaves few codes for the others. Dividing channel
j of the input by s_j and multiplying row j of the weight by s_j gives the same product with a more even input. This is
done where the division can be included in the layer before, at no cost: after a ReLU (ReLU(x / s) = ReLU(x) / s for
s > 0), and after the attention, whose output is linear in the values. A norm's output is also the residual, so it stays
unchanged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.model.facts import ModelFacts
from tessera_export.onnx_builder import Weights

Maxima = dict[str, NDArray[np.float32]]


def smooth(weights: Weights, facts: ModelFacts, maxima: Maxima) -> tuple[Weights, Maxima]:
    """The weights of the same network with more even inputs, and the maxima of these inputs.

    Args:
        weights: the weights as `gpu_weights` gives them.
        facts: the model's facts.
        maxima: layer -> largest magnitude of each channel of its input (in,), on scenes.
    """
    weights, maxima = dict(weights), dict(maxima)
    for branch in ("s2", "s1"):
        _move(weights, maxima, f"{branch}.embedding.0", f"{branch}.embedding.1")
        for layer in (f"{branch}.layers.{index}" for index in range(facts.num_layers)):
            _move(weights, maxima, f"{layer}.qkv", f"{layer}.out")
            _move(weights, maxima, f"{layer}.up", f"{layer}.down")
    return weights, maxima


def _move(weights: Weights, maxima: Maxima, before: str, after: str) -> None:
    """Divide the last outputs of `before`, as many as `after` has inputs, and multiply the rows of `after`."""
    rows = weights[f"{after}.weight"]
    factors = _factors(maxima[after], np.abs(rows).max(axis=1))
    maxima[after] = maxima[after] / factors
    weights[f"{after}.weight"] = rows * factors[:, None]
    for part in ("weight", "bias"):
        divided = weights[f"{before}.{part}"].copy()
        divided[..., -len(factors) :] /= factors
        weights[f"{before}.{part}"] = divided


def _factors(inputs: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """S = sqrt(largest input / largest weight) of each channel, divided by their median, at least 1.

    A factor below 1 would enlarge a channel that is small in these scenes, and clip it where it is large in others.
    Measured: that loses on other scenes what it gains on these.
    """
    used = (inputs > 0) & (rows > 0)
    factors = np.ones(len(inputs), np.float32)
    if used.any():
        spread = np.sqrt(inputs[used] / rows[used])
        factors[used] = np.maximum(spread / np.median(spread), 1)
    return factors
