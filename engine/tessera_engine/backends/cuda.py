"""Our own network on an NVIDIA GPU. It needs NVIDIA's driver and nothing else.

The kernels come with the engine, see `tessera_engine.backends.gpu.fused`. They compute in float16 and accumulate in
float32. Embeddings have the same bits for any batch and window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend, BackendRecord, Finish, Part, Result
from tessera_engine.backends.gpu.cuda import Cuda, Gpu
from tessera_engine.backends.gpu.device import DeviceError, OutOfDeviceMemory, lost, smaller_batches
from tessera_engine.backends.gpu.fused.answer import check_answer
from tessera_engine.backends.gpu.fused.launcher import Launcher
from tessera_engine.backends.gpu.fused.network import GpuNetwork
from tessera_engine.backends.gpu.fused.programs import (
    LEAST_CAPABILITY,
    LEAST_CUDA,
    PRECISIONS,
    compiler,
    find_programs,
)
from tessera_engine.backends.gpu.held import Held
from tessera_engine.backends.gpu.in_progress import InProgress, next_batch
from tessera_engine.backends.gpu.install import how_to_install
from tessera_engine.errors import InputError
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
    overlaps = True

    def __init__(self, model: ModelFile, device: Launcher, announce: Announce) -> None:
        """Let the GPU show that it computes rightly, and copy the model to it.

        Args:
            model: a file that `why_not` has nothing against.
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
        self._progress = InProgress(SLOTS)
        self._limit = min(MOST_BYTES, int(SHARE * device.memory().free))

    @property
    def version(self) -> str:
        """What compiled the kernels."""
        return compiler()

    @property
    def computes_on(self) -> str:
        """The GPU."""
        return f"float16, {self._device.name}"

    def limit_device_memory(self, size: int) -> None:
        """See `Backend.limit_device_memory`. The driver's own memory, some hundred MB, comes on top."""
        taken = self._device.taken
        if size <= taken:
            raise InputError(
                f"device_memory={size / 1e6:,.0f}MB is too little: the weights of {self.model.label} alone take "
                f"{taken / 1e6:,.1f} MB; give more"
            )
        self._device.limit(size)
        self._limit = min(self._limit, max(1, int(SHARE * (size - taken))))

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        embedding = self._start(tokens, None)().embedding
        assert embedding is not None
        return embedding

    def _start(self, tokens: PackedTokens, prefix: int | None) -> Finish:
        """Queue all batches but for those that have to wait for a slot; see `Backend.start`."""
        result = Result.room(len(tokens), self.model.facts.dims, prefix)
        ends = np.cumsum(self._network.bytes_of(tokens))
        first = number = 0
        while first < len(tokens):
            last = next_batch(ends, first, self._limit)
            try:
                number = self._begin(tokens, prefix, first, last, result)
            except OutOfDeviceMemory as error:
                self._halve(error, int(ends[first] - (ends[first - 1] if first else 0)))
                continue
            first = last

        def finish() -> Result:
            self._progress.finish(number)
            return result

        return finish

    def _begin(self, tokens: PackedTokens, prefix: int | None, first: int, last: int, result: Result) -> int:
        """Queue a batch, whose results will be written to the rows of its pixels; gives its number."""
        self._progress.make_room()
        held, stream = self._slots[0]
        try:
            found = self._network.begin(tokens.part(first, last), prefix, held, stream)
        except OutOfDeviceMemory:
            self._wait(stream)
            raise
        except DeviceError as error:
            raise lost(self._device.name, error) from error
        self._slots.append(self._slots.pop(0))

        def finish() -> None:
            self._wait(stream)
            result.put(slice(first, last), found)

        return self._progress.add(finish)

    def _wait(self, stream: int) -> None:
        try:
            self._device.synchronise(stream)
        except DeviceError as error:
            raise lost(self._device.name, error) from error

    def _halve(self, error: DeviceError, least: int) -> None:
        """Make batches half as large, once those in progress are finished and their memory is free."""
        self._progress.finish_all()
        for held, _ in self._slots:
            held.drop()
        self._limit //= 2
        device, size = self._device, f"{self._limit / 1e6:,.0f} MB"
        enough = self._limit >= least
        self._announce(smaller_batches(device.name, device.memory(), self.model.label, size, enough, error))


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
        return Part(None, str(error))
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


BACKEND = BackendRecord("cuda", {"cuda": PRECISIONS}, _find, _load, overlaps=True, why_not=why_not)
