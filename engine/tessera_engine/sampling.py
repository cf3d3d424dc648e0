"""A sample of a scene's pixels, to measure models on."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.model_file import ModelFacts
from tessera_engine.scenes import open_scene
from tessera_engine.tokens import PackedTokens, pack


def sample_tokens(scene: str | None, facts: ModelFacts, pixels: int) -> PackedTokens:
    """Tokens of some rows from the middle of a scene.

    Args:
        scene: its folder; None: a simulated one.
        facts: the model's, for its statistics.
        pixels: about how many.

    Raises:
        InputError: the scene can't be read, or has no observation there.
    """
    if scene is None:
        from tessera_engine.simulate import simulate

        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "simulated"
            simulate(made, (64, max(2, pixels // 64)), seed=1)
            return sample_tokens(str(made), facts, pixels)
    opened = open_scene(scene)
    grid = opened.grid
    rows = min(grid.height, max(1, round(pixels / grid.width)))
    middle = grid.window._replace(row=(grid.height - rows) // 2, height=rows)
    for window in opened.reader.windows(middle, max(pixels, grid.width)):
        tokens = pack(opened.reader.read(window), facts).tokens
        if len(tokens) > 1:
            return tokens
    raise InputError(f"{scene} has no observations in its middle; give another scene")
