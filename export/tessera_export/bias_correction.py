"""Corrects the biases of an int8 model for its rounded weights.

A rounded weight changes a layer's output by (rounded - weight) @ x. Much of that is the same for all tokens, and the
embeddings of different pixels are so similar that this common part was nine tenths of int8's whole error. It is known
before any pixel is embedded, so the bias takes it back: bias + (weight - rounded) @ mean(x). (The idea: Nagel et al.,
Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019.)

The means are those of simulated pixels. They hardly depend on the place: on real pixels of Flanders, the correction
is as good as on simulated ones.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from torch import Tensor

from tessera_engine.simulate import simulate
from tessera_engine.simulate.climate import CLIMATES
from tessera_engine.tokens import PackedTokens, Statistics, sequence
from tessera_export.int8 import quantize_weight
from tessera_export.onnx_builder import Weights
from tessera_export.onnx_graph import named_weights
from tessera_export.reference import Reference
from tessera_export.train.pixels import concatenate, sample_scene
from tessera_export.train.quantized import watch
from tessera_export.train.quantizers import Averaging

PIXELS = 8
"""Of each climate. Six times as many change the result by less than a tenth of the remaining error."""

SIZE, SEED = 24, 7000
"""Of the simulated scenes. No test and no benchmark has scenes of these seeds."""


def simulated_pixels(statistics: Statistics) -> PackedTokens:
    """Some pixels of a simulated scene of each climate, as a network of these statistics takes them."""
    parts = []
    with tempfile.TemporaryDirectory() as temporary:
        for number, climate in enumerate(CLIMATES):
            folder = Path(temporary) / climate
            simulate(folder, SIZE, SEED + number, climate=climate)
            parts.append(sample_scene(folder, statistics, PIXELS, seed=0))
    return sequence(concatenate(parts), statistics.generation)


def mean_inputs(network: Reference, tokens: PackedTokens) -> dict[str, Tensor]:
    """The mean input of each layer that int8 models quantise: name -> (in,) float32.

    Args:
        network: in eval mode.
        tokens: as the network takes them, see `tessera_engine.tokens.sequence`.
    """
    averaging = Averaging()
    watch(network, averaging, tokens, np.arange(len(tokens)))
    return averaging.means()


def corrected_weights(network: Reference, tokens: PackedTokens) -> Weights:
    """The network's weights by the names in the model file, with the biases corrected.

    Args:
        network: in eval mode.
        tokens: pixels, as for `mean_inputs`.
    """
    weights = named_weights(network)
    for name, mean in mean_inputs(network, tokens).items():
        if f"{name}.bias" not in weights:  # the recurrence's state has none
            continue
        weight = weights[f"{name}.weight"].astype(np.float64)
        codes, scale = quantize_weight(weights[f"{name}.weight"])
        lost = mean.numpy() @ (weight - codes * scale.astype(np.float64))
        weights[f"{name}.bias"] = (weights[f"{name}.bias"] + lost).astype(np.float32)
    return weights
