"""The backend `torch`: the packed network on CUDA, XPU, MPS or the CPU."""

from __future__ import annotations

import importlib.util
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend, Finish, Result
from tessera_engine.backends.gpu.device import lost
from tessera_engine.backends.gpu.in_progress import InProgress, next_batch
from tessera_engine.errors import InputError, TesseraError, reason
from tessera_engine.model.file import ModelFile
from tessera_engine.progress import Announce
from tessera_engine.tokens import PackedTokens
from tessera_export.packed.graphs import Graphs
from tessera_export.packed.memory import free_memory, tokens_that_fit, total_memory
from tessera_export.packed.network import PackedNetwork
from tessera_export.packed.queues import CudaQueues
from tessera_export.packed.running import Plain
from tessera_export.reference import Reference

IN_PROGRESS = 2
"""Batches: one is copied and queued while the other is computed."""

CPU_TOKENS = 1 << 13
"""Of a batch on CPUs."""

STEPS = 16
"""Fixed shapes have multiples of this share of the largest batch's tokens."""


class PackedBackend(Backend):
    """Runs batches of packed tokens, two at a time: in float16 on CUDA, in float32 elsewhere."""

    name = "torch"

    def __init__(
        self, model: ModelFile, network: Reference, device: str, announce: Announce, compiled: bool = False
    ) -> None:
        """Put a network on a device.

        Args:
            model: the model file that the network comes from.
            network: the network.
            device: PyTorch's name of it: `cpu`, `cuda`, `mps` or `xpu`.
            announce: called with a line when memory runs out, or a graph can't be captured.
            compiled: use `torch.compile`, once for all shapes.

        Raises:
            InputError: `compiled`, but this can't be.
        """
        super().__init__(model)
        self._device, self._announce, self._compiled = device, announce, compiled
        self.overlaps = device != "cpu"
        # Elsewhere a division need not round to the nearest float32, so codes could differ from the CPU's
        self._makes_codes = device == "cuda"
        dtype = torch.float16 if device == "cuda" else torch.float32
        packed = PackedNetwork(network, dtype).eval().to(device)
        self._config = network.config
        self._limit = CPU_TOKENS if device == "cpu" else tokens_that_fit(network.config, free_memory(device))
        self._graphs = None
        if device == "cuda" and network.config.generation == "v2" and has_varlen():
            run = torch.compile(packed, dynamic=True) if compiled else packed
            self._graphs = Graphs(run, max(1, self._limit // STEPS), CudaQueues(), announce)
        elif compiled:
            # Shapes that differ from batch to batch would be compiled again and again
            raise InputError("only v2 networks on CUDA are compiled, with PyTorch 2.10 or newer")
        self._plain = Plain(packed, model.facts.generation, device)
        self._progress = InProgress(IN_PROGRESS)

    @property
    def version(self) -> str:
        """Version of PyTorch."""
        return str(torch.__version__)

    @property
    def computes_on(self) -> str:
        """How and where it runs: packed, dtype, device."""
        where = torch.cuda.get_device_name() if self._device == "cuda" else self._device.upper()
        how = "packed, compiled" if self._compiled else "packed"
        return f"{how}, {'float16' if self._device == 'cuda' else 'float32'}, {where}"

    def limit_device_memory(self, size: int) -> None:
        """See `Backend.limit_device_memory`."""
        if self._device == "cpu":
            super().limit_device_memory(size)
        device: Any = getattr(torch, self._device)
        if not hasattr(device, "set_per_process_memory_fraction"):
            raise InputError(
                f"PyTorch {self.version} has no limit of memory on {self._device.upper()}; leave out device_memory="
            )
        device.set_per_process_memory_fraction(min(1.0, size / total_memory(self._device)))
        self._limit = min(self._limit, tokens_that_fit(self._config, size))

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        embedding = self._start(tokens, None)().embedding
        assert embedding is not None
        return embedding

    def _start(self, tokens: PackedTokens, prefix: int | None) -> Finish:
        prefix = prefix if self._makes_codes else None
        result = Result.room(len(tokens), self.model.facts.dims, prefix)
        order = None if self._graphs is not None else _sorted_pixels(tokens)
        lengths = tokens.s2.lengths + tokens.s1.lengths
        ends = np.cumsum(lengths if order is None else lengths[order])
        first = last_begun = 0
        while first < len(tokens):
            last = next_batch(ends, first, self._limit)
            pixels = slice(first, last) if order is None else order[first:last]
            try:
                last_begun = self._begin(tokens, pixels, prefix, result)
            except torch.OutOfMemoryError as error:
                self._halve(error, int(ends[first]) - (int(ends[first - 1]) if first else 0))
                continue
            first = last

        def finish() -> Result:
            self._progress.finish(last_begun)
            return result

        return finish

    def _begin(
        self, tokens: PackedTokens, pixels: slice | NDArray[np.int64], prefix: int | None, result: Result
    ) -> int:
        """Start a batch whose results will be written to these rows; gives its number."""
        self._progress.make_room()
        try:
            with torch.inference_mode():
                if isinstance(pixels, slice):
                    assert self._graphs is not None
                    found = self._graphs.begin(tokens.part(pixels.start, pixels.stop), prefix)
                else:
                    found = self._plain.begin(tokens, pixels, prefix)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            self._give_up(error)

        def finish() -> None:
            try:
                result.put(pixels, found())
            except RuntimeError as error:
                self._give_up(error)

        return self._progress.add(finish)

    def _give_up(self, error: Exception) -> NoReturn:
        if self._compiled:
            # It needs a C++ compiler, among other things
            raise InputError(f"PyTorch can't compile the network: {reason(error)}") from None
        if self._device == "cpu":
            raise error
        raise lost(self._device.upper(), reason(error)) from error

    def _halve(self, error: Exception, least: int) -> None:
        """Make batches half as large, once those in progress are finished."""
        self._progress.finish_all()
        if self._graphs is not None:
            self._graphs.drop()
        torch.cuda.empty_cache()
        self._limit //= 2
        if self._limit < least:
            raise TesseraError(
                f"{self.computes_on} has too little free memory for one pixel of model {self.model.label}: "
                f"{reason(error)}; end other programs that use it, or give device=cpu"
            ) from error
        self._announce(
            f"{self.computes_on} is out of memory: continuing with batches of {self._limit:,} tokens"
        )


def has_varlen() -> bool:
    """Whether this PyTorch has attention of variable length: from 2.10 on."""
    return importlib.util.find_spec("torch.nn.attention.varlen") is not None


def _sorted_pixels(tokens: PackedTokens) -> NDArray[np.int64]:
    """(N,) pixel numbers, those with equal numbers of tokens side by side."""
    return np.lexsort((tokens.s1.lengths, tokens.s2.lengths))
