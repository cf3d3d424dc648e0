"""The fused v1 networks against their naive twin."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_network import NaiveNetwork, exp_floor, exp_nearest, random_arrays, random_tokens, sequence

from tessera_kernels.encoder import Network
from tessera_kernels.encoder.isa import available
from tessera_kernels.encoder.plan import FLOAT32, INT8
from tessera_kernels.sequence import sequence_steps

compiled = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="emitted code can't run as plain Python"
)

WIDTH, HEADS, LAYERS, FFN = 36, 4, 1, 48  # no multiple of a register
LENGTHS = ([1, 7, 16, 17, 33, 64, 2, 1, 256, 5] * 4, [3, 1, 32, 8, 1, 200, 40, 9, 15, 6] * 4)


def tokens():
    return random_tokens(LENGTHS[0], 10, 1), random_tokens(LENGTHS[1], 2, 2)


def arrays(generation, int8):
    return random_arrays(WIDTH, HEADS, LAYERS, FFN, 24, int8=int8, generation=generation)


# Each instruction set has to be compiled, for 20 s to a minute
INSTRUCTION_SETS = pytest.mark.parametrize(
    "isa", [available()[0], *(pytest.param(isa, marks=pytest.mark.slow) for isa in available()[1:])]
)


@compiled
@INSTRUCTION_SETS
@pytest.mark.parametrize("generation", ["v1.1", "v1.0"])
def test_float32_equals_the_naive_twin(isa, generation):
    weights = arrays(generation, int8=False)
    found = Network(weights, HEADS, LAYERS, FLOAT32[isa]).run(*tokens())
    wanted = NaiveNetwork(weights, HEADS, LAYERS).run(*tokens())
    np.testing.assert_allclose(found, wanted, atol=2e-5)


@compiled
@INSTRUCTION_SETS
def test_int8_equals_the_naive_twin(isa):
    weights = arrays("v1.1", int8=True)
    found = Network(weights, HEADS, LAYERS, INT8[isa]).run(*tokens())
    exp = exp_floor if INT8[isa].has_scale else exp_nearest
    wanted = NaiveNetwork(weights, HEADS, LAYERS, exp).run(*tokens())
    exact = {
        name.removesuffix(".int8"): values * weights[name.replace(".int8", ".scale")]
        if name.endswith(".int8")
        else values
        for name, values in weights.items()
    }
    drift = np.abs(wanted - NaiveNetwork(exact, HEADS, LAYERS).run(*tokens())).mean()
    # A value that lies between two integers may fall to either side; nothing else may differ
    assert np.abs(found - wanted).mean() < 0.3 * drift


@compiled
def test_a_pixel_is_the_same_whatever_its_neighbours():
    network = Network(arrays("v1.1", int8=True), HEADS, LAYERS, INT8[available()[0]])
    s2, s1 = tokens()
    whole = network.run(s2, s1)

    def alone(part, p):
        values, doy, multiplicity, offsets = part
        own = slice(offsets[p], offsets[p + 1])
        return values[own], doy[own], multiplicity[own], np.array([0, offsets[p + 1] - offsets[p]])

    for p in (0, 8, 9, 37):
        np.testing.assert_array_equal(network.run(alone(s2, p), alone(s1, p))[0], whole[p])


@given(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=9), max_size=6), st.booleans())
@settings(max_examples=50)
def test_steps_equal_the_naive_twin(pixels, at_end):
    offsets = np.concatenate([[0], np.cumsum([len(pixel) for pixel in pixels])]).astype(np.int64)
    multiplicity = np.array([m for pixel in pixels for m in pixel], np.float32)
    steps, ends = sequence_steps(multiplicity, offsets, at_end)
    wanted = [np.array(sequence(pixel, at_end)) + offsets[i] for i, pixel in enumerate(pixels)]
    assert steps.tolist() == [i for pixel in wanted for i in pixel]
    assert np.diff(ends).tolist() == [sum(pixel) for pixel in pixels]
