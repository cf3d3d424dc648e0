"""Batches of two lengths: every pixel once, little padding; profiles that hold all pixels."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import FLANDERS

from tessera_engine.backends.gpu.batching import (
    MOST_PROFILES,
    STEP,
    choose_profiles,
    cut,
    padding,
    plan_batches,
)
from tessera_engine.model.installed import open_model
from tessera_engine.scenes import open_scene
from tessera_engine.simulate import simulate
from tessera_engine.tokens import pack

lengths = st.lists(st.tuples(st.integers(1, 256), st.integers(1, 256)), min_size=1, max_size=200)


def by_profiles(profiles):
    return lambda s2, s1: max(profile.pixels for profile in profiles if profile.holds(s2, s1))


@given(lengths, st.integers(1, 4000))
def test_every_pixel_is_in_one_batch_that_is_as_long_as_its_longest_and_not_too_large(pairs, budget):
    s2, s1 = np.array(pairs).T
    batches = plan_batches(s2, s1, lambda a, b: max(1, budget // (a + b)))
    assert sorted(np.concatenate([batch.pixels for batch in batches])) == list(range(len(s2)))
    for batch in batches:
        assert (batch.s2, batch.s1) == (s2[batch.pixels].max(), s1[batch.pixels].max())
        assert len(batch.pixels) == 1 or batch.shape.tokens <= budget
    sizes = [batch.shape.tokens for batch in batches]
    assert sizes == sorted(sizes, reverse=True)
    assert padding(s2, s1, batches) == pytest.approx(1 - (s2.sum() + s1.sum()) / sum(sizes))


@given(st.dictionaries(st.integers(1, 40), st.integers(1, 50), min_size=1, max_size=7), st.integers(0, 500))
def test_no_other_cut_costs_less(histogram, cost):
    values = np.array(sorted(histogram))
    counts = np.array([histogram[value] for value in values])

    def total(ends):
        begins = [0, *ends[:-1]]
        return sum(counts[a:b].sum() * values[b - 1] + cost for a, b in zip(begins, ends, strict=True))

    inner = range(1, len(values))
    every = [[*some, len(values)] for n in range(len(values)) for some in combinations(inner, n)]
    assert total(cut(values, counts, cost)) == min(map(total, every))


@given(lengths, st.integers(512, 1 << 17))
def test_some_profile_holds_every_pixel_and_none_is_too_large(pairs, budget):
    s2, s1 = np.array(pairs).T
    profiles = choose_profiles(s2, s1, budget)
    assert 1 <= len(profiles) <= MOST_PROFILES
    assert any(profile.holds(s2.max(), s1.max()) for profile in profiles)
    for profile in profiles:
        assert profile.tokens <= budget
        assert profile.s2 % STEP == profile.s1 % STEP == 0
    assert len(set(profiles)) == len(profiles)


def test_profiles_are_where_most_tokens_are():
    s2 = np.array([30] * 500 + [60] * 400 + [200])
    s1 = np.array([100] * 500 + [120] * 400 + [20])
    found = choose_profiles(s2, s1, 10_000)
    assert [(profile.s2, profile.s1) for profile in found] == [(32, 128), (64, 128), (224, 128)]


def test_scenes_alike_have_the_same_profiles():
    rng = np.random.default_rng(0)
    one, two = (
        choose_profiles(rng.integers(35, 60, 999), rng.integers(100, 125, 999), 1 << 16) for _ in "ab"
    )
    assert one == two


def check_padding(tokens):
    s2, s1 = tokens.s2.lengths, tokens.s1.lengths
    for budget in (1 << 14, 1 << 15, 1 << 16, 1 << 17, 1 << 18):
        batches = plan_batches(s2, s1, by_profiles(choose_profiles(s2, s1, budget)))
        assert padding(s2, s1, batches) <= 0.03
        # and not by batches of a few pixels each
        full = (s2.sum() + s1.sum()) / budget
        assert len(batches) <= 2 * full + 30


def scene_tokens(path):
    reader = open_scene(path).reader
    return pack(reader.read(reader.grid.window), open_model("demo").facts).tokens


@pytest.mark.skipif(not FLANDERS.exists(), reason="../shared/data/flanders-2018 is not beside the checkout")
def test_padding_of_a_real_scene():
    check_padding(scene_tokens(FLANDERS))


@pytest.mark.parametrize("seed", [1, 2])
def test_padding_of_ragged_scenes(seed, tmp_path):
    simulate(tmp_path / "scene", 96, seed=seed)
    check_padding(scene_tokens(tmp_path / "scene"))


def test_padding_of_a_window_at_the_edges_of_swaths():
    """Worse than any scene: orbits that end in the window, and clouds in every number."""
    rng = np.random.default_rng(3)
    s2 = rng.integers(20, 70, 16_384)
    s1 = rng.choice([31, 60, 61, 91, 122], 16_384) - rng.integers(0, 4, 16_384)
    for budget in (1 << 15, 1 << 17):
        batches = plan_batches(s2, s1, by_profiles(choose_profiles(s2, s1, budget)))
        assert padding(s2, s1, batches) <= 0.03
