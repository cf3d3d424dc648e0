"""A sample of a scene's pixels, on which models are measured."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.model.facts import ModelFacts
from tessera_engine.scene import Observations
from tessera_engine.scenes import open_scene
from tessera_engine.tokens import PackedTokens, pack


def sample_tokens(scene: str | None, facts: ModelFacts, pixels: int) -> PackedTokens:
    """Tokens of the pixels that `sample_observations` returns; the arguments are the same.

    Raises:
        InputError: the scene can't be read, or has no observations in its middle.
    """
    return pack(sample_observations(scene, facts, pixels), facts).tokens


def sample_observations(scene: str | None, facts: ModelFacts, pixels: int) -> Observations:
    """Some rows from the middle of a scene.

    Args:
        scene: the scene's folder; None: a simulated scene.
        facts: the model's facts, which decide which pixels can be embedded.
        pixels: approximate number of pixels.

    Raises:
        InputError: the scene can't be read, or has no observations in its middle.
    """
    if scene is None:
        from tessera_engine.simulate import simulate

        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "simulated"
            simulate(made, (64, max(2, pixels // 64)), seed=1)
            return sample_observations(str(made), facts, pixels)
    opened = open_scene(scene)
    grid = opened.grid
    rows = min(grid.height, max(1, round(pixels / grid.width)))
    middle = grid.window._replace(row=(grid.height - rows) // 2, height=rows)
    for window in opened.reader.windows(middle, max(pixels, grid.width)):
        observations = opened.reader.read(window)
        if len(pack(observations, facts).pixels) > 1:
            return observations
    raise InputError(f"{scene} has no observations in its middle rows; give another scene")
