"""Pixels to train on: packed tokens of pixels of many scenes, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.scene import Observations
from tessera_engine.scenes import open_scene
from tessera_engine.tokens import PackedTokens, Statistics, Tokens, pack

WINDOW_PIXELS = 1 << 14
"""Pixels of a scene that are read at once."""


def sample_scene(path: Path, statistics: Statistics, pixels: int, seed: int) -> PackedTokens:
    """Tokens of pixels drawn at random from a scene.

    Args:
        path: the scene's folder.
        statistics: what the model z-scores with.
        pixels: how many; all of them where the scene has fewer. Pixels without any observation are left out.
        seed: of the draw.

    Raises:
        InputError: the scene can't be read, or no drawn pixel has an observation.
    """
    scene = open_scene(path)
    grid = scene.grid
    drawn = np.zeros((grid.height, grid.width), bool)
    chosen = np.random.default_rng(seed).permutation(drawn.size)[:pixels]
    drawn.ravel()[chosen] = True
    parts = []
    for window in scene.reader.windows(grid.window, WINDOW_PIXELS):
        col, row, width, height = window
        here = np.flatnonzero(drawn[row : row + height, col : col + width])
        if len(here):
            observations = select_pixels(scene.reader.read(window), here)
            parts.append(pack(observations, statistics).tokens)
    if not sum(map(len, parts)):
        raise InputError(f"{path} has no observation in {pixels} pixels drawn from it; give another scene")
    return concatenate(parts)


def select_pixels(observations: Observations, pixels: NDArray[np.int64]) -> Observations:
    """Some pixels (N,) of a window, counted row by row, as (T, N, bands) arrays."""
    flat = {}
    for name in ("s2", "s2_valid", "s1_ascending", "s1_descending"):
        values = getattr(observations, name)
        steps, height, width = values.shape[:3]
        flat[name] = values.reshape(steps, height * width, *values.shape[3:])[:, pixels]
    return replace(observations, **flat)


def concatenate(parts: Sequence[PackedTokens]) -> PackedTokens:
    """The pixels of several parts, one after the other."""
    return PackedTokens(_concatenate([part.s2 for part in parts]), _concatenate([part.s1 for part in parts]))


def _concatenate(parts: Sequence[Tokens]) -> Tokens:
    lengths = np.concatenate([part.lengths for part in parts])
    return Tokens(
        values=np.concatenate([part.values for part in parts]),
        doy=np.concatenate([part.doy for part in parts]),
        multiplicity=np.concatenate([part.multiplicity for part in parts]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )
