"""A known answer: a small question that a GPU must answer rightly before it is trusted with a scene.

The driver compiles the kernels for its own GPU, so what runs there has perhaps never run before. The question has
random weights and a few pixels, all computed from a counter, so that they never have to be stored. The answer of the
PyTorch reference in float32 is stored with the kernels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.gpu.device import DeviceError
from tessera_engine.backends.gpu.fused.launcher import Launcher
from tessera_engine.backends.gpu.fused.network import GpuNetwork
from tessera_engine.backends.gpu.fused.programs import Programs
from tessera_engine.backends.gpu.held import Held
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.layout import DAYS, expected_initializers
from tessera_engine.tokens import PackedTokens, Tokens

LENGTHS = ((5, 17, 40, 133), (20, 1, 66, 150))
"""Tokens of the pixels: some share a tile, some fill it up to another group, some are too long for a tile."""

TOLERANCE = 5e-3
"""Largest difference of a value. Float16 makes up to 1.5e-3; values have a spread of 1."""


def question(facts: ModelFacts) -> tuple[dict[str, NDArray[np.float32]], PackedTokens]:
    """Weights for a network of this size, named as in an fp32 model file, and the tokens of a few pixels."""
    arrays: dict[str, NDArray[np.float32]] = {}
    for number, (name, (_, shape)) in enumerate(
        expected_initializers(replace(facts, precision="fp32")).items()
    ):
        if name.endswith("day_of_year"):
            arrays[name] = _days(shape[1])
            continue
        values = _random(shape, number)
        if len(shape) == 2:
            values *= np.float32(np.sqrt(3.0 / shape[0]))
        else:
            values *= np.float32(0.2)
        if "norm" in name and name.endswith("weight"):
            values += 1
        arrays[name] = values
    return arrays, PackedTokens(
        _tokens(LENGTHS[0], len(facts.s2_bands)), _tokens(LENGTHS[1], len(facts.s1_bands))
    )


def check_answer(device: Launcher, facts: ModelFacts, programs: Programs) -> None:
    """Let a GPU answer the question.

    Raises:
        OutOfDeviceMemory: the GPU has too little free memory.
        DeviceError: the answer is wrong, or the driver reports an error.
    """
    arrays, tokens = question(facts)
    network = GpuNetwork(device, arrays, facts, programs)
    held, stream = Held(device), device.make_stream()
    try:
        result = network.begin(tokens, None, held, stream)
        device.synchronise(stream)
        assert result.embedding is not None
        difference = float(np.abs(result.embedding - np.array(programs.answer, np.float32)).max())
    finally:
        held.drop()
        network.close()
    if not difference <= TOLERANCE:
        raise DeviceError(
            f"{device.name} computes wrong embeddings: a value of a known answer is off by {difference:.2g}, expected "
            f"at most {TOLERANCE:g}; update NVIDIA's driver, or give device=cpu"
        )


def _tokens(lengths: tuple[int, ...], bands: int) -> Tokens:
    total = sum(lengths)
    values = 2 * _random((total, bands), 1000 + bands)
    doy = np.arange(total, dtype=np.int32) * 7 % (DAYS - 1) + 1
    multiplicity = (1 + np.arange(total) % 3).astype(np.float32)
    return Tokens(values, doy, multiplicity, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def _days(width: int) -> NDArray[np.float32]:
    """The encoding of days, sine and cosine side by side."""
    rates = np.exp(np.arange(0, width, 2) * -(np.log(10000.0) / width))
    angles = np.arange(DAYS)[:, None] * rates
    return np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(DAYS, width).astype(np.float32)


def _random(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Values from -1 to 1, the same in every version of numpy: raw bits of a counter."""
    bits = np.random.Philox(key=seed).random_raw(int(np.prod(shape)))
    values: NDArray[np.float32] = (
        (bits >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - 1
    ).reshape(shape)
    return values
