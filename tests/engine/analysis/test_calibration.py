"""Calibrated shares: what one temperature mends, and where no share is sure."""

from __future__ import annotations

import numpy as np
import pytest

from tessera_engine.analysis.maps.calibration import calibrate, expected_error, find_temperature
from tessera_engine.analysis.maps.class_report import share_interval
from tessera_kernels.scores import most_likely


def test_calibration_finds_the_temperature_of_overconfident_scores():
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(4000, 3)).astype(np.float32) * 1.5
    shares = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    true = (shares.cumsum(axis=1) < rng.random((4000, 1))).sum(axis=1)
    assert find_temperature(honest * 3, true) == pytest.approx(3, rel=0.1)
    folds, blocks = list(np.arange(4000).reshape(5, -1)), np.arange(4000) // 40
    found = calibrate(honest * 3, true, folds, blocks)
    assert found.temperature == pytest.approx(3, rel=0.1)
    assert found.error < 0.03 < 0.1 < found.error_before
    assert sum(labels for _, _, labels in found.bins) == 4000
    # Few labels move it little, and a class that no fold had learned none at all
    assert 0.4 < find_temperature(np.array([[4, 0, 0]], np.float32), np.array([0])) < 1
    assert find_temperature(np.array([[0, -np.inf]], np.float32), np.array([1])) == 1


def test_calibration_leaves_what_it_cannot_improve():
    """The error on other labels: of honest scores it hardly grows, of overconfident ones it falls as it should."""

    def draw(rng, labels):
        honest = rng.normal(size=(labels, 3)).astype(np.float32) * 1.5
        shares = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
        return honest, (shares.cumsum(axis=1) < rng.random((labels, 1))).sum(axis=1).clip(0, 2)

    others, classes = draw(np.random.default_rng(999), 20_000)
    grown = {1: [], 4: []}
    always = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        blocks = np.unique(np.sort(rng.integers(0, 20, 120)), return_inverse=True)[1]
        folds = [np.flatnonzero(blocks % 5 == fold) for fold in range(5)]
        honest, true = draw(rng, 120)
        for factor in (1, 4):

            def error(temperature, factor=factor):
                number, confidence = most_likely(others * np.float32(factor), temperature)
                return expected_error(confidence.astype(float), number == classes)[0]

            scores = honest * np.float32(factor)
            found = calibrate(scores, true, folds, blocks)
            assert found.error <= found.error_before
            assert (found.error < found.error_before) == (found.temperature != 1)
            grown[factor].append(error(found.temperature) - error(1.0))
            if factor == 1:
                always.append(error(find_temperature(scores, true)) - error(1.0))
    assert max(grown[4]) < -0.1
    assert max(grown[1]) < 0.06
    assert 0 <= np.mean(grown[1]) < np.mean(always) / 2


def test_no_share_is_sure_after_a_few_blocks():
    """Wilson's interval, by hand: 10 of 10 is above 72 %, and 0 of 4 below 49 %."""
    assert share_interval(1.0, 10).low == pytest.approx(0.7225, abs=1e-4)
    assert share_interval(1.0, 10).high == 1
    assert share_interval(0.0, 4).high == pytest.approx(0.4899, abs=1e-4)
