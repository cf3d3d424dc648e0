"""What happens in a worker's process. The functions that Dask calls answer with dictionaries, also where they fail."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend
from tessera_engine.backends.choosing import make_backend
from tessera_engine.cluster.cells import cell_name, in_scene
from tessera_engine.cluster.marks import Mark, read_mark, write_mark
from tessera_engine.cluster.order import Order, Sealed
from tessera_engine.cluster.probe import probe
from tessera_engine.cluster.sharing import STAGING, deliver
from tessera_engine.errors import InputError, TesseraError, reason
from tessera_engine.files.document import Damaged
from tessera_engine.files.durable import sync_folder
from tessera_engine.files.publish import MADE
from tessera_engine.files.staging import Staging, count_with_data
from tessera_engine.formats.format import CellWriter
from tessera_engine.formats.layers import count_few_clear
from tessera_engine.guard import SAMPLE_PIXELS
from tessera_engine.machine import check_threads, default_memory, give_back_memory, reuse_memory
from tessera_engine.model.file import ModelFile
from tessera_engine.model.installed import open_model
from tessera_engine.offline.process import go_offline
from tessera_engine.pictures.frame import thinned
from tessera_engine.pictures.true_colour import staged
from tessera_engine.running import pipeline
from tessera_engine.running.changes import sums
from tessera_engine.running.journal import Journal
from tessera_engine.running.memory import Demand
from tessera_engine.running.run import Computed, stage
from tessera_engine.running.windows import windows_of
from tessera_engine.scene import Reader, Window
from tessera_engine.tokens import pack
from tessera_kernels.threads import set_threads

READY, REFUSED, DONE, FAILED, UNKNOWN, DAMAGED, CHANGED = (
    "ready", "refused", "done", "failed", "unknown", "damaged", "changed",
)  # fmt: skip
"""What became of a call."""

OF_MACHINE, OF_INPUT = "machine", "input"
"""What failed: the worker's machine, such as its disk; or what it read."""

SHARE_OF_LIMIT = 0.6
"""Of the memory that Dask gave the worker. Above 80 % of it Dask gives it no more work."""

METRIC = "tessera"
"""Where the scheduler finds a worker's progress."""

Answer = dict[str, Any]

_engine = ThreadPoolExecutor(1, "tessera-cell")
"""One cell at a time in a process, however many threads Dask gives it: one model, and the memory of one window."""

_progress: dict[str, Any] = {"token": "", "cell": None, "pixels": 0}


@dataclass(frozen=True)
class _Run:
    """A run that this worker is part of."""

    order: Order
    backend: Backend
    threads: int
    window_pixels: int
    writer: CellWriter
    probe: str


_runs: dict[str, _Run] = {}
"""The latest run, by its token."""


def _one_at_a_time(work: Callable[..., Answer]) -> Callable[..., Answer]:
    """In the thread of the engine, with the worker as first argument, and every error as an answer."""

    def answer(*given: Any) -> Answer:
        try:
            return work(*given)
        except TesseraError as error:
            return {"kind": FAILED, "fault": OF_INPUT, "reason": str(error)}
        except MemoryError:
            return {"kind": FAILED, "fault": OF_MACHINE, "reason": "out of memory; give a smaller memory="}
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            return {"kind": FAILED, "fault": OF_MACHINE, "reason": f"{error.strerror or error}{where}"}
        except (
            Exception
        ) as error:  # Dask would have to send it, which fails for some, and then no answer comes
            return {"kind": FAILED, "fault": OF_INPUT, "reason": f"{type(error).__name__}: {reason(error)}"}

    @wraps(work)
    def call(*given: Any) -> Answer:
        from distributed import get_worker

        return _engine.submit(answer, get_worker(), *given).result()  # it is known in this thread only

    return call


@_one_at_a_time
def introduce(worker: Any, sealed: Sealed) -> Answer:
    """Load what a run needs. Gives what this worker computes with, or why it can't take part."""
    from tessera_engine.version import __version__

    sealed = Sealed(*sealed)
    known = {"host": socket.gethostname(), "threads": worker.state.nthreads}
    if sealed.engine != __version__:
        reason = f"it has tessera-engine {__version__}, and the run is of {sealed.engine}; install the same version"
        return {**known, "kind": REFUSED, "reason": reason}
    try:
        run = _load(sealed.opened(), worker.state.nthreads, worker.memory_manager.memory_limit)
    except TesseraError as error:
        return {**known, "kind": REFUSED, "reason": str(error)}
    _runs.clear()
    _runs[sealed.token] = run
    _progress.update(token=sealed.token, cell=None, pixels=0)
    worker.metrics[METRIC] = lambda _: dict(_progress)
    computed = Computed.by(run.backend)
    return {**known, "kind": READY, "threads": run.threads, "computed": tuple(computed), "probe": run.probe}


def _load(order: Order, given_threads: int, limit: int | None) -> _Run:
    go_offline()
    reuse_memory()
    try:
        order.check_current()
    except InputError:  # all cells may be finished, and are being checked
        order.closed().check_current()
    for path, size in order.sizes.items():
        try:
            found = path.stat().st_size
        except OSError as error:
            raise InputError(
                f"{path} can't be read here ({error.strerror}); share the scene under the same path on all machines"
            ) from None
        if found != size:
            raise InputError(
                f"{path} has {found:,} bytes here, expected {size:,}; share one copy of the scene"
            )
    plan = order.plan
    model = _model(plan.model)
    threads = check_threads(order.threads or min(given_threads, check_threads(None)))
    memory = plan.options.memory
    if memory is None:
        memory = min(default_memory(), int(SHARE_OF_LIMIT * limit) if limit else default_memory())
    held = 0 if plan.selection is None else plan.selection.bytes_held
    demand = Demand(
        plan.scene.reader, model, plan.grid, plan.options.format, order.backend, plan.stored_as, held
    )
    window_pixels = demand.window_pixels(memory)
    for earlier in list(_runs):  # two models would be more memory than was planned
        del _runs[earlier]
    backend = make_backend(model, order.backend, threads, order.device)
    set_threads(threads)
    if backend.follows_lengths:
        tokens = pack(plan.scene.reader.sample(plan.region, SAMPLE_PIXELS), model.facts).tokens
        if len(tokens):
            backend.prepare(tokens)
    return _Run(order, backend, threads, window_pixels, order.writer(), probe(backend))


def _model(wanted: ModelFile) -> ModelFile:
    """The model file on this machine: at the same path, or else by its name.

    Raises:
        InputError: it isn't here, or is another one.
    """
    try:
        model = open_model(wanted.path)
    except InputError:
        model = open_model(wanted.facts.name, wanted.facts.precision)
    if model.sha256 != wanted.sha256:
        raise InputError(
            f"{model.path} has the sha256 {model.sha256[:12]} here, expected {wanted.sha256[:12]}; copy the run's "
            "model file to this machine"
        )
    return model


@_one_at_a_time
def embed_cell(worker: Any, token: str, cell: tuple[int, int, int, int]) -> Answer:
    """Embed a cell, write it, and mark it as finished."""
    run = _runs.get(token)
    if run is None:
        return {"kind": UNKNOWN}
    window = Window(*cell)
    try:
        mark = _marked(run, window) or _embed(run, window, worker.local_directory)
    finally:
        _progress.update(cell=None, pixels=0)
    return {"kind": DONE, "pixels": mark.pixels, "seconds": mark.seconds}


def _marked(run: _Run, cell: Window) -> Mark | None:
    """The mark of a cell that another worker finished meanwhile, such as one that had lost the scheduler."""
    try:
        mark = read_mark(run.order.staging, cell)
    except Damaged:
        return None
    valid = mark is not None and (mark.token, mark.probe) == (run.order.token, run.probe)
    return mark if valid else None


def _embed(run: _Run, cell: Window, local: str) -> Mark:
    order, plan, begun = run.order, run.order.plan, time.perf_counter()
    reader, place, periods = plan.scene.reader, in_scene(cell, plan.region), max(1, len(plan.periods))
    _progress.update(cell=cell_name(cell), pixels=0)
    mark = Mark(
        token=order.token,
        cell=cell,
        pixels=0,
        with_data=[0] * periods,
        few_clear=[0] * periods,
        files={},
        window_pixels=run.window_pixels,
        read=_digest([]),
        computed=Computed.by(run.backend),
        probe=run.probe,
        host=socket.gethostname(),
        seconds=0.0,
    )
    # The cell was planned by larger windows, which may have touched a product beside it
    if next(windows_of(reader, place, run.window_pixels, plan.selected), None) is not None:
        with _scratch(local) as folder:
            mark = _computed(run, mark, reader, folder)
    order.check_current()
    mark = replace(mark, seconds=time.perf_counter() - begun)
    write_mark(order.staging, mark)
    give_back_memory()
    return mark


def _computed(run: _Run, mark: Mark, reader: Reader, folder: Path) -> Mark:
    """Compute a cell in a folder of this machine, and write its files; gives its mark."""
    order, plan, cell = run.order, run.order.plan, mark.cell

    def report(done: int, total: int) -> None:
        _progress["pixels"] = done

    colours = plan.options.truecolour or plan.options.quicklook == "rgb"
    parts = stage(plan, folder / "staging", plan.grid.crop(cell), colours)
    journal = Journal(folder / "journal", {}, run.window_pixels)
    journal.save()
    set_threads(run.threads)
    place = in_scene(cell, plan.region)
    statistics = pipeline.run(reader, run.backend, parts, place, journal, report, plan.selected)
    stagings, made = [part.sink for part in parts], folder / "made"
    made.mkdir()
    names = run.writer.write(cell, stagings, made)
    pictures = _write_pictures(order, cell, stagings[-1], folder)
    order.check_current()
    files = {}
    for name in names:
        if (made / name).exists():
            files[f"{MADE}/{name}"] = deliver(made / name, order.made, name)
        else:  # an earlier state of the scene had data there
            (order.made / name).unlink(missing_ok=True)
    for path in pictures:
        files[f"{STAGING}/{path.name}"] = deliver(path, order.staging, path.name)
    for above in {(order.folder / name).parent for name in files}:
        sync_folder(above)
    return replace(
        mark,
        pixels=statistics.pixels,
        with_data=[count_with_data(each) for each in stagings],
        few_clear=[count_few_clear(each) for each in stagings],
        files=files,
        read=_digest([finished.read for _, finished in sorted(journal.finished.items())]),
    )


@contextmanager
def _scratch(local: str) -> Iterator[Path]:
    """A folder on this machine's disk. What a killed worker leaves there, Dask removes."""
    folder = Path(tempfile.mkdtemp(prefix="tessera-", dir=local))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_pictures(order: Order, cell: Window, staging: Staging, folder: Path) -> list[Path]:
    """What the pictures of the whole output need of a cell: the pixels that the quicklook shows, and true colours."""
    plan, made = order.plan, []
    step, _ = thinned(plan.grid)
    left, top = -cell.col % step, -cell.row % step
    if left < cell.width and top < cell.height:
        shown = Window(left, top, cell.width - left, cell.height - top)
        rasters = {"embeddings": staging.embeddings, "scales": staging.scales}
        if plan.options.quicklook == "rgb":
            rasters = {"colours": staging.colours}
        made = [
            _save(folder / f"{cell_name(cell)}.{key}.npy", raster.read(shown, step))
            for key, raster in rasters.items()
            if raster is not None
        ]
    if plan.options.truecolour:
        colours = staged(staging)
        assert colours is not None
        whole = Window(0, 0, cell.width, cell.height)
        made.append(_save(folder / f"{cell_name(cell)}.truecolour.npy", colours.read(whole)))
    return made


def _save(path: Path, values: NDArray[Any]) -> Path:
    np.save(path, values)
    return path


def _digest(read: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps([dict(each) for each in read], sort_keys=True).encode()).hexdigest()


@_one_at_a_time
def check_cell(
    worker: Any, token: str, cell: tuple[int, int, int, int], closed: bool, reread: bool
) -> Answer:
    """Read a finished cell's files again and compare them with its mark; with `reread`, the scene too."""
    run = _runs.get(token)
    if run is None:
        return {"kind": UNKNOWN}
    order, window = run.order.closed() if closed else run.order, Window(*cell)
    order.check_current()
    _progress.update(cell=cell_name(window), pixels=0)
    try:
        mark = read_mark(order.staging, window)
    except Damaged as error:
        return {"kind": DAMAGED, "reason": f"its mark is damaged: {error}"}
    if mark is None or mark.token != token:
        return {"kind": DAMAGED, "reason": "its mark has gone"}
    damage = mark.damage(order.folder)
    if damage is not None:
        return {"kind": DAMAGED, "reason": damage}
    if reread and _read_again(order, mark) != mark.read:
        return {"kind": CHANGED, "reason": "the scene has changed there"}
    return {"kind": DONE}


def _read_again(order: Order, mark: Mark) -> str:
    """What `Mark.read` would be now."""
    plan = order.plan
    place, reader = in_scene(mark.cell, plan.region), plan.scene.reader
    windows = windows_of(reader, place, mark.window_pixels, plan.selected)
    found = {}
    for window in windows:
        found[window] = sums(reader.read(window))
        _progress["pixels"] += window.pixels
    return _digest([each for _, each in sorted(found.items())])
