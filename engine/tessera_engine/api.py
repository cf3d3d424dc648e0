"""The engine from Python: open a scene, load a model, embed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tessera_engine.backends import make_backend
from tessera_engine.backends.base import Backend
from tessera_engine.errors import InputError
from tessera_engine.finding import Finding
from tessera_engine.formats.origin import Origin
from tessera_engine.formats.writing import check_format
from tessera_engine.geo import check_window
from tessera_engine.guard import examine, heed
from tessera_engine.machine import check_threads, default_memory
from tessera_engine.model.file import ModelFacts
from tessera_engine.model.store import DEFAULT_MODEL, open_model
from tessera_engine.pictures.quicklook import check_quicklook
from tessera_engine.progress import Announce, Progress
from tessera_engine.running.memory import window_pixels
from tessera_engine.running.run import Plan, run
from tessera_engine.scene import S1_BANDS, Observations, Scene, Window
from tessera_engine.scenes import open_scene
from tessera_engine.tokens import pack
from tessera_kernels.compilation import when_compiling
from tessera_kernels.quantize import quantize

_numba_config: Any = numba.config

STORES = ("int8", "float32")

SAMPLE_PIXELS = 4096
"""Of a scene, to see how many tokens its pixels have."""

COMPILING = "compiling kernels for this CPU: once, for about half a minute ..."


class Model:
    """A model file loaded into a backend."""

    def __init__(self, backend: Backend, threads: int) -> None:
        self.backend, self.threads = backend, threads

    @property
    def facts(self) -> ModelFacts:
        """What the model file says about itself."""
        return self.backend.model.facts

    def check_dim(self, dim: int | None) -> int:
        """The length of the embedding to give: `dim` if the model has that prefix, its whole one for None.

        Raises:
            InputError: not one of the model's prefixes.
        """
        if dim is None:
            return self.facts.dims
        if dim not in self.facts.prefixes:
            raise InputError(
                f"model {self.facts.name} can't be cut to {dim} dimensions; choose one of "
                f"{', '.join(map(str, self.facts.prefixes))}"
            )
        return dim

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
        dim = self.check_dim(dim)
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
    name_or_path: str = DEFAULT_MODEL,
    precision: str | None = None,
    backend: str = "auto",
    threads: int | None = None,
    announce: Callable[[str], None] | None = None,
    device: str = "auto",
) -> Model:
    """Load a model into a backend, and run it once so that all kernels are compiled.

    Where what is made first depends on a scene, as TensorRT's plans do, that waits until `embed` has one.

    Args:
        name_or_path: a model of this machine, or a model file.
        precision: `fp32` or `int8`, of a file for GPUs `fp16` or `qdq`; None: a file's own, fp32 for a name.
        backend: see `tessera_engine.backends.BACKENDS`.
        threads: CPU threads; None: all that this process may use.
        announce: told when kernels have to be compiled or plans built first, which takes a while once, and when
            a GPU runs out of memory.
        device: one of `tessera_engine.backends.DEVICES`.

    Raises:
        InputError: no such model, backend or device, or the file can't be used.
        DeviceError: the GPU can't be used.
    """
    threads = check_threads(threads)
    loaded = make_backend(open_model(name_or_path, precision), backend, threads, device, announce)
    model = Model(loaded, threads)
    if loaded.follows_lengths:
        return model
    with when_compiling(lambda: announce(COMPILING) if announce else None):
        _warm_up(model)
    return model


def _warm_up(model: Model) -> None:
    """One made-up pixel through everything."""
    steps = np.ones(1, np.int32)
    nothing, s1 = np.empty((1, 0, 2), np.int16), np.ones((1, 1, 2), np.int16)
    embedding = model.embed_pixels(
        np.ones((1, 1, 10), np.uint16), steps, np.ones((1, 1)), s1, steps, nothing, steps[:0]
    )
    quantize(embedding)


@dataclass(frozen=True)
class Embedded:
    """A finished run.

    Attributes:
        out: the output folder.
        pixels: pixels of the region that the scene covers.
        with_data: pixels that have an embedding.
        seconds: wall time of the stages, see `tessera_engine.running.pipeline.Statistics`.
        findings: what was worth saying about the scene.
    """

    out: Path
    pixels: int
    with_data: int
    seconds: dict[str, float]
    findings: tuple[Finding, ...]


def embed(
    scene: Scene | str | Path,
    model: Model,
    out: str | Path | None = None,
    *,
    window: Window | None = None,
    dim: int | None = None,
    stored_as: str | None = None,
    format: str = "cog",
    quicklook: str = "pca",
    memory: int | None = None,
    overwrite: bool = False,
    append: bool = False,
    restart: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> Embedded:
    """Embed a scene into an output folder, or go on with a run that was interrupted.

    The work lies in `<out>.partial` until it is finished. Finished windows are on the disk there, so that the same
    call goes on after any interruption.

    Args:
        scene: an open scene or its folder.
        model: a loaded model.
        out: output folder; None: `<scene name>.embeddings` in the current folder.
        window: the part of the scene; None: all.
        dim: length of the embedding, one of the model's prefixes; None: all of it.
        stored_as: `int8` or `float32`; None: int8 for an int8 model, else float32.
        format: one of `tessera_engine.formats.writing.FORMATS`.
        quicklook: one of `tessera_engine.pictures.quicklook.QUICKLOOKS`.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.
        overwrite: replace an earlier output.
        append: add to a store of that format which stands at `out`, see `tessera_engine.formats.grown`.
        restart: begin anew where a run was interrupted.
        strict: refuse a scene about which anything was found.
        progress: called with pixels done and in all, after each window.
        announce: told, in a line each, of what was found about the scene, of an interrupted run that is gone on with
            and of what is damaged in it.

    Raises:
        InputError: something asked for can't be had, or an interrupted run differs; nothing has been written.
        TesseraError: the run failed; what is finished is kept.
    """
    if not isinstance(scene, Scene):
        scene = open_scene(scene)
    dim = model.check_dim(dim)
    stored_as = stored_as or ("int8" if model.facts.is_int8 else "float32")
    if stored_as not in STORES:
        raise InputError(f"stored_as='{stored_as}' is unknown; choose one of {', '.join(STORES)}")
    region = check_window(scene.grid, window) if window is not None else scene.grid.window
    if append and overwrite:
        raise InputError("--append adds to what --overwrite would replace; give one of them")
    origin = _origin(scene, model)
    check_format(format, stored_as, scene.grid.crop(region), dim, origin)
    check_quicklook(quicklook)
    max_pixels = window_pixels(memory or default_memory(), scene.reader, model.backend.model)
    announce = announce or (lambda line: None)
    findings = tuple(examine(scene, model.facts, region))
    heed(findings, strict, announce)
    if model.backend.follows_lengths:
        tokens = pack(scene.reader.sample(region, SAMPLE_PIXELS), model.facts).tokens
        if len(tokens):
            model.backend.prepare(tokens)
    target = Path(out) if out is not None else Path(f"{scene.name}.embeddings")
    numba.set_num_threads(model.threads)
    plan = Plan(
        scene,
        model.backend,
        region,
        dim,
        stored_as,
        format,
        max_pixels,
        target,
        findings,
        origin,
        quicklook,
        append,
    )
    statistics = run(plan, overwrite, restart, progress, announce)
    return Embedded(target, statistics.pixels, statistics.with_data, statistics.seconds, findings)


def _origin(scene: Scene, model: Model) -> Origin:
    from tessera_engine.version import __version__

    facts, period = model.facts, scene.reader.period
    # The calendar year that all observations are of, if it is one
    year = period[0].year if period is not None and period[0].year == period[1].year else None
    return Origin(year, facts.name, model.backend.model.sha256, facts.generation, __version__)
