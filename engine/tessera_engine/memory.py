"""How much memory a run may take, and what windows fit into it."""

from __future__ import annotations

import re
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.model_file import ModelFile
from tessera_engine.scene import Reader

_UNITS = {"": 1, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}

BASE_BYTES = 250_000_000
"""Interpreter, compiled kernels and runtime, before any model or window."""

BATCH_BYTES = 60_000_000
"""Activations of the batch in flight, nano; wider models take more in proportion to their FFN."""

MAX_WINDOW_PIXELS = 16_384
"""Larger windows gain nothing: a backend cuts them into batches anyway."""

MIN_WINDOW_PIXELS = 64

DEFAULT_LIMIT = 4 * 10**9


def parse_size(text: str) -> int:
    """Bytes from `2GB`, `800MB`, `1.5G`, `123456`.

    Raises:
        InputError: not a size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", text.upper())
    if not match:
        raise InputError(f"'{text}' is not an amount of memory; write it like 2GB or 800MB")
    return int(float(match[1]) * _UNITS[match[2]])


def default_memory() -> int:
    """Half of the free memory, at most `DEFAULT_LIMIT`; that where the system doesn't say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return DEFAULT_LIMIT
    return min(free // 2, DEFAULT_LIMIT)


def window_pixels(memory: int, reader: Reader, model: ModelFile) -> int:
    """How many pixels a window may have.

    Args:
        memory: bytes for the whole process.
        reader: the scene, for the size of a pixel's observations.
        model: for the size of weights, tokens and embeddings.

    Raises:
        InputError: not even the smallest window fits.
    """
    fixed, per_pixel = _needs(reader, model)
    pixels = (memory - fixed) // per_pixel
    if pixels < MIN_WINDOW_PIXELS:
        needed = fixed + MIN_WINDOW_PIXELS * per_pixel
        raise InputError(
            f"--memory {memory / 1e6:.0f}MB is too little for {model.label} on this scene: "
            f"it needs at least {needed / 1e6:.0f}MB"
        )
    return min(pixels, MAX_WINDOW_PIXELS)


def expected_memory(pixels: int, reader: Reader, model: ModelFile) -> int:
    """Bytes that a run takes at its peak with windows of so many pixels."""
    fixed, per_pixel = _needs(reader, model)
    return fixed + pixels * per_pixel


def _needs(reader: Reader, model: ModelFile) -> tuple[int, int]:
    """Bytes of a run whatever its windows, and bytes for each pixel of a window."""
    facts = model.facts
    # Two windows are in memory: one being computed, one being read. Tokens are float32 with day and
    # multiplicity: at most twice the integers that they come from, plus eight bytes each.
    observations = 2 * reader.bytes_per_pixel
    tokens = 3 * reader.bytes_per_pixel
    embedding = facts.dims * (4 + 4 + 1)
    fixed = BASE_BYTES + 3 * model.path.stat().st_size + BATCH_BYTES * max(1, facts.ffn_dim // 384)
    return fixed, observations + tokens + embedding
