"""Embed many scenes, one after the other: one bad scene doesn't stop the others, and what is finished is skipped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tessera_engine import api
from tessera_engine.backends.choosing import choose
from tessera_engine.cluster.options import Runs, for_cells
from tessera_engine.errors import InputError, TesseraError, check_type
from tessera_engine.files import last_step
from tessera_engine.files.result import accept
from tessera_engine.jobs.table import LOADING, MODEL, SCENE, Job, check_outputs, columns, make_job, read_jobs
from tessera_engine.model.installed import open_model
from tessera_engine.progress import Announce, ShowProgress
from tessera_engine.running import loading
from tessera_engine.running.finished import is_finished
from tessera_engine.running.options import RunOptions
from tessera_engine.running.plan import make_plan
from tessera_engine.scene import Scene
from tessera_engine.scenes import open_scene

DONE, SKIPPED, FAILED = "done", "finished before", "failed"
"""What became of a scene."""


@dataclass(frozen=True)
class JobResult:
    """What became of one scene.

    Attributes:
        scene: its name.
        out: its output folder.
        state: `done`, `finished before` or `failed`.
        error: why it failed, in one line; empty otherwise.
        pixels: pixels of the region; 0 unless it was embedded now.
        with_data: pixels that have an embedding.
        few_clear: pixels that are flagged for their few clear dates; None without `min_clear`.
        seconds: wall time.
    """

    scene: str
    out: Path
    state: str
    error: str = ""
    pixels: int = 0
    with_data: int = 0
    few_clear: int | None = None
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self) | {"out": str(self.out), "seconds": round(self.seconds, 3)}


def embed_many(
    jobs: str | os.PathLike[str] | Iterable[Any],
    out: str | os.PathLike[str] | None = None,
    *,
    progress: ShowProgress = None,
    announce: Announce | None = None,
    client: Any = None,
    **defaults: Any,
) -> list[JobResult]:
    """Embed many scenes, one after the other, with one model in memory.

    All rows are checked before anything is embedded. A scene that fails doesn't stop the others. Given again, the same
    call skips scenes whose output is finished and resumes the one that was interrupted.

    Args:
        jobs: a table (CSV or Parquet) with a row for each scene; or a list of scenes (folders or open scenes), or of
            mappings with what a row of a table may have: `scene`, `out`, `model` and all options of `open_scene`,
            `load_model` and `embed`.
        out: the folder for outputs without a path of their own; None: the current folder.
        progress: see `embed`, for each scene.
        announce: called with one line for each scene, and with what `embed` says of it; None: findings are Python
            warnings.
        client: see `embed`: each scene is computed by all workers, one scene after the other.
        defaults: options of all scenes whose row doesn't have them.

    Returns:
        What became of each scene, in their order.

    Raises:
        InputError: the table or an option is wrong, or two scenes have one output; nothing has been done.
    """
    if out is not None:
        check_type("out", out, (str, os.PathLike), "a folder")
    every = list(_jobs(jobs, None if out is None else Path(out), defaults))
    for model, precision in dict.fromkeys((job.model, job.loading.get("precision")) for job in every):
        open_model(model, precision)  # one that isn't there is found now
    with closing(_Loader()) as loader:
        place = ((n, len(every)) for n in range(1, len(every) + 1))
        return [_embed(job, next(place), loader, progress, announce, client) for job in every]


def _jobs(jobs: Any, out: Path | None, defaults: Mapping[str, Any]) -> Sequence[Job]:
    known = columns()
    for name in defaults:
        if name not in known or name in (SCENE, "out"):
            raise InputError(f"'{name}' is not an option of all scenes; they are {', '.join(known[2:])}")
    if isinstance(jobs, (str, os.PathLike)):
        return read_jobs(Path(jobs), out, defaults)
    made, names = [], []
    for number, job in enumerate(jobs, 1):
        row = dict(job) if isinstance(job, Mapping) else {SCENE: job}
        for name in row:
            if name not in known:
                raise InputError(f"job {number} has the unknown option '{name}'; they are {', '.join(known)}")
        names.append(f"job {number}")
        made.append(
            make_job(
                {key: value for key, value in row.items() if value is not None}, out, defaults, names[-1]
            )
        )
    if not made:
        raise InputError("jobs= has no scenes; give one or more")
    check_outputs(made, names)
    return made


class _Loader:
    """Keeps the model of the last scene, so that scenes with the same model load it once."""

    def __init__(self) -> None:
        self._key: object = None
        self._model: loading.Model | None = None

    def load(self, job: Job, say: Announce) -> loading.Model:
        """The model of a job."""
        asked = job.loading
        if asked != self._key or self._model is None:
            self.close()  # two models in memory would be more than was planned for
            options = {name: asked[name] for name in LOADING if name in asked and name != MODEL}
            self._model = loading.load_model(job.model, announce=say, **options)
            self._key = dict(asked)
        return self._model

    def close(self) -> None:
        """Forget the model."""
        self._key, self._model = None, None


def _embed(
    job: Job,
    place: tuple[int, int],
    loader: _Loader,
    progress: ShowProgress,
    announce: Announce | None,
    client: Any,
) -> JobResult:
    begun = time.perf_counter()
    tell: Callable[[str], None] = announce or (lambda line: None)
    result = JobResult(job.name, job.out, FAILED)
    last_step.begin()  # a signal ends this scene, even if the one before is published
    try:
        tell(f"[{place[0]}/{place[1]}] {job.name} -> {job.out}")
        if client is not None:
            options: Any = for_cells(job.options)
            job = replace(job, options=options, out=job.out.absolute())
        scene = job.scene
        if not isinstance(scene, Scene):
            scene = open_scene(scene if client is None else Path(scene).absolute(), **job.opening)
        if not job.options.get("overwrite") and _finished(job, scene):
            accept(job.out)
            tell(f"note: {job.out} is finished already")
            return replace(result, state=SKIPPED)
        if client is None:
            model = loader.load(job, tell)
            done = api.embed(scene, model, job.out, progress=progress, announce=announce, **job.options)
        else:
            done = _embed_on(client, job, scene, progress, announce)
    except (TesseraError, OSError, MemoryError) as error:
        line = str(error) or type(error).__name__
        tell(f"error: {job.name}: {line}")
        return replace(result, error=line, seconds=time.perf_counter() - begun)
    return replace(
        result,
        state=DONE,
        pixels=done.pixels,
        with_data=done.with_data,
        few_clear=done.few_clear,
        seconds=time.perf_counter() - begun,
    )


def _embed_on(
    client: Any, job: Job, scene: Scene, progress: ShowProgress, announce: Announce | None
) -> api.Embedded:
    """Embed a scene on a cluster. Only its workers load the model."""
    loading = job.loading
    file = open_model(job.model, loading.get("precision"))
    device = loading.get("device", "auto")
    chosen = choose(loading.get("backend", "auto"), device, file.facts.precision, file.facts)
    runs = Runs(chosen.backend, device, loading.get("threads"))
    plan = make_plan(scene, file, job.out, RunOptions.given(job.options), runs.backend)
    return api.carry_out_on(plan, client, runs, progress, announce)


def _finished(job: Job, scene: Scene) -> bool:
    """Whether the output of a job stands there already; see `is_finished`."""
    file = open_model(job.model, job.loading.get("precision"))
    # With overwrite, what stands there is no reason to refuse the plan
    options = replace(RunOptions.given(job.options), overwrite=True)
    return is_finished(make_plan(scene, file, job.out, options))


def failures(results: Sequence[JobResult]) -> Iterator[JobResult]:
    """The scenes that failed."""
    return (result for result in results if result.state == FAILED)
