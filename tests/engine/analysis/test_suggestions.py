"""Pixels to label next: those that cover the scene, then those of which the map isn't sure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera_engine.analysis.suggestions import (
    FEW_LABELS,
    LEAST_DISTANCE,
    LEAST_DOUBT,
    Known,
    Pixels,
    Vectors,
    candidates,
    suggest,
)

NONE = Known(0, np.zeros((0, 2), int), np.zeros((0, 4), np.float32))


def kinds_of_land(seed, kinds, side=64, dim=16, noise=0.1):
    """(side, side) kind of each pixel, in patches of 4 x 4; and its embeddings with a large common part."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, kinds, (side // 4, side // 4))
    kind = np.kron(patches, np.ones((4, 4), int))
    embedding = 3 + rng.normal(size=(kinds, dim))[kind] + noise * rng.normal(size=(side, side, dim))
    return kind, (embedding * rng.uniform(0.5, 2, (side, side, 1))).astype(np.float32)


def both(embedding, margins):
    """Candidates and samples of a scene in which all pixels have data."""
    classified = np.stack([np.ones(margins.shape, np.uint8), margins], axis=2)
    return tuple(Vectors(each, embedding[each.rows, each.cols]) for each in candidates(classified))


def known_at(places, embedding, labels=None):
    places = np.array(places, int).reshape(-1, 2)
    return Known(len(places) if labels is None else labels, places, embedding[places[:, 1], places[:, 0]])


def test_few_labels_go_to_one_pixel_of_each_kind_first():
    for seed in range(5):
        kind, embedding = kinds_of_land(seed, 9)
        # The map is as sure as can be where it is wrong: with few labels its margins say nothing
        margins = np.where(kind == 3, 255, 0).astype(np.uint8)
        labelled = [np.argwhere(kind == each)[0][::-1] for each in (0, 1)]
        may, scene = both(embedding, margins)
        chosen = suggest(may, scene, known_at(labelled, embedding), 64, count=7)
        found = kind[may.pixels.rows[chosen], may.pixels.cols[chosen]]
        assert sorted(found) == [2, 3, 4, 5, 6, 7, 8]


def test_many_labels_go_where_the_map_is_not_sure():
    kind, embedding = kinds_of_land(1, 9)
    margins = np.where(kind == 3, 0, 255).astype(np.uint8)
    labelled = [place[::-1] for each in range(9) for place in np.argwhere(kind == each)[:5]]
    may, scene = both(embedding, margins)
    for labels in (FEW_LABELS - 1, FEW_LABELS):
        chosen = suggest(may, scene, known_at(labelled, embedding, labels), 64, count=5)
        found = kind[may.pixels.rows[chosen], may.pixels.cols[chosen]]
        assert (set(found) == {3}) == (labels == FEW_LABELS)


def naive_suggest(may, scene, known, side, count):
    """The choices one by one, each from the values of all candidates."""
    unit = lambda v: v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-30)  # noqa: E731
    samples = unit(scene.vectors.astype(np.float64))
    centre = samples.mean(axis=0)
    samples = unit(samples - centre)
    others = unit(unit(may.vectors.astype(np.float64)) - centre)
    placed = list(
        zip(known.places.tolist(), unit(unit(known.vectors.astype(np.float64)) - centre), strict=True)
    )
    few = known.labels < FEW_LABELS
    # About 5 % of all pairs are similar by half or more
    alike = np.quantile(samples @ samples.T, 0.95)
    power = 2 ** np.clip(np.rint(np.log2(np.log(0.5) / np.log(alike))), 0, 6)
    chosen, values = [], []
    while len(chosen) < count:
        best, found = -1, 0.0
        for i, vector in enumerate(others):
            place = (may.pixels.cols[i], may.pixels.rows[i])
            if any(np.hypot(*np.subtract(place, at)) < max(2, LEAST_DISTANCE * side) for at, _ in placed):
                continue
            value = 1e-6
            for j, sample in enumerate(samples):
                cosines = [0.0, *(sample @ each for _, each in placed)]
                gain = max(0.0, sample @ vector) ** power - max(cosines) ** power
                value += max(0.0, gain) * (1 if few else 1 - scene.pixels.margins[j] / 255)
            value *= 1 if few else 1 - may.pixels.margins[i] / 255 + LEAST_DOUBT
            if value > found:
                best, found = i, value
        if best < 0:
            break
        chosen.append(best)
        values.append(found)
        placed.append(((may.pixels.cols[best], may.pixels.rows[best]), others[best]))
    return chosen, values


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.integers(0, 3), st.booleans())
def test_choices_are_those_of_the_plain_twin(seed, labels, many):
    rng = np.random.default_rng(seed)
    _, embedding = kinds_of_land(seed, 4, side=12, noise=0.8)
    margins = rng.integers(0, 256, (12, 12)).astype(np.uint8)
    may, scene = both(embedding, margins)
    keep = rng.choice(len(may.pixels.cols), 25, replace=False)
    may = Vectors(Pixels(*(each[keep] for each in may.pixels)), may.vectors[keep])
    known = known_at(rng.integers(0, 12, (labels, 2)), embedding, FEW_LABELS if many else labels)
    found = suggest(may, scene, known, 12, count=4)
    wanted, values = naive_suggest(may, scene, known, 12, 4)
    assert len(found) == len(wanted)
    places = list(zip(may.pixels.cols, may.pixels.rows, strict=True))  # some pixels are candidates twice
    for one, other, value in zip(found, wanted, values, strict=True):
        if places[one] != places[other]:  # a tie in float32
            assert value < 1e-4
            break


def test_suggestions_of_small_or_empty_land():
    nothing = Vectors(
        Pixels(np.zeros(0, int), np.zeros(0, int), np.zeros(0, np.uint8)), np.zeros((0, 4), np.float32)
    )
    assert suggest(nothing, nothing, NONE, 10).tolist() == []
    may, scene = candidates(np.zeros((30, 40, 2), np.uint8))
    assert len(may.cols) == len(scene.cols) == 0
    one = np.zeros((1, 1, 2), np.uint8)
    one[0, 0] = (1, 3)
    may, scene = (Vectors(each, np.ones((len(each.cols), 4), np.float32)) for each in candidates(one))
    assert [may.pixels.margins[i] for i in suggest(may, scene, NONE, 1)] == [3]
    assert suggest(may, scene, known_at([(0, 0)], np.ones((1, 1, 4), np.float32)), 1).tolist() == []


@pytest.mark.parametrize("count", [1, 30])
def test_suggestions_lie_apart(count):
    _, embedding = kinds_of_land(2, 6)
    may, scene = both(embedding, np.zeros((64, 64), np.uint8))
    chosen = suggest(may, scene, known_at([(5, 5)], embedding), 64, count=count)
    assert len(chosen) == count
    places = np.array([(5, 5), *zip(may.pixels.cols[chosen], may.pixels.rows[chosen], strict=True)])
    apart = np.hypot(*(places[:, np.newaxis] - places).transpose(2, 0, 1))
    assert apart[~np.eye(len(places), dtype=bool)].min() >= max(2, LEAST_DISTANCE * 64)
