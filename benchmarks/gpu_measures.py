"""What is measured of a backend on a GPU. Each takes what it measures, so that tests run them on the CPU as well."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from power import Sampler

from tessera_engine.backends.base import Backend
from tessera_engine.backends.gpu.device import Memory
from tessera_engine.model.drift import Drift, measure
from tessera_engine.tokens import PackedTokens

PIXELS_A_KM2 = 10_000
"""Of 10 m."""

ENERGY_SECONDS = 10.0
"""Samples of power come ten times a second, and tools smooth over a second or so."""


def drift(reference: Backend, backend: Backend, tokens: PackedTokens) -> Drift:
    """Of a backend from the reference's embeddings."""
    return measure(reference.run(tokens), backend.run(tokens))


def determinism(backend: Backend, tokens: PackedTokens, runs: int = 3) -> dict[str, Any]:
    """Whether the same pixels give the same bits again, and how much it matters what else is in a batch."""
    first = backend.run(tokens)
    same = all(np.array_equal(first, backend.run(tokens)) for _ in range(runs - 1))
    half = np.arange(0, len(tokens), 2)
    apart = backend.run(tokens.chosen(half))
    return {
        "same_bits_again": bool(same),
        "max_difference_in_other_batches": float(np.abs(apart - first[half]).max()),
    }


def memory_ceiling(
    memory: Callable[[], Memory], backend: Backend, tokens: PackedTokens, runs: int = 5
) -> dict[str, int]:
    """Bytes of the device that the first run takes, and what later ones take besides."""
    before = memory().free
    backend.run(tokens)
    first = before - memory().free
    for _ in range(runs - 1):
        backend.run(tokens)
    return {"first_run": first, "later_runs": before - memory().free - first, "total": memory().total}


def speed(run: Callable[[], object], pixels: int, rounds: int) -> dict[str, float]:
    """Pixels a second of something that is warm: the median of some rounds, and the fastest and slowest."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return {
        "pixels_per_second": pixels / float(np.median(seconds)),
        "slowest": pixels / max(seconds),
        "fastest": pixels / min(seconds),
        "seconds_a_km2": float(np.median(seconds)) / pixels * PIXELS_A_KM2,
    }


def energy(run: Callable[[], object], pixels: int, tool: Any, seconds: float) -> dict[str, Any]:
    """Joules a square kilometre of what does nothing else for some seconds; idle power is in it."""
    runs, start = 0, time.perf_counter()
    with Sampler(tool) as power:
        while time.perf_counter() - start < seconds or not runs:
            run()
            runs += 1
    joules = power.joules
    return {
        "power_from": power.source or None,
        "watts": joules / power.seconds if joules is not None else None,
        "joules_a_km2": joules / (runs * pixels) * PIXELS_A_KM2 if joules is not None else None,
    }


class Launches:
    """A GPU that remembers launches, to run them again without what the host does for them: packing and copies."""

    def __init__(self, device: Any) -> None:
        self._device, self.launched = device, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def launch(self, *arguments: Any) -> None:
        """See `Cuda.launch`."""
        self.launched.append(arguments)
        self._device.launch(*arguments)

    def again(self) -> None:
        """Launch all of it again, and wait."""
        for arguments in self.launched:
            self._device.launch(*arguments)
        for stream in dict.fromkeys(each[-1] for each in self.launched):
            self._device.synchronise(stream)
