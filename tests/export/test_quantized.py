"""Fake-quantised networks: what they compute is what the int8 backends compute."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_network import NaiveNetwork, random_tokens
from random_networks import CONFIGS, embed, inputs_of, made_up_tokens, random_network
from torch import nn

from tessera_engine.backends.fused import FusedBackend
from tessera_engine.model.drift import measure
from tessera_engine.model.installed import open_model
from tessera_engine.tokens import PackedTokens, Tokens
from tessera_export.bias_correction import mean_inputs, simulated_pixels
from tessera_export.int8 import FUSION_LEVELS, LEVELS, quantize_weight
from tessera_export.onnx_graph import load_network, named_weights
from tessera_export.train.quantized import QuantizedNetwork
from tessera_export.train.quantizers import SIGNED, UNSIGNED, FusedInt8, StaticInt8, per_row, stored
from tessera_kernels.quantize import quantize

FLOATING = FusedInt8(without=("",))
"""Every name ends with nothing."""


def int8_arrays(network, is_quantised):
    arrays = {}
    for name, values in named_weights(network).items():
        layer = name.removesuffix(".weight")
        if values.ndim == 2 and layer != name and is_quantised(layer):
            levels = FUSION_LEVELS if layer.startswith("fusion") else LEVELS
            codes, arrays[f"{name}.scale"] = quantize_weight(values, levels)
            arrays[f"{name}.{codes.dtype}"] = codes
        else:
            arrays[name] = values
    return arrays


def in_int8(layer):
    return not layer.endswith(("embedding.0", "pool"))


def packed_arrays(packed):
    return [(t.values, t.doy, t.multiplicity, t.offsets) for t in (packed.s2, packed.s1)]


@settings(max_examples=50)
@given(
    rows=st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=1, max_size=5),
    levels=st.sampled_from([SIGNED, UNSIGNED]),
)
def test_rows_are_off_by_half_a_code_at_most(rows, levels):
    x = torch.tensor(rows, dtype=torch.float32)
    found = per_row(x, levels)
    largest = x.abs().amax(1, keepdim=True)
    assert ((found - x).abs() <= largest / levels * 0.501 + 1e-12).all()
    codes = found / largest.clamp(min=1e-12) * levels
    assert (codes - codes.round()).abs().max() < 1e-2


def test_gradients_go_straight_through():
    x = torch.randn(4, 6, requires_grad=True)
    weights = torch.randn(4, 6)
    (per_row(x) * weights).sum().backward()
    torch.testing.assert_close(x.grad, weights)


def test_stored_embeddings_are_the_codes_that_are_written():
    embedding = np.random.default_rng(0).standard_normal((50, 16)).astype(np.float32)
    codes, scales = quantize(embedding)
    np.testing.assert_allclose(
        stored(torch.from_numpy(embedding)).numpy(), codes * scales[:, None], atol=1e-6
    )


def test_a_fixed_scale_cuts_off_and_leaves_no_gradient_there():
    x = torch.tensor([[-3.0, -0.26, 0.3, 0.5]], requires_grad=True)
    found = StaticInt8({"up": 0.5}).activation("up", x)
    torch.testing.assert_close(found[0, [0, 3]], torch.tensor([-0.5 / 127 * 128, 0.5]))
    assert (found[0, 1:3] - x[0, 1:3]).abs().max() < 0.5 / SIGNED
    found.sum().backward()
    assert x.grad.tolist() == [[0, 1, 1, 1]]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_without_quantisers_it_is_the_reference(config):
    network = random_network(config)
    packed = made_up_tokens(config.generation)
    for scheme in (FLOATING, StaticInt8({})):
        found = embed(QuantizedNetwork(network, scheme), packed)
        np.testing.assert_allclose(found, embed(network, packed), atol=5e-6)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_fused_scheme_is_that_of_the_kernels_naive_twin(config):
    network = random_network(config)
    packed = made_up_tokens(config.generation)
    naive = NaiveNetwork(int8_arrays(network, in_int8), config.num_heads, config.num_layers)
    wanted = naive.run(*packed_arrays(packed))
    found = embed(QuantizedNetwork(network, FusedInt8()), packed)
    exact = embed(network, packed)
    difference = np.abs(found - wanted).max(axis=1)
    # A value that lies between two integers may fall to either side; most pixels have none that does
    assert np.median(difference) < 1e-4
    assert np.abs(found - wanted).mean() < 0.1 * np.abs(wanted - exact).mean()


@pytest.mark.parametrize(
    "left_out", ["weight", "qkv", "queries", "keys", "values", "shares", "out", "up", "down"]
)
def test_each_quantiser_can_be_left_out(left_out):
    network = random_network(CONFIGS["v2"])
    packed = made_up_tokens("v2")
    whole = embed(QuantizedNetwork(network, FusedInt8()), packed)
    assert np.abs(embed(QuantizedNetwork(network, FusedInt8([left_out])), packed) - whole).max() > 1e-4


def test_filling_changes_nothing():
    """A pixel alone, and beside one with more tokens, whose values are large where the pixel has filling."""
    network = QuantizedNetwork(random_network(CONFIGS["v2"]), FusedInt8())
    packed = made_up_tokens("v2", 6)
    everything = embed(network, packed)
    for pixel in range(6):
        with torch.inference_mode():
            alone = network(*inputs_of(packed, np.array([pixel]))).numpy()
        np.testing.assert_allclose(alone[0], everything[pixel], atol=2e-2)


def test_learning_through_it_changes_the_reference():
    network = random_network(CONFIGS["v2"])
    quantized = QuantizedNetwork(network, FusedInt8())
    packed = made_up_tokens("v2", 8)
    quantized(*inputs_of(packed, np.arange(8))).square().sum().backward()
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    assert len(layers) > 10
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name


@pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="emitted code can't run as plain Python"
)
def test_the_fused_backend_is_far_closer_than_its_own_error():
    """The packaged model as users run it, on pixels with real lengths of series."""
    network = load_network(open_model("demo", "fp32").path)
    rng = np.random.default_rng(1)
    lengths = rng.integers(5, 90, (2, 64))
    packed = PackedTokens(
        *(
            Tokens(*random_tokens(length, bands, bands))
            for length, bands in zip(lengths, (10, 2), strict=True)
        )
    )
    model = open_model("demo", "int8")
    kernel = FusedBackend(model, threads=1).run(packed)
    means = mean_inputs(network, simulated_pixels(model.facts))
    found, exact = embed(QuantizedNetwork(network, FusedInt8(means=means)), packed), embed(network, packed)
    assert measure(kernel, found).centred_mean > 0.99999
    assert np.abs(kernel - found).mean() < 0.5 * np.abs(kernel - exact).mean()
