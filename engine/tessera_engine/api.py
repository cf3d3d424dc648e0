"""The engine from Python: load a model, embed a scene."""

from __future__ import annotations

import dataclasses
import html
import inspect
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tessera_engine.backends.base import Backend
from tessera_engine.backends.choosing import check_options, choose, make_backend
from tessera_engine.cluster.options import Runs, for_cells
from tessera_engine.errors import InputError, SceneWarning, check_type
from tessera_engine.finding import Finding
from tessera_engine.guard import examined
from tessera_engine.machine import check_threads
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.file import ModelFile
from tessera_engine.model.installed import DEFAULT_MODEL, check_model, open_model
from tessera_engine.progress import Announce, ShowProgress, shown
from tessera_engine.running.memory import check_device_memory
from tessera_engine.running.options import EmbedOptions, RunOptions, check_dim, spelled_out
from tessera_engine.running.plan import Plan, make_plan
from tessera_engine.running.run import run
from tessera_engine.scene import S1_BANDS, Observations, Scene, Window
from tessera_engine.scenes import open_scene
from tessera_engine.stac.items import load_item
from tessera_engine.stac.members import PIXELS_FEW_CLEAR
from tessera_engine.tokens import pack
from tessera_kernels.compilation import when_compiling
from tessera_kernels.quantize import quantize
from tessera_kernels.threads import set_threads

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tessera_engine.cluster.reporting import Event

COMPILING = "compiling kernels for this CPU: once, for some seconds ..."


class Model:
    """A model file loaded into a backend."""

    def __init__(self, backend: Backend, threads: int) -> None:
        self.backend, self.threads = backend, threads

    @property
    def facts(self) -> ModelFacts:
        """The facts in the model file."""
        return self.backend.model.facts

    def __repr__(self) -> str:
        facts = self.facts
        return (
            f"<Model {facts.name} {facts.precision} ({facts.generation}): {facts.dims} dimensions, "
            f"{self.backend.description}, {self.threads} threads>"
        )

    def _repr_html_(self) -> str:
        facts = self.facts
        rows = {
            "model": f"{facts.name} {facts.precision} ({facts.generation})",
            "dimensions": f"{facts.dims}; prefixes {', '.join(map(str, facts.prefixes))}",
            "runs on": f"{self.backend.description}, {self.threads} threads",
            "file": str(self.backend.model.path),
            "licence": facts.licence,
        }
        cells = (f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>" for name, value in rows.items())
        return f"<table>{''.join(cells)}</table>"

    def embed_pixels(
        self,
        s2: ArrayLike,
        s2_doy: ArrayLike,
        s2_valid: ArrayLike,
        s1_ascending: ArrayLike | None = None,
        s1_ascending_doy: ArrayLike | None = None,
        s1_descending: ArrayLike | None = None,
        s1_descending_doy: ArrayLike | None = None,
        dim: int | None = None,
    ) -> NDArray[np.float32]:
        """Embed pixels without a scene.

        Args:
            s2: (N, T, 10) uint16, bands in TESSERA's order, reflectance * 10000 with the offset removed.
            s2_doy: (T,) or (N, T) integers, day of year 1..366.
            s2_valid: (N, T), non-zero where clear.
            s1_ascending: (N, Ta, 2) int16, VV and VH in TESSERA's code, 0 = missing; None: no such orbit.
            s1_ascending_doy: (Ta,) or (N, Ta).
            s1_descending: (N, Td, 2) int16, or None.
            s1_descending_doy: (Td,) or (N, Td).
            dim: length of the embedding, one of the model's prefixes; None: all of it.

        Returns:
            (N, dim) float32; NaN for a pixel without any observation.

        Raises:
            InputError: arrays of wrong shape or dtype, or days of year out of range.
        """
        dim = check_dim(dim, self.facts)
        bands = _dates_first(s2, "s2", ("uint16",), len(self.facts.s2_bands))
        pixels = bands.shape[1]
        clear = np.asarray(s2_valid)
        if clear.shape != (pixels, bands.shape[0]):
            raise InputError(
                f"s2_valid has shape {clear.shape}, expected {(pixels, bands.shape[0])} as in s2"
            )
        s1, s1_doys = [], []
        for name, orbit, doy in (
            ("s1_ascending", s1_ascending, s1_ascending_doy),
            ("s1_descending", s1_descending, s1_descending_doy),
        ):
            if orbit is None:
                orbit, doy = np.empty((pixels, 0, len(S1_BANDS)), np.int16), np.empty(0, np.int32)
            values = _dates_first(orbit, name, ("int16",), len(S1_BANDS))
            if values.shape[1] != pixels:
                raise InputError(f"{name} has {values.shape[1]} pixels, s2 has {pixels}")
            s1.append(values)
            s1_doys.append(_days(doy, f"{name}_doy", pixels, values.shape[0]))
        observations = Observations(
            s2=bands,
            s2_valid=np.ascontiguousarray((clear != 0).T).view(np.uint8),
            s2_doy=_days(s2_doy, "s2_doy", pixels, bands.shape[0]),
            s1_ascending=s1[0],
            s1_ascending_doy=s1_doys[0],
            s1_descending=s1[1],
            s1_descending_doy=s1_doys[1],
        )
        packed = pack(observations, self.facts)
        embedding = np.full((pixels, dim), np.nan, np.float32)
        embedding[packed.pixels] = self.backend.run(packed.tokens)[:, :dim]
        return embedding


def _dates_first(values: ArrayLike, name: str, dtypes: Sequence[str], bands: int) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.name not in dtypes:
        raise InputError(f"{name} has dtype {array.dtype}, expected {' or '.join(dtypes)}")
    if array.ndim != 3 or array.shape[2] != bands:
        raise InputError(f"{name} has shape {array.shape}, expected (pixels, dates, {bands})")
    return np.ascontiguousarray(array.transpose(1, 0, 2))


def _days(doy: ArrayLike | None, name: str, pixels: int, steps: int) -> NDArray[np.int32]:
    """(T,) or (T, N) int32."""
    if doy is None:
        raise InputError(f"{name} is missing")
    days = np.asarray(doy)
    if days.shape not in {(steps,), (pixels, steps)}:
        raise InputError(f"{name} has shape {days.shape}, expected {(steps,)} or {(pixels, steps)}")
    if days.size and (days.dtype.kind not in "iu" or days.min() < 1 or days.max() > 366):
        raise InputError(f"{name} must be whole days of year from 1 to 366")
    return np.ascontiguousarray(days.T, np.int32)


def load_model(
    name_or_path: str | os.PathLike[str] = DEFAULT_MODEL,
    precision: str | None = None,
    backend: str = "auto",
    threads: int | None = None,
    announce: Announce | None = None,
    device: str = "auto",
    device_memory: int | str | None = None,
) -> Model:
    """Load a model into a backend, and run it once so that all kernels are compiled.

    A backend whose preparation depends on a scene, like TensorRT's plans, is prepared by `embed`.

    Args:
        name_or_path: the name of a model on this machine, or a model file.
        precision: `fp32` or `int8`, or `fp16` or `qdq` of a file for GPUs; None: the file's own, fp32 for a name.
        backend: see `tessera_engine.backends.registry.backend_names`.
        threads: CPU threads; None: all that this process may use.
        announce: called before kernels are compiled or plans are built, which takes a while the first time, and when
            a GPU runs out of memory.
        device: one of `tessera_engine.backends.choosing.DEVICES`.
        device_memory: what a GPU may take: bytes, or a size like "8GB"; None: what is free.

    Raises:
        InputError: no such model, backend or device, an argument of the wrong type, or the file can't be used.
        DeviceError: the GPU can't be used.
    """
    check_model(name_or_path, precision)
    check_options(backend, device)
    check_threads(threads)  # before a model is read
    check_device_memory(device_memory)
    file = open_model(os.fspath(name_or_path), precision)
    return load(file, backend, threads, announce, device, device_memory)


def load(
    file: ModelFile,
    backend: str = "auto",
    threads: int | None = None,
    announce: Announce | None = None,
    device: str = "auto",
    device_memory: int | str | None = None,
) -> Model:
    """`load_model` for a model file that is open already."""
    threads = check_threads(threads)
    made = make_backend(file, backend, threads, device, announce, check_device_memory(device_memory))
    model = Model(made, threads)
    if model.backend.follows_lengths:
        return model
    with when_compiling(lambda: announce(COMPILING) if announce else None):
        _warm_up(model)
    return model


def _warm_up(model: Model) -> None:
    """Run one made-up pixel through everything."""
    steps = np.ones(1, np.int32)
    nothing, s1 = np.empty((1, 0, 2), np.int16), np.ones((1, 1, 2), np.int16)
    embedding = model.embed_pixels(
        np.ones((1, 1, 10), np.uint16), steps, np.ones((1, 1)), s1, steps, nothing, steps[:0]
    )
    quantize(embedding)


@dataclasses.dataclass(frozen=True, repr=False)
class Embedded:
    """A finished run.

    Attributes:
        out: the output folder.
        pixels: pixels of the region that the scene covers, or of these the selected ones.
        with_data: pixels that have an embedding.
        seconds: wall time of the stages, see `tessera_engine.running.pipeline.Statistics`.
        findings: what was found about the scene.
        few_clear: pixels that are flagged for their few clear dates; None without `min_clear`.
    """

    out: Path
    pixels: int
    with_data: int
    seconds: dict[str, float]
    findings: tuple[Finding, ...]
    few_clear: int | None = None

    def __repr__(self) -> str:
        return f"<Embedded {self.out}: {self.with_data:,} of {self.pixels:,} pixels>"


def embed(
    scene: Scene | str | os.PathLike[str],
    model: Model | str | os.PathLike[str] = DEFAULT_MODEL,
    out: str | os.PathLike[str] | None = None,
    *,
    progress: ShowProgress = None,
    announce: Announce | None = None,
    client: Any = None,
    **options: Unpack[EmbedOptions],
) -> Embedded:
    """Embed a scene into an output folder, or resume a run that was interrupted.

    The work lies in `<out>.partial` until it is finished. Finished windows are on the disk there, so the same call
    resumes after any interruption.

    Args:
        scene: an open scene or its folder.
        model: a loaded model, the name of one on this machine, or a model file.
        out: output folder; None: `<scene name>.embeddings` in the current folder.
        progress: a function to call with pixels done and in all; True to show progress, False not to; None: show it
            in terminals and notebooks.
        announce: called with one line for each finding about the scene, for an interrupted run that is resumed, and
            for damage in it; None: findings and damage are Python warnings (`SceneWarning`).
        client: a `distributed.Client` of a Dask cluster whose workers share the files of the scene, the model and the
            output; format is zarr then, and the scene is named by its full path. None: this process.
        window: the part of the scene: col, row, width, height in pixels; None: all.
        bbox: the part of the scene: west, south, east, north in degrees.
        aoi: a file of shapes: only pixels in them are embedded, and the output covers the box around these.
        points: a file of points: only their pixels are embedded.
        layer: the layer of that file; None: the only one with shapes.
        shapes_crs: the CRS of its coordinates; None: what the file says.
        buffer: by how much its shapes grow: metres, or a length like "50m"; negative: by how much they shrink.
        dim: length of the embedding, one of the model's prefixes; None: the whole.
        stored_as: `int8` or `float32`; None: int8 for an int8 model, else float32.
        format: `cog`, `npy`, `zarr`, `geotessera`, or `vq`, which loses some of the embeddings.
        quicklook: what the picture shows: `pca`, `clusters` or `rgb`.
        every: embed growing periods too, each a step longer ("14d", "month"), into one Zarr store; the scene must be
            opened with `season`, `start` and `end`, or `year`.
        min_clear: flag pixels with fewer clear Sentinel-2 dates in the quality layer; None: flag none.
        truecolour: also write `truecolour.tif`, the scene in true colour.
        memory: what the process may take: bytes, or a size like "2GB"; None: half of the free memory, at most 4 GB.
        overwrite: replace an earlier output.
        append: add to a zarr or geotessera output at `out`.
        restart: discard an interrupted run and start again.
        check: on resuming, read all finished windows of the scene again to see whether it has changed, not only some.
        strict: refuse a scene with any finding.

    Raises:
        InputError: an argument is wrong, something asked for isn't available, or an interrupted run differs; nothing
            has been written.
        TesseraError: the run failed; what is finished is kept.
    """
    chosen = RunOptions.given(options if client is None else for_cells(options))
    check_type("scene", scene, (Scene, str, os.PathLike), "a scene folder or open_scene(...)")
    check_type("model", model, (Model, str, os.PathLike), "a model's name, a model file or load_model(...)")
    if out is not None:
        check_type("out", out, (str, os.PathLike), "a folder")
    if not isinstance(scene, Scene):
        scene = open_scene(os.fspath(scene) if client is None else Path(scene).absolute())
    file = model.backend.model if isinstance(model, Model) else open_model(os.fspath(model))
    runs_it = (
        model.backend.name
        if isinstance(model, Model)
        else choose("auto", "auto", file.facts.precision, file.facts).backend
    )
    plan = make_plan(scene, file, None if out is None else os.fspath(out), chosen, runs_it)
    if client is not None:
        threads = model.threads if isinstance(model, Model) else None
        return carry_out_on(plan, client, Runs(runs_it, threads=threads), progress, announce)
    return carry_out(plan, model, progress, announce)


def carry_out_on(
    plan: Plan,
    client: Any,
    runs: Runs,
    progress: ShowProgress,
    announce: Announce | None,
    event: Event | None = None,
) -> Embedded:
    """`embed` on a Dask cluster, from its plan on.

    Args:
        plan: what to do, with options as `tessera_engine.cluster.options.for_cells` gives them.
        client: a `distributed.Client`.
        runs: what runs the model on every worker.
        progress: see `embed`.
        announce: see `embed`.
        event: called with what happens, see `tessera_engine.cluster.reporting.Event`.

    Raises:
        InputError: the scene is refused, or an interrupted run differs; nothing has been written.
        TesseraError: the run failed; what is finished is kept.
    """
    # The process that only computes doesn't need it
    from tessera_engine.cluster.embedding import embed_in_cells

    say = announce or warn
    if plan.selection is not None and (left_out := plan.selection.note()) is not None:
        say(left_out)
    _, findings = examined(plan.scene, plan.model.facts, plan.region, plan.options.strict, say)
    plan, begun = dataclasses.replace(plan, findings=findings), time.perf_counter()
    with shown(progress, f"embedding {plan.scene.name}", "px") as report:
        done = embed_in_cells(plan, client, runs, report, say, event)
    seconds = {"cluster": time.perf_counter() - begun}
    return Embedded(plan.out, done.pixels, done.with_data, seconds, findings, _few_clear(plan))


def _few_clear(plan: Plan) -> int | None:
    if plan.options.min_clear is None:
        return None
    found: int | None = load_item(plan.out)["properties"].get(PIXELS_FEW_CLEAR)
    return found


def carry_out(
    plan: Plan, model: Model | str | os.PathLike[str], progress: ShowProgress, announce: Announce | None
) -> Embedded:
    """`embed` from its plan on.

    Args:
        plan: what to do.
        model: the plan's model, loaded, or what names it.
        progress: see `embed`.
        announce: see `embed`.

    Raises:
        InputError: the scene is refused, or an interrupted run differs; nothing has been written.
        TesseraError: the run failed; what is finished is kept.
    """
    say = warn if announce is None else announce
    left_out = None if plan.selection is None else plan.selection.note()
    if left_out is not None:
        say(left_out)
    findings, loaded = examine(plan.scene, plan.region, model, plan.model, plan.options.strict, announce)
    with shown(progress, f"embedding {plan.scene.name}", "px") as report:
        done = run(dataclasses.replace(plan, findings=findings), loaded.backend, report, say)
    return Embedded(plan.out, done.pixels, done.with_data, done.seconds, findings, _few_clear(plan))


embed.__signature__ = spelled_out(embed, EmbedOptions, RunOptions())  # type: ignore[attr-defined]


def examine(
    scene: Scene,
    region: Window,
    model: Model | str | os.PathLike[str],
    file: ModelFile,
    strict: bool,
    announce: Announce | None,
) -> tuple[tuple[Finding, ...], Model]:
    """What is probably wrong with a scene, which the user is told; and the model, ready to embed it.

    Args:
        scene: what will be embedded.
        region: the part of it.
        model: a loaded model, or what names the file.
        file: the model file.
        strict: refuse a scene with any finding.
        announce: see `embed`.

    Raises:
        InputError: the scene has no data in the region, or with `strict` a finding.
    """
    sample, findings = examined(scene, file.facts, region, strict, announce or warn)
    loaded = model if isinstance(model, Model) else load(file, announce=announce)
    if loaded.backend.follows_lengths:
        tokens = pack(sample, file.facts).tokens
        if len(tokens):
            loaded.backend.prepare(tokens)
    set_threads(loaded.threads)
    return findings, loaded


def warn(line: str) -> None:
    """Findings and damage as Python warnings, at the user's line that called the engine."""
    text = line.removeprefix("warning: ")
    if text == line:
        return
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("tessera_engine."):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, SceneWarning, stacklevel=level)
