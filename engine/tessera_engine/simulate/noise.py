"""Random numbers and smooth random fields that depend on the seed only: not on threads or block sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Stream(IntEnum):
    """What random numbers are for: each purpose has a stream of its own, so that none shifts another."""

    LAYOUT = 0
    PARCELS = 1
    TEXTURE = 2
    WEATHER = 3
    OPTICAL = 4
    CLOUDS = 5
    RADAR = 6


def generator(seed: int, *key: int) -> np.random.Generator:
    """The generator of one stream, e.g. `generator(seed, Stream.CLOUDS, date)`."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, *key))))


def _spline_weights(size: int, scale: float) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """First lattice node (size,) and the cubic B-spline weights (4, size) of each position."""
    position = np.arange(size) / scale
    node = np.floor(position).astype(np.intp)
    u = (position - node).astype(np.float32)
    weights = np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3])
    return node, (weights / 6).astype(np.float32)


def smooth_noise(rng: np.random.Generator, height: int, width: int, scale: float) -> NDArray[np.float32]:
    """Gaussian noise (height, width) of unit variance with features about `scale` pixels across.

    Cubic B-spline interpolation of independent normals on a lattice of `scale` pixels.
    """
    row_node, row_weight = _spline_weights(height, scale)
    col_node, col_weight = _spline_weights(width, scale)
    lattice = rng.standard_normal((row_node[-1] + 4, col_node[-1] + 4), np.float32)
    rows = sum(lattice[row_node + k] * row_weight[k][:, None] for k in range(4))
    field = np.take(rows, col_node, axis=1)
    field *= col_weight[0]
    for k in range(1, 4):
        field += np.take(rows, col_node + k, axis=1) * col_weight[k]
    # 151/315 is the mean over a cell of the sum of squared weights, per axis
    field *= np.float32(315 / 151)
    return field


def fractal_noise(
    rng: np.random.Generator, height: int, width: int, scales: Sequence[float], persistence: float = 0.5
) -> NDArray[np.float32]:
    """Sum of `smooth_noise` at the given scales, each `persistence` times the amplitude before; unit variance."""
    amplitudes = [persistence**i for i in range(len(scales))]
    norm = math.sqrt(sum(a * a for a in amplitudes))
    field = np.zeros((height, width), np.float32)
    for scale, amplitude in zip(scales, amplitudes, strict=True):
        field += smooth_noise(rng, height, width, scale) * np.float32(amplitude / norm)
    return field


class NoiseLoop:
    """Independent normals, drawn once and read in a circle; each date starts at a place of its own.

    Drawing new numbers for every value of every date would take most of the time of a scene.
    """

    LENGTH = 2_097_143
    """A prime, so that no pattern lines up with rows of pixels."""

    def __init__(self, rng: np.random.Generator, longest: int) -> None:
        values = rng.standard_normal(self.LENGTH, np.float32)
        self._values = np.resize(values, self.LENGTH + longest)

    def read(self, start: int, shape: tuple[int, int]) -> NDArray[np.float32]:
        """The values from `start` on, as a read-only view; at most `longest` of them."""
        start %= self.LENGTH
        view = self._values[start : start + shape[0] * shape[1]].reshape(shape)
        view.flags.writeable = False
        return view
