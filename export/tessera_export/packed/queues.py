"""Queues of work of a GPU: one copies while the other computes, and work can be captured and run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tessera_export.packed.batches import to_device

_cuda: Any = torch.cuda  # not all of it has types


class Queues(Protocol):
    """What `Graphs` needs from PyTorch's CUDA, see `CudaQueues`; tests have a stand-in."""

    def upload(self, arrays: Sequence[NDArray[np.generic]]) -> list[Tensor]:
        """Copy arrays to the device while it computes. What is queued by `computing` later waits for them."""

    def computing(self) -> AbstractContextManager[object]:
        """Queue what is called within, after what is queued already."""

    def capture(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Record work without doing it. Gives what does it, again and again, and where its result will be."""


class CudaQueues:
    """Two streams of the GPU: one copies, one computes."""

    def __init__(self) -> None:
        self._copying: Any = _cuda.Stream()
        self._computing: Any = _cuda.Stream()
        self._pool = torch.cuda.graph_pool_handle()

    def upload(self, arrays: Sequence[NDArray[np.generic]]) -> list[Tensor]:
        """See `Queues`."""
        with torch.cuda.stream(self._copying):
            tensors = [to_device(array, "cuda") for array in arrays]
        self._computing.wait_stream(self._copying)
        for tensor in tensors:
            tensor.record_stream(self._computing)
        return tensors

    def computing(self) -> AbstractContextManager[object]:
        """See `Queues`."""
        return torch.cuda.stream(self._computing)

    def capture(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """See `Queues`."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._computing):
            result = work()
        return graph.replay, result
