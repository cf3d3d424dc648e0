"""What the benchmarks of speed measure: networks of each generation, and loops by what they compute."""

from __future__ import annotations

from collections import Counter

import pytest
import samples
import speed
from random_networks import CONFIGS

from tessera_export.checkpoint import load_checkpoint


@pytest.mark.parametrize("size", speed.PIXELS)
def test_each_size_has_a_checkpoint_that_loads(size, tmp_path, monkeypatch):
    generation = speed.SIZES[size].generation
    monkeypatch.setitem(speed.SIZES, size, CONFIGS[generation])  # as small as those of other tests
    statistics = speed.make_checkpoint(size, tmp_path / "made.pt")
    assert load_checkpoint(tmp_path / "made.pt").config.generation == generation
    assert statistics == (None if generation == "v2" else "mpc")


@pytest.mark.parametrize(
    ("kind", "is_inner", "own"),
    [
        ("products", True, {"vpdpbusd": 24, "vpbroadcastd": 8, "vmovdqu64": 3}),
        ("products", True, {"vpdpbusd": 48, "vpbroadcastd": 12, "vmovdqu64": 8}),
        ("ends of products", False, {"vcvtdq2ps": 24, "vmulps": 24, "vfmadd213ps": 24, "vbroadcastss": 8}),
        ("ends of scores", False, {"vcvtdq2ps": 24, "vmulps": 24, "vfmadd213ps": 24, "vbroadcastss": 24}),
        ("scores", True, {"vpdpbusd": 24, "vpbroadcastd": 24}),
        ("results of attention", True, {"vpdpbusd": 24, "vmovdqu64": 2}),
        ("softmax", True, {"vfmadd213ps": 12, "vscalefps": 4, "vreduceps": 4}),
        ("norms, quantising, transposing", True, {"vmovups": 8, "vfmadd132ps": 8, "vpmovdb": 8}),
    ],
)
def test_loops_are_told_apart_by_their_instructions(kind, is_inner, own):
    assert samples.kind_of(Counter(own), is_inner) == kind
