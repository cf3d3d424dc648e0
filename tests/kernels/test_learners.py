"""Kernels of learners: what the plain twins find, for codes and float32, alone or in any strip."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_learners import naive_linear, naive_nearest, naive_surroundings, naive_trees

from tessera_kernels.context import surroundings
from tessera_kernels.nearest import nearest
from tessera_kernels.scores import linear_scores, most_likely, network_scores, probabilities
from tessera_kernels.trees import MOST_LEAVES, SmallTrees, Trees, small_trees, sum_trees

KINDS = st.sampled_from(["int8", "float32"])


def vectors(rng, count, dim, dtype):
    """(values, scales, what they stand for)."""
    if dtype == "float32":
        values = rng.normal(size=(count, dim)).astype(np.float32)
        return values, None, values
    codes, scales = (
        rng.integers(-127, 128, (count, dim)).astype(np.int8),
        rng.random(count).astype(np.float32),
    )
    return codes, scales, codes * scales[:, None]


def grow(rng, leaves, features, width, tied):
    """A random tree as (feature, threshold, left, right, values) lists; children follow their parents."""
    feature, threshold, left, right = [-1], [0.0], [0], [0]
    ends = [0]
    while len(ends) < leaves:
        node = ends.pop(rng.integers(len(ends)))
        feature[node], threshold[node] = int(rng.integers(features)), float(rng.choice(tied))
        left[node], right[node] = len(feature), len(feature) + 1
        ends += [len(feature), len(feature) + 1]
        for column, value in ((feature, -1), (threshold, 0.0), (left, 0), (right, 0)):
            column += [value, value]
    return feature, threshold, left, right, rng.normal(size=(len(ends), width))


def forest(rng, count, leaves, features, width, tied):
    grown = [grow(rng, int(rng.integers(1, leaves + 1)), features, width, tied) for _ in range(count)]
    roots = np.cumsum([0, *(len(each[0]) for each in grown)])
    columns = [np.concatenate([each[i] for each in grown]) for i in range(2)]
    inner = columns[0] >= 0
    children = [
        np.concatenate([np.array(each[i]) + root for each, root in zip(grown, roots, strict=False)]) * inner
        for i in (2, 3)
    ]
    leaf = np.where(inner, -1, np.cumsum(~inner) - 1)
    types = (np.int32, np.int32, np.float32, np.int32, np.int32, np.int32, np.float32)
    parts = (roots, *columns, *children, leaf, np.concatenate([each[4] for each in grown]))
    return Trees(*(np.asarray(part, kind) for part, kind in zip(parts, types, strict=True)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 40), st.sampled_from([True, False]), KINDS)
def test_trees_are_those_of_the_plain_twin(seed, outputs, leaves, shared, dtype):
    rng = np.random.default_rng(seed)
    values, scales, x = vectors(rng, 30, 5, dtype)
    tied = np.concatenate(
        [x.ravel()[:20], rng.normal(size=5).astype(np.float32)]
    )  # equal values pass to the left
    trees = forest(rng, 2 * outputs, leaves, 5, outputs if shared else 1, tied)
    expected = naive_trees(x, trees, outputs)
    np.testing.assert_allclose(sum_trees(values, scales, trees, outputs), expected, atol=1e-4)
    small = small_trees(trees)
    most = max(
        int((trees.feature[a:b] < 0).sum()) for a, b in zip(trees.roots[:-1], trees.roots[1:], strict=True)
    )
    assert isinstance(small, SmallTrees) == (most <= MOST_LEAVES)
    if small is not None:
        np.testing.assert_allclose(sum_trees(values, scales, small, outputs), expected, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(1, 80), st.integers(1, 6), st.integers(1, 70))
def test_neighbours_are_those_of_the_plain_twin(seed, references, count, dim):
    rng = np.random.default_rng(seed)
    known = rng.integers(-2, 3, (references, dim)).astype(np.float32)  # with many equal distances
    x = rng.integers(-2, 3, (20, dim)).astype(np.float32)
    count = min(count, references)
    number, distance = nearest(x, known, count)
    expected = naive_nearest(x, known, count)
    np.testing.assert_array_equal(number, expected[0])
    np.testing.assert_allclose(distance, expected[1], rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.sampled_from([1, 3, 5]), KINDS)
def test_surroundings_are_those_of_the_plain_twin(seed, side, dtype):
    rng = np.random.default_rng(seed)
    values, scales, _ = vectors(rng, 48, 4, dtype)
    scales = np.ones(48, np.float32) if scales is None else scales.copy()
    scales[rng.random(48) < 0.3] = np.nan
    scales[5] = 0.5
    embedding = (values * scales[:, None]).reshape(6, 8, 4)
    rows, cols = np.nonzero(np.isfinite(scales.reshape(6, 8)))
    found = surroundings(values.reshape(6, 8, 4), scales.reshape(6, 8), rows, cols, side)
    expected = [naive_surroundings(embedding, row, col, side) for row, col in zip(rows, cols, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(1, 6), st.integers(1, 40), KINDS)
def test_scores_are_those_of_the_plain_twin(seed, classes, dim, dtype):
    rng = np.random.default_rng(seed)
    values, scales, x = vectors(rng, 25, dim, dtype)
    weights, bias = (
        rng.normal(size=(classes, dim)).astype(np.float32),
        rng.normal(size=classes).astype(np.float32),
    )
    size = 1e-5 * np.abs(x).max() * dim + 1e-5
    np.testing.assert_allclose(
        linear_scores(values, scales, weights, bias), naive_linear(x, weights, bias), atol=size
    )
    first = rng.normal(size=(7, dim)).astype(np.float32), rng.normal(size=7).astype(np.float32)
    last = rng.normal(size=(classes, 7)).astype(np.float32), bias
    expected = naive_linear(np.maximum(naive_linear(x, *first), 0), *last)
    np.testing.assert_allclose(network_scores(values, scales, first, last), expected, atol=20 * size)


def test_the_likeliest_class_and_its_probability():
    scores = np.array([[1, 3, 3], [0, -1, -200], [5, 4, 9]], np.float32)
    for temperature in (0.5, 1, 4):
        exponents = np.exp((scores - scores.max(axis=1, keepdims=True)).astype(float) / temperature)
        expected = exponents / exponents.sum(axis=1, keepdims=True)
        number, probability = most_likely(scores, temperature)
        assert number.tolist() == [1, 0, 2]
        np.testing.assert_allclose(probability, expected.max(axis=1), rtol=1e-6)
        np.testing.assert_allclose(probabilities(scores, temperature), expected, rtol=1e-5, atol=1e-9)


def test_arrays_that_do_not_fit_are_refused():
    x = np.zeros((4, 3), np.float32)
    for call in (
        lambda: linear_scores(x, None, np.zeros((2, 4), np.float32), np.zeros(2, np.float32)),
        lambda: nearest(x, np.zeros((5, 2), np.float32)),
        lambda: nearest(x, np.zeros((2, 3), np.float32), 3),
        lambda: surroundings(x[None], np.ones((1, 4), np.float32), np.array([1]), np.array([0]), 3),
        lambda: surroundings(x[None], np.full((1, 4), np.nan, np.float32), np.array([0]), np.array([0]), 3),
        lambda: surroundings(x[None], np.ones((1, 4), np.float32), np.array([0]), np.array([0]), 2),
    ):
        with pytest.raises(ValueError, match=r"fit|found|outside|without"):
            call()
