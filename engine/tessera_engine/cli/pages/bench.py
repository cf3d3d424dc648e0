"""Benchmark: how fast each way to run a model is here, beside PyTorch, on the same pixels in one run.

Each runtime gets a process of its own, and they take turns. In one process the idle threads of one would spin on the
cores of the next: PyTorch was seen fifty times slower beside two others.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend
from tessera_engine.errors import TesseraError
from tessera_engine.files.staging import Staging
from tessera_engine.model.drift import Drift, measure
from tessera_engine.running.journal import Journal
from tessera_engine.running.pipeline import run
from tessera_engine.scene import Observations
from tessera_engine.scenes import open_scene
from tessera_engine.tokens import pack

STAGE_PIXELS = 2048
"""Window of the run that is timed stage by stage: several windows, so that reading ahead shows."""

MakeBackend = Callable[[], Backend]
"""Loads a model; importable by name (a function, or a `functools.partial` of one), since another process calls it."""


@dataclass(frozen=True)
class Row:
    """One way to run the model.

    Attributes:
        name: precision and runtime.
        pixels_per_second: median over the rounds, packing of tokens included.
        ratio: median over the rounds of its speed by the baseline's in the same round.
        drift: from the baseline's embeddings.
    """

    name: str
    pixels_per_second: float
    ratio: float
    drift: Drift


class Runner:
    """A backend in a process of its own, with the pixels that it is timed on."""

    def __init__(self, make: MakeBackend, observations: Observations, threads: int) -> None:
        """Start the process, load the model and run it twice, so that everything is compiled and warm.

        Args:
            make: loads the backend.
            observations: (T, N, bands) or (T, height, width, bands) arrays; every pixel has an observation.
            threads: of the packing; the backend's are `make`'s.

        Raises:
            TesseraError: the backend can't be loaded, as `make` says.
        """
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        # through the pipe, not as arguments: those are waited for forever where a process ends before it reads them
        self.embedding: NDArray[np.float32] = self._ask((make, observations, threads))

    def _ask(self, question: object) -> Any:
        try:
            self._pipe.send(question)
            answer = self._pipe.recv()
        except (EOFError, OSError):
            self.close()
            raise TesseraError(
                f"a benchmark's process ended with exit code {self._process.exitcode}; give fewer --pixels"
            ) from None
        if isinstance(answer, Exception):
            self.close()
            raise answer
        return answer

    def seconds(self) -> float:
        """Run once: seconds from observations to embeddings."""
        return float(self._ask(True))

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _serve(pipe: Connection) -> None:
    """What a runner's process does, until the pipe is closed at its other end."""
    make, observations, threads = pipe.recv()
    try:
        numba.set_num_threads(threads)
        backend = make()
        for _ in range(2):
            embedding = backend.run(pack(observations, backend.model.facts).tokens)
    except TesseraError as error:
        pipe.send(error)
        return
    pipe.send(embedding)
    try:
        while pipe.recv():
            start = time.perf_counter()
            backend.run(pack(observations, backend.model.facts).tokens)
            pipe.send(time.perf_counter() - start)
    except EOFError:
        pass


def compare(
    runners: Mapping[str, Runner],
    baselines: Sequence[str],
    rounds: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Time runners in alternating rounds.

    Args:
        runners: by name, all with the same pixels.
        baselines: names of those that the others are compared with: the faster one of each round.
        rounds: how often each runs.
        progress: told after each run.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for i in range(rounds):
        for j, (name, runner) in enumerate(runners.items()):
            seconds[name].append(runner.seconds())
            if progress is not None:
                progress(i * len(runners) + j + 1, rounds * len(runners))
    base = [min(seconds[name][i] for name in baselines) for i in range(rounds)]
    reference = runners[baselines[0]].embedding
    return [
        Row(
            name,
            len(reference) / median(times),
            median(b / t for b, t in zip(base, times, strict=True)),
            measure(reference, runners[name].embedding),
        )
        for name, times in seconds.items()
    ]


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
        stored_as = "int8" if backend.model.facts.is_int8 else "float32"
        staging = Staging.create(folder, reader.grid, backend.model.facts.dims, stored_as)
        for turn in ("warm-up", "timed"):
            journal = Journal(folder / turn, {}, STAGE_PIXELS)
            seconds = run(reader, backend, staging, reader.grid.window, journal).seconds
    return {stage: each / sum(seconds.values()) for stage, each in seconds.items()}
