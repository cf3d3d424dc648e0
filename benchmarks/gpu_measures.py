"""What is measured of a backend on a GPU. Each takes what it measures, so that tests run them on the CPU as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from power import Sampler

from tessera_engine.backends.base import Backend
from tessera_engine.backends.gpu.device import Memory
from tessera_engine.cli.pages.bench import MakeBackend, Runner, compare
from tessera_engine.errors import InputError
from tessera_engine.model.drift import Drift, measure
from tessera_engine.scene import Observations
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


def speeds(
    makers: Mapping[str, MakeBackend],
    baselines: Sequence[str],
    observations: Observations,
    threads: int,
    rounds: int,
    tool: Any,
    energy_seconds: float = ENERGY_SECONDS,
) -> dict[str, Any]:
    """Each way to run a model in alternating rounds, then each alone for some seconds while power is sampled.

    Returns:
        Name -> speed, ratio to the faster baseline of each round, drift from the first baseline, seconds and joules a
        square kilometre (None: no tool tells power); or why it couldn't be run.
    """
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        runners = {}
        for name, make in makers.items():
            try:
                runners[name] = stack.enter_context(Runner(make, observations, threads))
            except InputError as missing:
                found[name] = {"missing": str(missing)}
        if not runners:
            return found
        there = [name for name in baselines if name in runners] or list(runners)[:1]
        for row in compare(runners, there, rounds):
            found[row.name] = {
                "pixels_per_second": row.pixels_per_second,
                "ratio": row.ratio,
                "seconds_a_km2": PIXELS_A_KM2 / row.pixels_per_second,
                "drift": row.drift.to_dict(),
            } | energy(runners[row.name], tool, energy_seconds)
    return found


def energy(runner: Runner, tool: Any, seconds: float) -> dict[str, Any]:
    """Joules a square kilometre of a runner that does nothing else for some seconds; idle power is in it."""
    busy = runs = 0.0
    with Sampler(tool) as power:
        while busy < seconds:
            busy += runner.seconds()
            runs += 1
    pixels = runs * len(runner.embedding)
    joules = power.joules
    return {
        "power_from": power.source or None,
        "watts": joules / power.seconds if joules is not None else None,
        "joules_a_km2": joules / pixels * PIXELS_A_KM2 if joules is not None else None,
    }
