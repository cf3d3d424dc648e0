"""Small reference networks with random weights, and made-up pixels for them."""

from __future__ import annotations

import numpy as np
import torch
from naive_network import random_tokens

from tessera_engine.backends.rectangles import rectangle
from tessera_engine.model.file import INPUT_NAMES
from tessera_engine.tokens import PackedTokens, Tokens
from tessera_export.reference import Reference, ReferenceConfig

CONFIGS = {
    "v2": ReferenceConfig(8, 2, 4, 48, dims=32, prefixes=(8, 32)),
    "v2 with QK norm": ReferenceConfig(8, 2, 4, 48, dims=32, prefixes=(8, 32), qk_norm=True),
    # As wide as the networks of tests/kernels/test_recurrent.py, so that their kernels are compiled once for both
    "v1.1": ReferenceConfig(9, 1, 4, 48, dims=32, prefixes=(32,), generation="v1.1"),
    "v1.0": ReferenceConfig(9, 1, 4, 48, dims=32, prefixes=(32,), generation="v1.0"),
}


def random_network(config, seed=0):
    """Weights of everything random, biases and norms too."""
    torch.manual_seed(seed)
    network = Reference(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn_like(parameter)
    return network


def made_up_tokens(generation, pixels=40, seed=0):
    rng = np.random.default_rng(seed)
    parts = []
    for bands in (10, 2):
        values, doy, multiplicity, offsets = random_tokens(rng.integers(1, 20, pixels), bands, seed)
        if generation != "v2":
            multiplicity = np.ones_like(multiplicity)  # a repeat is a token of its own there
        parts.append(Tokens(values, doy, multiplicity, offsets))
    return PackedTokens(*parts)


def inputs_of(packed, pixels):
    """What a network takes, of some pixels."""
    arrays = rectangle(packed.s2, pixels, "s2") | rectangle(packed.s1, pixels, "s1")
    return [torch.from_numpy(arrays[name]) for name in INPUT_NAMES]


def embed(network, packed):
    """All pixels as one rectangle."""
    with torch.inference_mode():
        return network(*inputs_of(packed, np.arange(len(packed)))).numpy()
