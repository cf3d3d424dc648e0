"""Batches in progress: begun on the device, finished when their embeddings are asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tessera_engine.progress import Announce
from tessera_engine.tokens import PackedTokens
from tessera_export.packed.batches import Shape, branches_of, by_length, filled, rounded_shape, to_device
from tessera_export.packed.network import BranchTokens

Network = Callable[[BranchTokens, BranchTokens], Tensor]
"""See `PackedNetwork.forward`."""

Finish = Callable[[], NDArray[np.float32]]
"""Waits for a batch and returns its embeddings, (P, dims) float32."""

_cuda: Any = torch.cuda  # not all of it has types

MOST_GRAPHS = 8
"""Captured shapes that are kept. The windows of a scene have a few."""


class Plain:
    """Runs batches of pixels sorted by length, on any device."""

    def __init__(self, network: Network, generation: str, device: str) -> None:
        self._network, self._generation, self._device = network, generation, device

    def begin(self, tokens: PackedTokens, pixels: NDArray[np.int64]) -> Finish:
        """Start a batch of some of the pixels."""
        s2, s1 = (by_length(each, pixels, self._generation, self._device) for each in (tokens.s2, tokens.s1))
        return download(self._network(s2, s1))


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


class _Graph:
    """A captured shape: where its inputs and its result lie on the device, and what computes one from the other."""

    def __init__(self, inputs: list[Tensor], replay: Callable[[], None], result: Tensor) -> None:
        self.inputs, self.replay, self.result = inputs, replay, result


class Graphs:
    """Runs batches at fixed shapes as captured CUDA graphs.

    The host launches a graph at once; its hundred kernels one by one would take it as long as a small batch takes the
    GPU. A shape is captured when it comes for the second time, because capturing takes longer than a batch. Until then
    it is run as it is, which also lets the libraries prepare themselves, as capturing demands.
    """

    def __init__(self, network: Network, step: int, queues: Queues, announce: Announce) -> None:
        """Prepare nothing yet.

        Args:
            network: on the device.
            step: see `rounded_shape`.
            queues: of the device.
            announce: called with a line where a graph can't be captured.
        """
        self._network, self._step, self._queues, self._announce = network, step, queues, announce
        self._seen: set[Shape] = set()
        self._graphs: OrderedDict[Shape, _Graph] = OrderedDict()
        self._captures = True

    def begin(self, tokens: PackedTokens) -> Finish:
        """Start a batch of all the pixels."""
        shape = rounded_shape(tokens, self._step)
        given = self._queues.upload(filled(tokens, shape))
        with self._queues.computing():
            if shape not in self._graphs and shape in self._seen and self._captures:
                self._capture(shape, given)
            self._seen.add(shape)
            graph = self._graphs.get(shape)
            if graph is None:
                return download(self._network(*branches_of(given, shape)), len(tokens))
            self._graphs.move_to_end(shape)
            for own, new in zip(graph.inputs, given, strict=True):
                own.copy_(new)
            graph.replay()
            return download(graph.result, len(tokens))

    def drop(self) -> None:
        """Release the graphs' memory. No batch may be in progress."""
        self._graphs.clear()

    def _capture(self, shape: Shape, given: Sequence[Tensor]) -> None:
        inputs = [each.clone() for each in given]
        try:
            replay, result = self._queues.capture(lambda: self._network(*branches_of(inputs, shape)))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._captures = False
            self._announce(f"PyTorch can't capture a CUDA graph, so kernels are launched one by one: {error}")
            return
        self._graphs[shape] = _Graph(inputs, replay, result)
        if len(self._graphs) > MOST_GRAPHS:
            self._graphs.popitem(last=False)


def download(embedding: Tensor, pixels: int | None = None) -> Finish:
    """Start to copy the first pixels' embeddings to the host. From CUDA it doesn't wait."""
    embedding = embedding[:pixels]
    if not embedding.is_cuda:
        found: NDArray[np.float32] = embedding.float().cpu().numpy()
        return lambda: found
    host = torch.empty(embedding.shape, dtype=torch.float32, pin_memory=True)
    host.copy_(embedding, non_blocking=True)
    done = _cuda.Event()
    done.record()

    def finish() -> NDArray[np.float32]:
        done.synchronize()
        result: NDArray[np.float32] = host.numpy()
        return result

    return finish
