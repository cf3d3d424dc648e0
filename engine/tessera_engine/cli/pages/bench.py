"""Benchmark: the speed of each way to run a model on this machine, compared with PyTorch, on the same pixels.

Each runtime has its own process, and they take turns. In one process, the idle threads of one runtime would occupy the
cores that the next one needs: PyTorch was fifty times slower in a process with two others.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend
from tessera_engine.backends.choosing import make_backend
from tessera_engine.backends.registry import backend_names, backend_record
from tessera_engine.cli.reference import find_reference
from tessera_engine.errors import TesseraError
from tessera_engine.files.staging import Staging
from tessera_engine.model.drift import Drift, measure
from tessera_engine.model.facts import GPU_PRECISIONS
from tessera_engine.model.file import ModelFile, read_model_file
from tessera_engine.running.journal import Journal
from tessera_engine.running.pipeline import Part, run
from tessera_engine.scene import Observations
from tessera_engine.scenes import open_scene
from tessera_engine.simulate import simulate
from tessera_engine.tokens import pack
from tessera_kernels.threads import set_threads

STAGE_PIXELS = 2048
"""Size of the windows of the run whose stages are timed. It has several windows, so that reading overlaps computing."""

TURN_SECONDS = 0.4
"""A turn lasts at least so long, after a first run that doesn't count if it takes less. A fast one would otherwise be
over before a core that has waited, and its caches, are as fast as they are in the middle of a scene."""

MakeBackend = Callable[[], Backend]
"""Loads a model. A function or a `functools.partial` of one, importable by name, since another process calls it."""


@dataclass(frozen=True)
class Row:
    """The result of one way to run the model.

    Attributes:
        name: runtime, and precision or form.
        pixels_per_second: median over the rounds, packing of tokens included.
        ratio: its speed divided by the baseline's in the same round; median over the rounds.
        drift: drift from the baseline's embeddings.
        how: what the backend says that it computes on.
        seconds: of each round.
    """

    name: str
    pixels_per_second: float
    ratio: float
    drift: Drift
    how: str = ""
    seconds: tuple[float, ...] = ()

    @property
    def runtime(self) -> str:
        """The name's first word."""
        return self.name.split()[0]

    def times(self, other: Row) -> float:
        """How many times as fast as another it was; median over the rounds."""
        return median(b / a for a, b in zip(self.seconds, other.seconds, strict=True))


def best_forms(rows: Sequence[Row], runtimes: Collection[str]) -> list[Row]:
    """The fastest row of each of some runtimes, the fastest runtime first."""
    rows = sorted(rows, key=lambda row: -row.pixels_per_second)
    first = {row.runtime: row for row in reversed(rows) if row.runtime in runtimes}
    return [row for row in rows if first.get(row.runtime) is row]


def ways_to_run(
    files: Mapping[str, ModelFile],
    threads: int,
    device: str,
    full: bool = False,
    device_memory: int | None = None,
) -> tuple[dict[str, MakeBackend], list[str]]:
    """All ways to run a model on a device, by name, the reference's first; and the names of the reference's.

    Args:
        files: the model's files by precision.
        threads: CPU threads.
        device: `cpu` or `cuda`.
        full: on CPUs, with every runtime's further forms (`BackendRecord.forms`).
        device_memory: see `make_backend`; the reference's ways have no limit.
    """
    ways: dict[str, MakeBackend] = {}
    reference = find_reference()
    if reference is not None and reference.baselines is not None and reference.find(device).version:
        ways |= reference.baselines(files["fp32"], threads, device)
    baselines = list(ways)
    for name in backend_names():
        record = backend_record(name)
        for precision, file in files.items():
            for_gpus = device == "cpu" and precision in GPU_PRECISIONS
            if record.baselines is None and precision in record.runs.get(device, ()) and not for_gpus:
                ways[f"{name} {precision}"] = partial(
                    make_backend, file, name, threads, device, None, device_memory
                )
        if full and device == "cpu" and record.forms is not None and record.find(device).version:
            ways |= {f"{name} {form}": make for form, make in record.forms(files, threads).items()}
    return ways, baselines


class Runner:
    """A backend in its own process, with the pixels that it is timed on."""

    def __init__(self, make: MakeBackend, observations: Observations, threads: int) -> None:
        """Start the process, load the model and run it twice, so that everything is compiled and warm.

        Args:
            make: loads the backend.
            observations: (T, N, bands) or (T, height, width, bands) arrays; every pixel has an observation.
            threads: CPU threads for packing tokens; `make` sets those of the backend.

        Raises:
            TesseraError: the error of `make`, or the process ended.
        """
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        # Sent through the pipe: arguments would block this process forever if the other ended before it read them
        self.embedding: NDArray[np.float32]
        self.embedding, self.how = self._ask((make, observations, threads))

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
        """Run for `TURN_SECONDS`, from observations to embeddings, and return the seconds of one run."""
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
    """Load the backend, then run it whenever asked, until the other end of the pipe is closed."""
    make, observations, threads = pipe.recv()
    try:
        set_threads(threads)
        backend = make()
        for _ in range(2):
            embedding = backend.run(pack(observations, backend.model.facts).tokens)
    except TesseraError as error:
        pipe.send(error)
        return
    pipe.send((embedding, backend.computes_on))
    try:
        while pipe.recv():
            pipe.send(turn(lambda: backend.run(pack(observations, backend.model.facts).tokens)))
    except EOFError:
        pass


def turn(run: Callable[[], object]) -> float:
    """Seconds of one run, over at least `TURN_SECONDS`.

    A first run that takes less isn't counted: it finds the caches as another runtime has left them.
    """
    start = time.perf_counter()
    run()
    first = time.perf_counter() - start
    if first >= TURN_SECONDS:
        return first
    start, runs, seconds = time.perf_counter(), 0, 0.0
    while seconds < TURN_SECONDS:
        run()
        runs, seconds = runs + 1, time.perf_counter() - start
    return seconds / runs


def compare(
    runners: Mapping[str, Runner],
    baselines: Sequence[str],
    rounds: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Time runners in alternating rounds.

    Args:
        runners: runners by name, all with the same pixels.
        baselines: names of the runners to compare with: the fastest one of each round counts.
        rounds: number of turns of each runner.
        progress: called after each run.
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
            runners[name].how,
            tuple(times),
        )
        for name, times in seconds.items()
    ]


def with_qdq(files: dict[str, ModelFile], scene: str | None, folder: Path) -> dict[str, ModelFile]:
    """The files and, if the reference can make one, an int8 file with fixed scales: other runtimes' fastest form.

    Args:
        files: by precision.
        scene: to calibrate on; None: a simulated one.
        folder: an empty one, for what is made.
    """
    reference = find_reference()
    if "qdq" in files or reference is None or reference.make_qdq is None or not reference.find("cpu").version:
        return files
    if scene is None:
        simulate(folder / "scene", 32, seed=2)
    reference.make_qdq(files["fp32"], Path(scene or folder / "scene"), folder / "model.qdq.onnx")
    return files | {"qdq": read_model_file(folder / "model.qdq.onnx")}


def stage_shares(scene: str | None, backend: Backend) -> dict[str, float]:
    """Share of the wall time of each stage of the pipeline, without writing output files.

    Args:
        scene: a scene folder; None: a simulated scene.
        backend: the loaded model.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if scene is None:
            simulate(folder / "scene", 96, seed=1)
        reader = open_scene(scene or folder / "scene").reader
        stored_as = "int8" if backend.model.facts.is_int8 else "float32"
        staging = Staging.create(folder, reader.grid, backend.model.facts.dims, stored_as)
        for turn in ("warm-up", "timed"):
            journal = Journal(folder / turn, {}, STAGE_PIXELS)
            seconds = run(reader, backend, [Part(staging)], reader.grid.window, journal).seconds
    return {stage: each / sum(seconds.values()) for stage, each in seconds.items()}
