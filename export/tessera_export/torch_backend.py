"""The reference as a backend: PyTorch eager in float32, to measure others against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend
from tessera_engine.backends.rectangles import rectangle
from tessera_engine.model_file import INPUT_NAMES, ModelFile
from tessera_engine.tokens import PackedTokens, sequence
from tessera_export.checkpoint import load_checkpoint
from tessera_export.onnx_graph import load_network
from tessera_export.reference import Reference


class TorchBackend(Backend):
    """Batches of a fixed number of pixels of similar length, as one would write it in PyTorch."""

    name = "torch"

    def __init__(self, model: ModelFile, network: Reference, batch_pixels: int) -> None:
        super().__init__(model)
        self._network, self._batch = network.eval(), batch_pixels

    @property
    def version(self) -> str:
        """Of PyTorch."""
        return str(torch.__version__)

    @property
    def computes_on(self) -> str:
        """How it is run."""
        return f"eager, float32, CPU, batches of {self._batch}"

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        tokens = sequence(tokens, self.model.facts.generation)
        embedding = np.empty((len(tokens), self.model.facts.dims), np.float32)
        order = np.lexsort((tokens.s1.lengths, tokens.s2.lengths))
        with torch.inference_mode():
            for start in range(0, len(order), self._batch):
                pixels = order[start : start + self._batch]
                inputs = rectangle(tokens.s2, pixels, "s2") | rectangle(tokens.s1, pixels, "s1")
                arguments = (torch.from_numpy(inputs[name]) for name in INPUT_NAMES)
                embedding[pixels] = self._network(*arguments).numpy()
        return embedding


def open_reference(checkpoint: Path, model: ModelFile) -> TorchBackend:
    """The network of a checkpoint as a backend.

    Args:
        checkpoint: a TESSERA checkpoint.
        model: the model file that it shall be compared with: its statistics pack the tokens.

    Raises:
        ModelError: the checkpoint can't be used, or has another shape than the model file.
    """
    network = load_checkpoint(checkpoint).model
    return TorchBackend(model, network, batch_pixels=32)


EAGER_BATCHES = (32, 256)
"""Pixels a batch: what suits CPUs best."""


def eager_baseline(model: ModelFile, threads: int, batch_pixels: int) -> TorchBackend:
    """PyTorch eager with the weights of an fp32 model file."""
    torch.set_num_threads(threads)
    return TorchBackend(model, load_network(model.path), batch_pixels)
