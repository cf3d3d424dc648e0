"""Benchmark: how fast each way to run a model is here, beside PyTorch, on the same pixels in one run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend
from tessera_engine.drift import Drift, measure
from tessera_engine.journal import Journal
from tessera_engine.pipeline import run
from tessera_engine.scenes import open_scene
from tessera_engine.staging import Staging
from tessera_engine.tokens import PackedTokens

STAGE_PIXELS = 2048
"""Window of the run that is timed stage by stage: several windows, so that reading ahead shows."""


@dataclass(frozen=True)
class Row:
    """One way to run the model.

    Attributes:
        name: precision and runtime.
        pixels_per_second: median over the rounds.
        ratio: median over the rounds of its speed by the baseline's in the same round.
        drift: from the baseline's embeddings.
    """

    name: str
    pixels_per_second: float
    ratio: float
    drift: Drift


def stage_shares(scene: str | None, backend: Backend) -> dict[str, float]:
    """Which share of the wall time each stage of the pipeline takes, output files left out.

    Args:
        scene: a scene folder; None: a simulated one.
        backend: the loaded model.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if scene is None:
            from tessera_engine.simulate import simulate

            simulate(folder / "scene", 96, seed=1)
        reader = open_scene(scene or folder / "scene").reader
        store = "int8" if backend.model.facts.precision == "int8" else "float32"
        staging = Staging.create(folder, reader.grid, backend.model.facts.dims, store)
        for turn in ("warm-up", "timed"):
            journal = Journal(folder / turn, {}, STAGE_PIXELS)
            seconds = run(reader, backend, staging, reader.grid.window, journal).seconds
    return {stage: each / sum(seconds.values()) for stage, each in seconds.items()}


def compare(
    backends: dict[str, Backend],
    baselines: tuple[str, ...],
    tokens: PackedTokens,
    rounds: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Time backends in alternating rounds.

    Args:
        backends: by name.
        baselines: names of those that the others are compared with: the faster one of each round.
        tokens: the pixels, the same for all.
        rounds: how often each runs, after one run to warm up.
        progress: told after each run.
    """
    seconds: dict[str, list[float]] = {name: [] for name in backends}
    embeddings: dict[str, NDArray[np.float32]] = {}
    for i in range(rounds + 1):
        for j, (name, backend) in enumerate(backends.items()):
            start = time.perf_counter()
            embeddings[name] = backend.run(tokens)
            if i > 0:
                seconds[name].append(time.perf_counter() - start)
            if progress is not None:
                progress(i * len(backends) + j + 1, (rounds + 1) * len(backends))
    base = [min(seconds[name][i] for name in baselines) for i in range(rounds)]
    return [
        Row(
            name,
            len(tokens) / median(times),
            median(b / t for b, t in zip(base, times, strict=True)),
            measure(embeddings[baselines[0]], embeddings[name]),
        )
        for name, times in seconds.items()
    ]
