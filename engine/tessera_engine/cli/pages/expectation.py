"""The time and memory to embed a scene on this machine, measured on a sample of its own pixels."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tessera_engine.machine import default_memory
from tessera_engine.model.installed import DEFAULT_MODEL
from tessera_engine.running.loading import load_model
from tessera_engine.running.memory import Demand
from tessera_engine.scene import Observations, Reader
from tessera_engine.tokens import pack

FIRST_PIXELS = 64
LEAST_SECONDS = 0.5
"""Shorter timings are too noisy."""


@dataclass(frozen=True)
class Expectation:
    """The expected time and memory of a run.

    Attributes:
        model: the model that was measured, with its precision.
        backend: the backend that ran it.
        threads: CPU threads.
        measured_pixels: number of pixels that were timed; reading and packing them is not included.
        pixels_per_second: speed of the network.
        pixels: number of pixels that a run would read.
        seconds: time of the network for these pixels, which is nearly the time of the run.
        memory: peak memory in bytes, with the default memory limit.
    """

    model: str
    backend: str
    threads: int
    measured_pixels: int
    pixels_per_second: float
    pixels: int
    seconds: float
    memory: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def expect(
    reader: Reader, sample: Observations, announce: Callable[[str], None] | None = None
) -> Expectation | None:
    """Time the default model in int8 on a sample of a scene.

    Args:
        reader: the scene.
        sample: a sample of its pixels.
        announce: called if kernels have to be compiled first, which takes a while the first time.

    Returns:
        None if no sampled pixel has an observation.

    Raises:
        InputError: the free memory is too small for a window.
    """
    model = load_model(DEFAULT_MODEL, "int8", announce=announce)
    available = sample.s2_valid.shape[1] * sample.s2_valid.shape[2]
    count = min(FIRST_PIXELS, available)
    while True:
        tokens = pack(_some_pixels(sample, count), model.facts).tokens
        if not len(tokens):
            return None
        start = time.perf_counter()
        model.backend.run(tokens)
        seconds = time.perf_counter() - start
        if seconds >= LEAST_SECONDS or count == available:
            break
        count = min(available, 2 * count)
    file = model.backend.model
    demand = Demand(reader, file, reader.grid, backend=model.backend.name)
    largest = demand.window_pixels(default_memory())
    pixels = widest = 0
    for window in reader.windows(reader.grid.window, largest):
        pixels, widest = pixels + window.pixels, max(widest, window.pixels)
    speed = len(tokens) / seconds
    return Expectation(
        model=file.label,
        backend=model.backend.description,
        threads=model.threads,
        measured_pixels=len(tokens),
        pixels_per_second=speed,
        pixels=pixels,
        seconds=pixels / speed,
        memory=demand.of(widest),
    )


def _some_pixels(sample: Observations, count: int) -> Observations:
    """`count` pixels spread over a sample, as one row."""
    height, width = sample.s2_valid.shape[1:]
    rows, cols = np.unravel_index(np.linspace(0, height * width - 1, count).astype(int), (height, width))
    names = ("s2", "s2_valid", "s1_ascending", "s1_descending")
    return replace(sample, **{name: getattr(sample, name)[:, None, rows, cols] for name in names})
