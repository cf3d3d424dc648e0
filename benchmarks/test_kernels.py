"""The kernels around the network: tokens, codes."""

from __future__ import annotations

import numpy as np
from naive import naive_codes, naive_tokens_s1, naive_tokens_s2

from tessera_engine.scenes import open_scene
from tessera_engine.tokens import pack
from tessera_kernels.quantize import quantize


def test_pack(benchmark, scene, demo):
    reader = open_scene(scene).reader
    observations, facts = reader.read(reader.grid.window), demo.facts
    packed = benchmark(pack, observations, facts)
    benchmark.extra_info["pixels"] = len(packed.pixels)
    pixel = (slice(None), 20, 30)
    number = 20 * reader.grid.width + 30
    for tokens, naive in (
        (
            packed.tokens.s2,
            naive_tokens_s2(
                observations.s2[pixel], observations.s2_valid[pixel], observations.s2_doy, facts.s2_mean, facts.s2_std
            ),
        ),
        (
            packed.tokens.s1,
            naive_tokens_s1(
                observations.s1_ascending[pixel], observations.s1_ascending_doy,
                observations.s1_descending[pixel], observations.s1_descending_doy,
                facts.s1_ascending_mean, facts.s1_ascending_std, facts.s1_descending_mean, facts.s1_descending_std,
            ),
        ),
    ):  # fmt: skip
        at = slice(tokens.offsets[number], tokens.offsets[number + 1])
        np.testing.assert_array_equal(tokens.values[at], naive[0])
        np.testing.assert_array_equal(tokens.multiplicity[at], naive[2])


def test_quantize(benchmark):
    embedding = np.random.default_rng(0).standard_normal((16_384, 128)).astype(np.float32)
    codes, scales = benchmark(quantize, embedding)
    benchmark.extra_info["pixels"] = len(embedding)
    wanted, scale = naive_codes(embedding[777])
    np.testing.assert_array_equal(codes[777], wanted)
    assert scales[777] == scale


def test_read(benchmark, scene):
    reader = open_scene(scene).reader
    observations = benchmark(reader.read, reader.grid.window)
    benchmark.extra_info["pixels"] = reader.grid.window.pixels
    np.testing.assert_array_equal(observations.s2, np.load(scene / "bands.npy"))
