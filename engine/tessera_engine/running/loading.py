"""A model that is loaded: what `load_model` gives, and how it embeds arrays."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tessera_engine.backends.base import Backend
from tessera_engine.backends.choosing import check_options, make_backend
from tessera_engine.errors import InputError
from tessera_engine.machine import check_threads
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.file import ModelFile
from tessera_engine.model.installed import DEFAULT_MODEL, check_model, open_model
from tessera_engine.progress import Announce
from tessera_engine.running.memory import check_device_memory
from tessera_engine.running.options import check_dim
from tessera_engine.scene import S1_BANDS, Observations
from tessera_engine.tokens import pack
from tessera_kernels.compilation import when_compiling
from tessera_kernels.quantize import quantize

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
