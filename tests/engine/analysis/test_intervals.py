"""Intervals are of the reported quantity, also where a class is rare, and hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from tessera_engine.analysis.maps.compare import Comparison, Outcome
from tessera_engine.analysis.maps.intervals import DRAWS, draw_blocks, expansion, interval
from tessera_engine.analysis.maps.scores import class_scores

BLOCKS = 25
RECALL = np.array([0.9, 0.8, 0.6])


def made_up_blocks(count, rng):
    """(count, 3, 3) confusions: the third class lies in a fifth of the blocks, and blocks differ in how hard they are."""
    labels = rng.poisson([40, 20, 12], (count, 3))
    labels[:, 2] *= rng.random(count) < 0.2
    right = rng.binomial(labels, rng.beta(RECALL * 8, (1 - RECALL) * 8, (count, 3)))
    found = np.zeros((count, 3, 3), np.int64)
    for true in range(3):
        first = rng.binomial(labels[:, true] - right[:, true], 0.5)
        others = [each for each in range(3) if each != true]
        found[:, true, true] = right[:, true]
        found[:, true, others[0]] = first
        found[:, true, others[1]] = labels[:, true] - right[:, true] - first
    return found


def outcome_of(of_groups):
    """As `Comparison.measure` makes it, from confusions of blocks."""
    comparison = Comparison.__new__(Comparison)
    comparison.regression = False
    values = {name: float(value) for name, value in class_scores(of_groups.sum(axis=0)).items()}
    drawn = class_scores(np.tensordot(draw_blocks(len(of_groups)), of_groups, 1))
    return Outcome(values, drawn, comparison._means(of_groups), of_groups)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """About 95 of 100, though the rare class lies in five blocks: with 300 tries, 89 to 99 of 100 isn't chance."""
    rng = np.random.default_rng(0)
    truth = class_scores(made_up_blocks(300_000, rng).sum(axis=0))
    held = dict.fromkeys(truth, 0)
    tries = 0
    while tries < 300:
        blocks = made_up_blocks(BLOCKS, rng)
        if (blocks.sum(axis=2)[:, 2] > 0).sum() < 2:
            continue
        tries += 1
        for name, score in outcome_of(blocks).scores().items():
            held[name] += score.low <= truth[name] <= score.high
    assert {name for name, count in held.items() if not 0.89 <= count / tries <= 0.995} == set(), held


def test_every_draw_has_every_class():
    """A class in one block of 25: a third of the draws with replacement would miss it, and score two classes."""
    blocks = made_up_blocks(BLOCKS, np.random.default_rng(1))
    blocks[1:, 2] = 0
    blocks[0, 2] = [10, 0, 0]  # never right
    drawn = outcome_of(blocks).drawn["balanced_accuracy"]
    assert drawn.shape == (DRAWS,)
    assert drawn.max() < 2 / 3 + 1e-9


def test_few_blocks_make_wide_intervals():
    rng = np.random.default_rng(2)
    factors = []
    for blocks in (3, 5, 10, 40):
        counts = np.full((blocks, 1), 20)
        factors.append(expansion(counts, rng.binomial(counts, 0.7)))
    # Student's t by its table: 4.303, 2.776, 2.262, 2.023; and (k + 1) / (k - 1) for the variance
    expected = [
        t / 1.96 * ((k + 1) / (k - 1)) ** 0.5 for t, k in ((4.303, 3), (2.776, 5), (2.262, 10), (2.023, 40))
    ]
    assert factors == pytest.approx(expected, rel=1e-3)


def test_a_class_in_one_block_adds_nothing():
    counts = np.array([[20, 5], [20, 0], [20, 0]])
    right = np.array([[18, 1], [10, 0], [15, 0]])
    assert expansion(counts, right) == expansion(counts[:, :1], right[:, :1])
    assert expansion(counts[:, 1:], right[:, 1:]) == 1


def test_an_interval_keeps_to_what_a_score_can_be():
    drawn = np.linspace(0.8, 1, DRAWS)
    found = interval(0.95, drawn, 10, (0.0, 1.0))
    assert (found.low, found.high) == (0, 1)
    assert interval(0.7, drawn).low == 0.7
