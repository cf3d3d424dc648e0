"""How much memory a run may take, and how large its windows can be."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from tessera_engine.backends.registry import backend_bytes, backend_overlaps
from tessera_engine.errors import InputError, check_type
from tessera_engine.formats.registry import format_named
from tessera_engine.machine import default_memory
from tessera_engine.model.file import ModelFile
from tessera_engine.pictures.quicklook import picture_bytes
from tessera_engine.scene import Grid, Reader

_UNITS = {"": 1, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}

BASE_BYTES = 220_000_000
"""Interpreter, kernels, runtimes and GDAL, before any model or window; measured 195 to 215 MB on Linux."""

BATCH_BYTES = 60_000_000
"""Activations of the batch in flight, nano; wider models take more in proportion to their FFN."""

RUNTIME_BYTES = 100_000_000
"""What a batch in a runtime takes besides, for each time that a model is wider than nano; measured with medium: 440 MB
more than the fused kernels in ONNX Runtime and 560 MB in OpenVINO, which also keep weights in forms of their own."""

READING_BYTES = 290_000_000
"""A process that only reads embeddings: interpreter, libraries, kernels, and GDAL's cache; measured 220 to 275 MB.
Pages of mapped files (npy, geotessera) are added while memory is free; the system takes them back."""

QUALITY_BYTES = 2 * 12
"""Of a pixel's quality layer: that of the window that is computed, and of the one that is written."""

MAX_WINDOW_PIXELS = 16_384
"""Larger windows gain nothing, and an interruption loses a window. Wider models take longer for a pixel, so their
windows are smaller in proportion to their FFN, down to `MIN_MAX_WINDOW_PIXELS`."""

MIN_MAX_WINDOW_PIXELS = 1024

MIN_WINDOW_PIXELS = 64


def parse_size(text: str, name: str = "memory") -> int:
    """Bytes from `2GB`, `800MB`, `1.5G`, `123456`.

    Args:
        text: as a user gave it.
        name: the parameter, for messages.

    Raises:
        InputError: not a size, or less than a megabyte without a unit.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", text.upper())
    if not match:
        raise InputError(f"{name}='{text}' is not an amount of memory; write it like 2GB or 800MB")
    size = int(float(match[1]) * _UNITS[match[2]])
    if size < 10**6:
        raise InputError(f"{name}='{text}' means {size:,} bytes; write it with a unit, like 2GB or 800MB")
    return size


def check_device_memory(size: int | str | None) -> int | None:
    """Bytes of a GPU's memory that a run may take, from what a user gave; None: no limit was given.

    Raises:
        InputError: it is not a size.
    """
    if size is None:
        return None
    check_type("device_memory", size, (int, str), "bytes, or a size like '8GB'")
    return parse_size(str(size), "device_memory")


@dataclass(frozen=True)
class Demand:
    """What a run's memory depends on, besides the size of its windows.

    Attributes:
        reader: the scene, which gives the size of a pixel's observations.
        model: gives the size of weights, tokens and embeddings.
        grid: of the output.
        format: that is written.
        backend: the name of what runs the model.
        stored_as: `int8` or `float32`.
        held: bytes of what else is in memory during the run, such as which pixels are selected.
    """

    reader: Reader
    model: ModelFile
    grid: Grid
    format: str = "cog"
    backend: str = "fused"
    stored_as: str = "int8"
    held: int = 0

    def of(self, pixels: int) -> int:
        """Bytes at the peak of a run with windows of this many pixels."""
        needs = self._needs
        return int(needs.fixed + max(needs.batch + pixels * needs.per_pixel, needs.finishing))

    def window_pixels(self, memory: int) -> int:
        """How many pixels a window may have.

        Args:
            memory: bytes for the whole process.

        Raises:
            InputError: the smallest window doesn't fit, or what makes the output.
        """
        needs = self._needs
        pixels = int((memory - needs.fixed - needs.batch) // needs.per_pixel)
        if pixels < MIN_WINDOW_PIXELS or memory < needs.fixed + needs.finishing:
            raise InputError(
                f"memory={memory / 1e6:.0f}MB is too little for {self.model.label} on this scene in "
                f"format={self.format}: it needs at least {math.ceil(self.of(MIN_WINDOW_PIXELS) / 1e6):.0f}MB"
            )
        return min(pixels, max(MAX_WINDOW_PIXELS // _wider(self.model), MIN_MAX_WINDOW_PIXELS))

    @property
    def _needs(self) -> _Needs:
        # Two windows are in memory, one being computed and one being read, and those that the reader keeps. Tokens are
        # float32 with day and multiplicity: at most twice the integers that they come from, plus eight bytes each, and
        # masks.
        reader, model, format = self.reader, self.model, format_named(self.format)
        observations = (2 + reader.windows_held) * reader.bytes_per_pixel
        tokens = 3.5 * reader.bytes_per_pixel * (2 if backend_overlaps(self.backend) else 1)
        dims = model.facts.dims
        # As the network returns them, with nodata between them, and two windows of them being written
        embedding = 4 * dims * 4 + QUALITY_BYTES
        value = 1 if self.stored_as == "int8" else 4
        runtime = backend_bytes(self.backend)
        if runtime:
            runtime += RUNTIME_BYTES * (_wider(model) - 1)
        return _Needs(
            fixed=BASE_BYTES
            + self.held
            + 3 * model.path.stat().st_size
            + reader.bytes_held
            + runtime
            + format.library_bytes,
            batch=BATCH_BYTES * _wider(model),
            per_pixel=observations + tokens + embedding,
            finishing=max(picture_bytes(self.grid), format.fixed_bytes + format.pixels_held * dims * value),
        )


def strip_values(memory: int | None, fixed: int, per_value: int, least: int, most: int) -> int:
    """How many values of embeddings may be processed at a time.

    Args:
        memory: bytes for the whole process; None: `default_memory`.
        fixed: bytes of the results and of what computes them, besides `READING_BYTES`.
        per_value: bytes that a value takes.
        least: values of the thinnest strip.
        most: values of the thickest useful strip.

    Raises:
        InputError: the thinnest strip doesn't fit.
    """
    memory = memory or default_memory()
    values = (memory - READING_BYTES - fixed) // per_value
    if values < least:
        needed = READING_BYTES + fixed + least * per_value
        raise InputError(
            f"memory={memory / 1e6:.0f}MB is too little for a map of this size: it needs at least "
            f"{math.ceil(needed / 1e6)}MB"
        )
    return min(values, most)


class _Needs(NamedTuple):
    """Bytes of a run.

    Attributes:
        fixed: at any time.
        batch: for the batch that is computed.
        per_pixel: for each pixel of a window.
        finishing: for the output, once the windows are done.
    """

    fixed: int
    batch: int
    per_pixel: float
    finishing: int


def _wider(model: ModelFile) -> int:
    """How many times wider than nano's the model's layers are."""
    return max(1, model.facts.ffn_dim // 384)
