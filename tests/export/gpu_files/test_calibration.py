"""Calibration: thresholds from histograms, the network's own inputs, and smoothing that changes nothing."""

from dataclasses import replace

import conformance
import numpy as np
import pytest
import torch
from conformance import Rectangles
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera_engine.tokens import PackedTokens, Tokens
from tessera_export.export import open_source
from tessera_export.gpu_files import calibration
from tessera_export.gpu_files.calibration import METHODS, Histogram, channel_maxima, histograms
from tessera_export.gpu_files.graph import build_gpu_graph, plain
from tessera_export.gpu_files.rounded import RoundedNetwork
from tessera_export.gpu_files.smoothing import smooth
from tessera_export.gpu_files.weights import gpu_weights
from tessera_export.int8 import LEVELS
from tessera_export.train.qat import scheme_of


@pytest.fixture(scope="module")
def tiny():
    return open_source(conformance.checkpoint("tiny"))


def packed(inputs: Rectangles, pixels: int) -> PackedTokens:
    parts = []
    for values, doy, multiplicity in (inputs[:3], inputs[3:]):
        there = multiplicity[:pixels] > 0
        offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int64)
        parts.append(
            Tokens(values[:pixels][there], doy[:pixels][there], multiplicity[:pixels][there], offsets)
        )
    return PackedTokens(*parts)


@pytest.fixture(scope="module")
def tokens():
    return packed(conformance.conformance_tile("edge").inputs, 20)


def histogram(values):
    largest = float(np.abs(values).max())
    bins = np.minimum(np.abs(values) / largest * calibration.BINS, calibration.BINS - 1).astype(int)
    return Histogram(np.bincount(bins, minlength=calibration.BINS), largest)


def squared_error(values, threshold):
    scale = threshold / LEVELS
    return ((np.clip(np.rint(values / scale), -LEVELS, LEVELS) * scale - values) ** 2).mean()


@settings(max_examples=12)
@given(st.integers(0, 1000), st.sampled_from(["normal", "laplace", "relu", "one outlier"]))
def test_thresholds_are_within_what_occurs(seed, kind):
    rng = np.random.default_rng(seed)
    values = rng.laplace(size=20000) if kind == "laplace" else rng.standard_normal(20000)
    if kind == "relu":
        values = np.maximum(values, 0)
    if kind == "one outlier":
        values[0] = 200
    found = {name: method(histogram(values)) for name, method in METHODS.items()}
    largest = np.abs(values).max()
    assert found["max"] == largest
    assert all(0 < threshold <= largest * 1.0001 for threshold in found.values()), found
    # none has a smaller error than mse, but for what binning hides
    errors = {name: squared_error(values, threshold) for name, threshold in found.items()}
    assert errors["mse"] <= min(errors.values()) * 1.05
    if kind == "one outlier":
        assert max(found["percentile"], found["entropy"]) < 50


def test_percentile_clips_one_in_ten_thousand():
    values = np.arange(1, 100_001) / 1000
    threshold = METHODS["percentile"](histogram(values))
    assert 0.99985 <= (values <= threshold).mean() <= 0.9996 + 0.0005


def test_inputs_are_those_of_the_network_without_padding(tiny, tokens):
    """Beside PyTorch's own hooks, on pixels one at a time: there is no filling."""
    network = tiny.network
    seen: dict[str, list[np.ndarray]] = {}
    layer = network.s2_backbone.transformer_encoder.layers[1]
    hooks = {"s2.layers.1.up": layer.linear1, "s2.layers.1.down": layer.linear2}
    handles = [
        module.register_forward_hook(
            lambda module, given, out, name=name: seen.setdefault(name, []).append(given[0].numpy()[0])
        )
        for name, module in hooks.items()
    ]
    with torch.inference_mode():
        for pixel in range(len(tokens)):
            parts = []
            for each in (tokens.s2, tokens.s1):
                own = slice(each.offsets[pixel], each.offsets[pixel + 1])
                parts += [each.values[own], each.doy[own], each.multiplicity[own]]
            network(*(torch.from_numpy(part[None]) for part in parts))
    for handle in handles:
        handle.remove()
    maxima = channel_maxima(gpu_weights(network), tiny.facts, tokens)
    for name, parts in seen.items():
        values = np.concatenate(parts)
        np.testing.assert_allclose(maxima[name], np.abs(values).max(axis=0), rtol=1e-4, atol=1e-5)
        largest = {layer: float(channels.max()) for layer, channels in maxima.items()}
        counts = histograms(gpu_weights(network), tiny.facts, tokens, largest)[name].counts
        assert counts.sum() == values.size
        expected = np.histogram(np.abs(values), calibration.BINS, (0, largest[name]))[0]
        assert np.abs(np.cumsum(counts) - np.cumsum(expected)).max() <= 5  # at the edges of bins


def test_finishing_finds_the_fixed_scales_that_calibration_would_without_smoothing(tiny, tokens):
    found = scheme_of("qdq", tiny.network, tokens).thresholds
    maxima = channel_maxima(gpu_weights(tiny.network), tiny.facts, tokens)
    assert set(found) == set(maxima)
    for layer, channels in maxima.items():
        assert found[layer] == pytest.approx(channels.max(), rel=1e-4), layer


def test_smoothing_changes_nothing_but_the_spread(tiny, tokens):
    weights = gpu_weights(tiny.network)
    # a channel of the hidden layer thirty times as loud, without a change of what the network computes
    for part in ("weight", "bias"):
        weights[f"s2.layers.0.up.{part}"] = weights[f"s2.layers.0.up.{part}"].copy()
        weights[f"s2.layers.0.up.{part}"][..., 3] *= 30
    weights["s2.layers.0.down.weight"] = weights["s2.layers.0.down.weight"].copy()
    weights["s2.layers.0.down.weight"][3] /= 30
    maxima = channel_maxima(weights, tiny.facts, tokens)
    smoothed, foretold = smooth(weights, tiny.facts, maxima)
    after = channel_maxima(smoothed, tiny.facts, tokens)
    for layer, channels in after.items():
        np.testing.assert_allclose(foretold[layer], channels, rtol=1e-3, atol=1e-5)
    assert after["s2.layers.0.down"].max() < maxima["s2.layers.0.down"].max() / 3
    for layer, channels in after.items():
        assert (channels <= maxima[layer] * 1.001 + 1e-6).all(), layer  # nothing is made louder
    inputs = conformance.conformance_tile("edge").inputs._asdict()
    facts = replace(tiny.facts, precision="fp16")
    before_run, after_run = (
        RoundedNetwork(build_gpu_graph(each, facts, plain(np.float32))).run(inputs)
        for each in (weights, smoothed)
    )
    np.testing.assert_allclose(before_run, after_run, atol=2e-5)
    assert not np.array_equal(smoothed["s2.layers.0.up.weight"], weights["s2.layers.0.up.weight"])
