"""The reference as a backend: PyTorch in float32, to measure others against, and where nothing else runs on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend
from tessera_engine.backends.gpu.install import how_to_install
from tessera_engine.backends.rectangles import rectangle
from tessera_engine.errors import InputError
from tessera_engine.model.file import INPUT_NAMES, ModelFile
from tessera_engine.tokens import PackedTokens, sequence
from tessera_export.checkpoint import load_checkpoint
from tessera_export.onnx_graph import load_network
from tessera_export.reference import Reference


class TorchBackend(Backend):
    """Batches of a fixed number of pixels of similar length, as one would write it in PyTorch."""

    name = "torch"

    def __init__(
        self,
        model: ModelFile,
        network: Reference,
        batch_pixels: int,
        device: str = "cpu",
        half: bool = False,
        compiled: bool = False,
    ) -> None:
        """Put a network on a device.

        Args:
            model: the model file that it is, or is compared with.
            network: the network.
            batch_pixels: pixels a batch.
            device: of PyTorch: `cpu`, `cuda`, `mps` or `xpu`.
            half: compute in float16 where PyTorch's autocast does.
            compiled: by `torch.compile`, for all shapes at once.
        """
        super().__init__(model)
        network = network.eval().to(device)
        self._batch, self._device, self._half, self._compiled = batch_pixels, device, half, compiled
        self._network = torch.compile(network, dynamic=True) if compiled else network

    @property
    def version(self) -> str:
        """Of PyTorch."""
        return str(torch.__version__)

    @property
    def computes_on(self) -> str:
        """How it is run."""
        where = torch.cuda.get_device_name() if self._device == "cuda" else self._device.upper()
        how = "compiled" if self._compiled else "eager"
        return f"{how}, {'float16' if self._half else 'float32'}, {where}, batches of {self._batch}"

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        tokens = sequence(tokens, self.model.facts.generation)
        embedding = np.empty((len(tokens), self.model.facts.dims), np.float32)
        order = np.lexsort((tokens.s1.lengths, tokens.s2.lengths))
        with torch.inference_mode(), torch.autocast(self._device, torch.float16, enabled=self._half):
            for start in range(0, len(order), self._batch):
                pixels = order[start : start + self._batch]
                inputs = rectangle(tokens.s2, pixels, "s2") | rectangle(tokens.s1, pixels, "s1")
                arguments = (torch.from_numpy(inputs[name]).to(self._device) for name in INPUT_NAMES)
                embedding[pixels] = self._network(*arguments).float().cpu().numpy()
        return embedding


def open_backend(model: ModelFile, threads: int, device: str) -> TorchBackend:
    """An fp32 model file in PyTorch, on the device that is there.

    Args:
        model: the file.
        threads: CPU threads.
        device: `cpu`, `cuda`, or `auto`: CUDA, else XPU, else MPS, else the CPU.

    Raises:
        InputError: `cuda`, and PyTorch has none here.
        ModelError: the file isn't fp32.
    """
    if device == "cuda":
        _check_cuda()
    there = {
        "cuda": torch.cuda.is_available(),
        "xpu": torch.xpu.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        device = next(name for name, is_there in there.items() if is_there)
    torch.set_num_threads(threads)
    # Float32 as it stands, for what others are measured against; it is PyTorch's default, which others may have changed
    torch.backends.cuda.matmul.allow_tf32 = False
    batch = EAGER_BATCHES[0] if device == "cpu" else GPU_BATCH
    return TorchBackend(model, load_network(model.path), batch, device)


def _check_cuda() -> None:
    if not torch.cuda.is_available():
        raise InputError(
            f"--device cuda can't be had with PyTorch {torch.__version__}: it sees no GPU, or is built without CUDA; "
            f"{how_to_install('torch')}"
        )


GPU_BATCH = 512
"""Pixels a batch on a GPU; not measured."""


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


def gpu_baseline(model: ModelFile, half: bool, compiled: bool) -> TorchBackend:
    """PyTorch on this machine's CUDA GPU with the weights of an fp32 model file.

    Args:
        model: the file.
        half: in float16, by autocast.
        compiled: by `torch.compile`.

    Raises:
        InputError: PyTorch has no CUDA here.
    """
    _check_cuda()
    return TorchBackend(model, load_network(model.path), GPU_BATCH, "cuda", half, compiled)


def gpu_baselines(model: ModelFile) -> dict[str, Callable[[], TorchBackend]]:
    """Ways to run it in PyTorch on the GPU, by name; the first is the reference: eager, in float32."""
    return {
        f"torch {'compiled' if compiled else 'eager'} {'fp16' if half else 'fp32'}": partial(
            gpu_baseline, model, half, compiled
        )
        for compiled in (False, True)
        for half in (False, True)
    }
