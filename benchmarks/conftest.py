"""Benchmarks: each makes its own input, asserts its result, and records what machine it ran on."""

from __future__ import annotations

import platform

import pytest

from tessera_engine.cli.pages.doctor import examine
from tessera_engine.running.loading import load_model
from tessera_engine.simulate import simulate


def pytest_benchmark_update_machine_info(config, machine_info):
    found = examine()
    machine_info["tessera"] = {
        name: found[name] for name in ("cpu", "threads", "instruction_sets", "backend", "packages")
    } | {"platform": platform.platform()}


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """A ragged simulated scene: clouds in patches, both orbits, swath edges."""
    folder = tmp_path_factory.mktemp("scene") / "simulated"
    simulate(folder, 48, seed=5)
    return folder


@pytest.fixture(scope="session")
def demo():
    return load_model("demo", "int8", "onnxruntime")
