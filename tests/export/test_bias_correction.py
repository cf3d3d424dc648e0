"""Biases of int8 models take back what rounded weights change on average."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_networks import CONFIGS, embed, inputs_of, made_up_tokens, random_network

from tessera_engine.model.drift import measure
from tessera_engine.model.file import read_arrays, read_model_file
from tessera_engine.model.installed import open_model
from tessera_engine.scenes.sampling import sample_tokens
from tessera_export.bias_correction import corrected_weights, mean_inputs, simulated_pixels
from tessera_export.checkpoint import save_checkpoint
from tessera_export.export import export_model
from tessera_export.int8 import quantize_weight
from tessera_export.onnx_graph import named_weights
from tessera_export.reference import SIZES, Reference
from tessera_export.train.quantized import QuantizedNetwork
from tessera_export.train.quantizers import FusedInt8


def test_means_are_over_all_tokens_and_no_filling():
    """The first quantised layer's input is relu(x W + b) of the tokens, whatever their pixels' lengths are."""
    network, packed = random_network(CONFIGS["v2"]), made_up_tokens("v2", 12)
    means = mean_inputs(network, packed)
    for branch, tokens in (("s2", packed.s2), ("s1", packed.s1)):
        first = getattr(network, f"{branch}_backbone").embedding[0]
        with torch.inference_mode():
            wanted = first(torch.from_numpy(tokens.values)).relu().mean(0)
        torch.testing.assert_close(means[f"{branch}.embedding.1"], wanted)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_layer_keeps_its_mean_output(config):
    network, packed = random_network(config), made_up_tokens(config.generation, 12)
    exact, means = named_weights(network), mean_inputs(network, packed)
    corrected = corrected_weights(network, packed)
    layers = {name.removesuffix(".bias") for name in exact if name.endswith(".bias")} & means.keys()
    assert len(layers) == len(means) - (
        2 if config.generation != "v2" else 0
    )  # the state of the recurrence has none
    for name in layers:
        codes, scale = quantize_weight(exact[f"{name}.weight"])
        before = means[name].numpy() @ exact[f"{name}.weight"] + exact[f"{name}.bias"]
        after = means[name].numpy() @ (codes * scale) + corrected[f"{name}.bias"]
        np.testing.assert_allclose(after, before, atol=2e-5)
    unchanged = [name for name in exact if name.removesuffix(".bias") not in layers]
    assert all(
        corrected[name] is exact[name] or np.array_equal(corrected[name], exact[name]) for name in unchanged
    )


def test_the_scheme_of_training_corrects_as_the_export_does():
    config = CONFIGS["v2"]
    network, packed = random_network(config), made_up_tokens("v2", 12)
    scheme = FusedInt8(means=mean_inputs(network, packed))
    wanted = corrected_weights(network, packed)["s1.layers.1.up.bias"]
    layer = network.s1_backbone.transformer_encoder.layers[1].linear1
    found = scheme.bias("s1.layers.1.up", layer.weight, layer.bias)
    np.testing.assert_allclose(found.detach().numpy(), wanted, atol=1e-6)


def test_a_corrected_bias_has_the_biases_gradient_and_no_other():
    network, packed = random_network(CONFIGS["v2"]), made_up_tokens("v2", 6)
    layer = network.s2_backbone.transformer_encoder.layers[0].linear1
    scheme = FusedInt8(means=mean_inputs(network, packed))
    scheme.bias("s2.layers.0.up", layer.weight, layer.bias).sum().backward()
    assert layer.bias.grad.unique().tolist() == [1]
    assert not layer.weight.grad.any()


def test_it_takes_most_of_the_error_away():
    """On other pixels than it is made from."""
    network = random_network(CONFIGS["v2"])
    made_from, packed = made_up_tokens("v2", 40, seed=1), made_up_tokens("v2", 40)
    exact = embed(network, packed)
    errors = [
        1 - measure(exact, embed(QuantizedNetwork(network, scheme), packed)).centred_mean
        for scheme in (FusedInt8(), FusedInt8(means=mean_inputs(network, made_from)))
    ]
    assert errors[1] < 0.7 * errors[0]


def test_files_have_the_corrected_biases(tmp_path):
    network = random_network(CONFIGS["v2 with QK norm"])
    save_checkpoint(network, tmp_path / "tiny.pt")
    export_model(tmp_path / "tiny.pt", tmp_path / "tiny.onnx", "int8")
    file = read_model_file(tmp_path / "tiny.onnx")
    wanted = corrected_weights(network, simulated_pixels(file.facts))
    stored = read_arrays(file)
    biases = [name for name in wanted if name.endswith(".bias")]
    assert len(biases) > 20
    for name in biases:
        np.testing.assert_array_equal(stored[name], wanted[name])


def test_simulated_pixels_are_of_every_climate_and_always_the_same():
    facts = open_model("demo", "fp32").facts
    first, second = simulated_pixels(facts), simulated_pixels(facts)
    assert len(first) == 48
    np.testing.assert_array_equal(first.s2.values, second.s2.values)


def test_drift_of_random_weights(tmp_path):
    """The published shapes' bars, on simulated pixels of another seed."""
    torch.manual_seed(0)
    network = Reference(SIZES["nano"]).eval()
    facts = open_model("demo", "fp32").facts
    packed = sample_tokens(None, facts, 128)
    scheme = FusedInt8(means=mean_inputs(network, simulated_pixels(facts)))
    pixels = np.arange(len(packed))
    with torch.inference_mode():
        exact = network(*inputs_of(packed, pixels)).numpy()
        found = QuantizedNetwork(network, scheme)(*inputs_of(packed, pixels)).numpy()
    drift = measure(exact, found)
    assert drift.centred_mean > 0.9999
    assert drift.centred_p1 > 0.9995
