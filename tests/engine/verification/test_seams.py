"""Seams in embeddings: straight lines and edges of orbits are found, and nothing in noise."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from tessera_engine.scene import Grid
from tessera_engine.verification import seams
from tessera_engine.verification.seams import find_seams


@dataclass
class Fake:
    """Embeddings in memory."""

    values: np.ndarray
    counts: np.ndarray
    dim: int = 16
    grid: Grid = field(init=False)

    def __post_init__(self):
        self.grid = Grid(self.values.shape[1], self.values.shape[0])

    def read(self, window):
        return self.values[window.slices][..., : self.dim]

    def read_observations(self, window):
        return self.counts[window.slices]


def noise(height=200, width=230, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(height, width, 16)).astype(np.float32)
    return Fake(values, np.full((height, width, 2), 40, np.uint16))


@pytest.mark.parametrize("wide", [64, 100, 1024])
def test_a_straight_line_is_found_whatever_is_read_at_once(monkeypatch, wide):
    monkeypatch.setattr(seams, "WIDE", wide)
    output = noise()
    output.values[:, 77:] += 2.5
    output.values[120:, :] -= 2.5
    found = {(seam.axis, seam.at): (seam.start, seam.end) for seam in find_seams(output).lines}
    assert found == {("column", 77): (0, 200), ("row", 120): (0, 230)}


def test_nothing_is_found_in_noise_nor_at_one_border_of_a_field():
    output = noise(seed=4)
    output.values[30:80, 90:160] += 2
    assert find_seams(output).phrases() == []


def test_the_border_of_no_data_is_none():
    output = noise(seed=5)
    output.values[:, 100:] = np.nan
    assert find_seams(output).phrases() == []


def test_a_step_at_the_edge_of_an_orbit_is_found():
    output = noise(seed=6)
    row, col = np.mgrid[:200, :230]
    inside = col > 60 + row // 3
    output.counts[inside, 1] = 80
    assert find_seams(output).phrases() == []
    output.values[inside] += 1.5
    found = find_seams(output)
    assert found.edge_ratio > 1.3
    assert any("orbits" in phrase for phrase in found.phrases())
    # Each pair of neighbours once, in both directions
    pairs = np.count_nonzero(np.diff(inside, axis=1)) + np.count_nonzero(np.diff(inside, axis=0))
    assert found.edge_pairs == pairs
