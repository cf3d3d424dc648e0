"""Our own network on an NVIDIA GPU. It needs NVIDIA's driver and nothing else.

The kernels come with the engine, see `tessera_engine.backends.gpu.fused`. They compute in float16 and accumulate in
float32. Embeddings have the same bits for any batch and window.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend, BackendRecord, Part
from tessera_engine.backends.gpu.cuda import Cuda, Gpu
from tessera_engine.backends.gpu.device import DeviceError, OutOfDeviceMemory
from tessera_engine.backends.gpu.fused.answer import check_answer
from tessera_engine.backends.gpu.fused.launcher import Launcher
from tessera_engine.backends.gpu.fused.network import GpuNetwork, Result
from tessera_engine.backends.gpu.fused.programs import (
    LEAST_CAPABILITY,
    LEAST_CUDA,
    PRECISIONS,
    compiler,
    find_programs,
)
from tessera_engine.backends.gpu.held import Held
from tessera_engine.backends.gpu.install import how_to_install
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.file import ModelFile, read_arrays
from tessera_engine.progress import Announce
from tessera_engine.tokens import PackedTokens

SLOTS = 2
"""Batches in progress: one is copied while the other is computed."""

SHARE = 0.25
"""Share of the free memory of the device that a batch may take."""

MOST_BYTES = 1 << 29
"""Of a batch: larger ones aren't faster once a GPU is busy. Not measured."""

PIECE_PIXELS = 1 << 16


class CudaBackend(Backend):
    """Runs batches of pixels, two at a time."""

    name = "cuda"
    piece_pixels = PIECE_PIXELS

    def __init__(self, model: ModelFile, device: Launcher, announce: Announce) -> None:
        """Let the GPU show that it computes rightly, and copy the model to it.

        Args:
            model: a file that `runs_model` accepts.
            device: the GPU.
            announce: called with a line when memory runs out.

        Raises:
            InputError: there are no kernels for this model.
            DeviceError: the GPU can't be used, or computes wrong embeddings.
        """
        super().__init__(model)
        self._device, self._announce = device, announce
        programs = find_programs(model.facts)
        if programs is None:
            raise InputError(f"backend=cuda {why_not(model.facts)}; give another backend=")
        check_answer(device, model.facts, programs)
        self._network = GpuNetwork(device, read_arrays(model), model.facts, programs)
        self._slots = [(Held(device), device.make_stream()) for _ in range(SLOTS)]
        self._limit = min(MOST_BYTES, int(SHARE * device.memory().free))

    @property
    def version(self) -> str:
        """What compiled the kernels."""
        return compiler()

    @property
    def computes_on(self) -> str:
        """The GPU."""
        return f"float16, {self._device.name}"

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        embedding = np.empty((len(tokens), self.model.facts.dims), np.float32)
        need = self._network.bytes_of(tokens)
        done = 0
        while done < len(tokens):
            try:
                for last in self._batches(tokens, need, embedding, done):
                    done = last
            except OutOfDeviceMemory as error:
                self._halve(error, int(need[done]))
        return embedding

    def _batches(
        self, tokens: PackedTokens, need: NDArray[np.int64], embedding: NDArray[np.float32], first: int
    ) -> Iterator[int]:
        """Embed all pixels from `first` on; gives the end of what is finished after each batch.

        Raises:
            OutOfDeviceMemory: a batch didn't fit; no work is queued any more.
        """
        waiting: list[tuple[int, int, Result]] = []
        try:
            while first < len(tokens) or waiting:
                if waiting and (len(waiting) == SLOTS or first == len(tokens)):
                    begin, end, result = waiting.pop(0)
                    self._device.synchronise(self._slots[0][1])
                    embedding[begin:end] = result.embedding
                    self._slots.append(self._slots.pop(0))
                    yield end
                    continue
                last = first + max(1, int(np.searchsorted(np.cumsum(need[first:]), self._limit, "right")))
                held, stream = self._slots[len(waiting)]
                part = tokens.part(first, last)
                waiting.append((first, last, self._network.begin(part, self.model.facts.dims, held, stream)))
                first = last
        except OutOfDeviceMemory:
            for held, stream in self._slots:
                self._device.synchronise(stream)
                held.drop()
            raise

    def _halve(self, error: DeviceError, least: int) -> None:
        """Make batches half as large."""
        self._limit //= 2
        memory = self._device.memory()
        if self._limit < least:
            raise TesseraError(
                f"{self._device.name} has {memory.free / 1e6:,.0f} of {memory.total / 1e6:,.0f} MB free, too little "
                f"for one pixel of model {self.model.label}: {error}; end other programs that use it, or give "
                "device=cpu"
            ) from error
        self._announce(
            f"{self._device.name} is out of memory ({memory.free / 1e6:,.0f} MB free): continuing with batches of "
            f"{self._limit / 1e6:,.0f} MB"
        )


def why_not(facts: ModelFacts) -> str | None:
    """Why a model can't be run, in words; None: it can."""
    if facts.precision not in PRECISIONS:
        return f"runs {', '.join(PRECISIONS)} files on GPUs, this model file is {facts.precision}"
    if find_programs(facts) is None:
        return (
            f"has kernels for nano and small of v2, not for {facts.name} ({facts.size}, {facts.generation})"
        )
    return None


def _find(device: str) -> Part:
    try:
        gpu = Gpu()
    except DeviceError as error:
        return Part(None, f"{error}: {how_to_install('driver')}")
    capability, cuda = _numbers(gpu.capability), _numbers(gpu.cuda)
    if capability < LEAST_CAPABILITY:
        return Part(None, f"{gpu.name} has compute capability {gpu.capability}, expected 8.0 or higher")
    if cuda < LEAST_CUDA:
        return Part(
            None, f"the driver is for CUDA {gpu.cuda}, expected 12.4 or newer: {how_to_install('driver')}"
        )
    return Part(compiler())


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _load(model: ModelFile, threads: int, device: str, announce: Announce) -> Backend:
    return CudaBackend(model, Cuda(), announce)


BACKEND = BackendRecord("cuda", {"cuda": PRECISIONS}, _find, _load, why_not=why_not)
