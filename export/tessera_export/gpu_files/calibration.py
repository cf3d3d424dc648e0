"""Finds, on tokens of scenes, the magnitude of each layer's input that becomes code 127.

The float32 graph runs twice with the inputs of the quantised layers as additional outputs: once for the largest
magnitude of each channel, then, after smoothing, for a histogram of magnitudes. Padding is left out. Methods:

max         nothing is clipped
percentile  0.01 % of the magnitudes are clipped
mse         the least squared error of the dequantised values
entropy     the least Kullback-Leibler divergence between the histogram and its approximation by 128 codes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tessera_engine.model.facts import ModelFacts
from tessera_engine.tokens import PackedTokens
from tessera_export.gpu_files.graph import GpuPrecision, build_gpu_graph, linear
from tessera_export.gpu_files.running import onnx_session, rectangles
from tessera_export.int8 import LEVELS
from tessera_export.onnx_builder import Graph, Weights

BINS = 2048
PERCENTILE = 99.99

Inputs = dict[str, NDArray[np.float32]]
"""Layer -> its input, (tokens, in) float32."""


@dataclass(frozen=True)
class Histogram:
    """How often magnitudes occur.

    Attributes:
        counts: (BINS,) counts in bins of equal width; the first begins at 0.
        largest: upper edge of the last bin.
    """

    counts: NDArray[np.int64]
    largest: float

    @property
    def width(self) -> float:
        """Width of a bin."""
        return self.largest / len(self.counts)

    @property
    def centres(self) -> NDArray[np.float64]:
        """(BINS,) centres of the bins."""
        centres: NDArray[np.float64] = (np.arange(len(self.counts), dtype=np.float64) + 0.5) * self.width
        return centres


class Observer:
    """Runs the float32 network and returns the inputs of its quantised layers."""

    def __init__(self, weights: Weights, facts: ModelFacts) -> None:
        self._facts = facts
        taps: dict[str, str] = {}

        def tapped(graph: Graph, x: str, name: str) -> str:
            taps[name] = x
            return linear(graph, x, name, np.float32)

        model = build_gpu_graph(weights, facts, GpuPrecision(np.float32, tapped))
        self.layers, self._outputs = list(taps), list(taps.values())
        known = {value.name for value in model.graph.output}
        for name in dict.fromkeys(self._outputs):
            if name not in known:
                model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        self._session = onnx_session(model.SerializeToString())

    def inputs(self, tokens: PackedTokens) -> Iterator[Inputs]:
        """Each layer's input, batch by batch, without padding tokens."""
        for _, rectangle in rectangles(tokens):
            found = self._session.run(self._outputs, rectangle)
            yield {
                layer: values[rectangle[f"{layer.split('.')[0]}_multiplicity"] > 0]
                for layer, values in zip(self.layers, found, strict=True)
            }


def channel_maxima(weights: Weights, facts: ModelFacts, tokens: PackedTokens) -> Inputs:
    """Layer -> largest magnitude of each channel of its input, (in,)."""
    maxima: Inputs = {}
    for batch in Observer(weights, facts).inputs(tokens):
        for layer, values in batch.items():
            largest = np.abs(values).max(axis=0)
            maxima[layer] = np.maximum(maxima.get(layer, largest), largest)
    return maxima


def histograms(
    weights: Weights, facts: ModelFacts, tokens: PackedTokens, largest: Mapping[str, float]
) -> dict[str, Histogram]:
    """Layer -> histogram of the magnitudes of its input.

    Args:
        weights: the network's weights.
        facts: the model's facts.
        tokens: tokens of the scenes to calibrate on.
        largest: layer -> the largest magnitude that occurs.
    """
    counts = {layer: np.zeros(BINS, np.int64) for layer in largest}
    for batch in Observer(weights, facts).inputs(tokens):
        for layer, values in batch.items():
            bins = np.minimum(np.abs(values).ravel() * (BINS / largest[layer]), BINS - 1)
            counts[layer] += np.bincount(bins.astype(np.int64), minlength=BINS)
    return {layer: Histogram(counts[layer], largest[layer]) for layer in largest}


def by_max(histogram: Histogram) -> float:
    """The largest magnitude."""
    return histogram.largest


def by_percentile(histogram: Histogram) -> float:
    """The magnitude that `PERCENTILE` percent of the inputs don't exceed."""
    share = np.cumsum(histogram.counts) / histogram.counts.sum()
    return float((np.searchsorted(share, PERCENTILE / 100) + 1) * histogram.width)


def by_mse(histogram: Histogram) -> float:
    """The threshold with the least squared error of the dequantised values."""
    centres, counts = histogram.centres, histogram.counts
    candidates = histogram.largest * np.arange(1, 201) / 200

    def error(threshold: float) -> float:
        scale = threshold / LEVELS
        back = np.minimum(np.rint(centres / scale), LEVELS) * scale
        return float((counts * (back - centres) ** 2).sum())

    return float(min(candidates, key=error))


def by_entropy(histogram: Histogram) -> float:
    """The threshold with the least Kullback-Leibler divergence, in steps of 16 bins."""
    counts = histogram.counts.astype(np.float64)
    counts[0] = counts[1]  # the exact zeros of a ReLU stay exact for every threshold
    bins = min(range(LEVELS + 1, BINS + 1, 16), key=lambda bins: _divergence(counts, bins))
    return bins * histogram.width


def _divergence(counts: NDArray[np.float64], bins: int) -> float:
    """Divergence of the first `bins` bins, the last with all beyond it, from their approximation by 128 codes."""
    kept = counts[:bins].copy()
    code = np.arange(bins) * (LEVELS + 1) // bins
    used = kept > 0
    sums = np.bincount(code, kept, LEVELS + 1)
    members = np.bincount(code, used, LEVELS + 1)
    spread = np.where(used, sums[code] / np.maximum(members[code], 1), 0)
    kept[-1] += counts[bins:].sum()
    if not spread[-1]:  # the codes give this bin no probability
        spread[-1] = 1e-9 * spread.sum()
    p, q = kept / kept.sum(), spread / spread.sum()
    there = p > 0
    return float((p[there] * np.log(p[there] / q[there])).sum())


METHODS: dict[str, Callable[[Histogram], float]] = {
    "max": by_max,
    "percentile": by_percentile,
    "mse": by_mse,
    "entropy": by_entropy,
}
