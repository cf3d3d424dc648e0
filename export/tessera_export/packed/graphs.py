"""Batches at few fixed shapes, captured as CUDA graphs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tessera_engine.backends.base import Finish
from tessera_engine.progress import Announce
from tessera_engine.tokens import PackedTokens
from tessera_export.packed.queues import Queues
from tessera_export.packed.running import Network, download
from tessera_export.packed.shapes import Shape, branches_of, filled, rounded_shape

MOST_GRAPHS = 8
"""Captured shapes that are kept. The windows of a scene have a few."""


class _Graph:
    """A captured shape: where its inputs and its result lie on the device, and what computes one from the other."""

    def __init__(self, inputs: list[Tensor], replay: Callable[[], None], result: Tensor) -> None:
        self.inputs, self.replay, self.result = inputs, replay, result


class Graphs:
    """Runs batches of a v2 network at fixed shapes as captured CUDA graphs.

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

    def begin(self, tokens: PackedTokens, prefix: int | None = None) -> Finish:
        """Start a batch of all the pixels, whose codes are wanted where a prefix is given."""
        shape = rounded_shape(tokens, self._step)
        given = self._queues.upload(filled(tokens, shape))
        with self._queues.computing():
            if shape not in self._graphs and shape in self._seen and self._captures:
                self._capture(shape, given)
            self._seen.add(shape)
            graph = self._graphs.get(shape)
            if graph is None:
                found = self._network(*branches_of(given, shape))
                return download(found[: len(tokens)], prefix, "v2")
            self._graphs.move_to_end(shape)
            for own, new in zip(graph.inputs, given, strict=True):
                own.copy_(new)
            graph.replay()
            return download(graph.result[: len(tokens)], prefix, "v2")

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
