"""PyTorch as a backend: the packed network, and the reference, which is the standard for all others.

PyTorch is imported when a model is loaded, not with this module: the engine reads `BACKEND` on machines without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend, BackendRecord, Part
from tessera_engine.backends.gpu.install import how_to_install
from tessera_engine.backends.rectangles import rectangle
from tessera_engine.errors import InputError, MissingExtra, reason
from tessera_engine.model.file import INPUT_NAMES, ModelFile
from tessera_engine.progress import Announce
from tessera_engine.tokens import PackedTokens, sequence
from tessera_kernels.cpu import has_bfloat16

if TYPE_CHECKING:
    from tessera_export.reference import Reference

BATCHES = (32, 128)
"""Pixels per batch that suit CPUs best. Which of them is faster depends on the network and the CPU."""

GPU_BATCH = 512
"""Pixels per batch on a GPU; not measured."""


class TorchBackend(Backend):
    """Runs batches of a fixed number of pixels of similar length, as one would write it in PyTorch.

    Of several batch sizes, the fastest on the first pixels is kept.
    """

    name = "torch"

    def __init__(
        self,
        model: ModelFile,
        network: Reference,
        batches: tuple[int, ...],
        device: str = "cpu",
        dtype: str = "float32",
        compiled: bool = False,
    ) -> None:
        """Put a network on a device.

        Args:
            model: the model file that the network comes from or is compared with.
            network: the network.
            batches: pixels per batch; one size, or several to choose from.
            device: PyTorch's name of it: `cpu`, `cuda`, `mps` or `xpu`.
            dtype: PyTorch's name of what to compute in, where its autocast does.
            compiled: use `torch.compile`, once for all shapes.
        """
        super().__init__(model)
        self._torch = _torch()
        network = network.eval().to(device)
        self._batches, self._device, self._dtype, self._compiled = batches, device, dtype, compiled
        self._network = self._torch.compile(network, dynamic=True) if compiled else network

    @property
    def version(self) -> str:
        """Version of PyTorch."""
        return str(self._torch.__version__)

    @property
    def computes_on(self) -> str:
        """How and where it runs: eager or compiled, dtype, device, batch."""
        where = self._torch.cuda.get_device_name() if self._device == "cuda" else self._device.upper()
        how = "compiled" if self._compiled else "eager"
        return f"{how}, {self._dtype}, {where}, batches of {' or '.join(map(str, self._batches))}"

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        tokens = sequence(tokens, self.model.facts.generation)
        if len(self._batches) > 1:
            seconds = {}
            for batch in self._batches:
                for _ in range(2):  # the first time, it warms up or compiles
                    start = time.perf_counter()
                    embedding = self._in_batches(tokens, batch)
                    seconds[batch] = time.perf_counter() - start
            self._batches = (min(seconds, key=seconds.__getitem__),)
            return embedding
        return self._in_batches(tokens, self._batches[0])

    def _in_batches(self, tokens: PackedTokens, batch: int) -> NDArray[np.float32]:
        torch = self._torch
        embedding = np.empty((len(tokens), self.model.facts.dims), np.float32)
        order = np.lexsort((tokens.s1.lengths, tokens.s2.lengths))
        lower = self._dtype != "float32"
        dtype = getattr(torch, self._dtype if lower else "bfloat16")
        with torch.inference_mode(), torch.autocast(self._device, dtype, enabled=lower):
            for start in range(0, len(order), batch):
                pixels = order[start : start + batch]
                inputs = rectangle(tokens.s2, pixels, "s2") | rectangle(tokens.s1, pixels, "s1")
                arguments = (torch.from_numpy(inputs[name]).to(self._device) for name in INPUT_NAMES)
                try:
                    embedding[pixels] = self._network(*arguments).float().cpu().numpy()
                except Exception as error:
                    if not self._compiled:
                        raise
                    # It needs a C++ compiler, among other things
                    raise InputError(f"PyTorch can't compile the network: {reason(error)}") from None
        return embedding


def open_backend(model: ModelFile, threads: int, device: str, announce: Announce) -> Backend:
    """Load a model file into PyTorch, see `tessera_export.packed`.

    Args:
        model: the file: fp32, or int8, whose weights are then computed with in floats.
        threads: CPU threads.
        device: `cpu`, `cuda`, or `auto`: the first of CUDA, XPU, MPS and the CPU that this machine has.
        announce: called with a line when memory runs out, or where PyTorch can't do what is fastest.

    Raises:
        InputError: `cuda`, but PyTorch can't use it on this machine.
        MissingExtra: PyTorch is not installed.
        ModelError: the file is of another precision.
    """
    torch = _torch()
    if device == "cuda":
        _check_cuda()
    available = {
        "cuda": torch.cuda.is_available(),
        "xpu": torch.xpu.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        device = next(name for name, is_available in available.items() if is_available)
    torch.set_num_threads(threads)
    return _packed(model, device, announce)


def _packed(model: ModelFile, device: str, announce: Announce, compiled: bool = False) -> Backend:
    from tessera_export.packed.backend import PackedBackend

    # Full float32 where it is asked for. It is PyTorch's default, but other code may have changed it
    _torch().backends.cuda.matmul.allow_tf32 = False
    return PackedBackend(model, _network(model), device, announce, compiled)


def open_reference(checkpoint: Path, model: ModelFile) -> TorchBackend:
    """The network of a checkpoint as a backend.

    Args:
        checkpoint: a TESSERA checkpoint.
        model: the model file to compare it with; tokens are packed with this file's statistics.

    Raises:
        MissingExtra: PyTorch is not installed.
        ModelError: the checkpoint can't be used, or its shape differs from the model file's.
    """
    _torch("comparing with a checkpoint")
    from tessera_export.checkpoint import load_checkpoint

    return TorchBackend(model, load_checkpoint(checkpoint).model, BATCHES[:1])


def cpu_baseline(
    model: ModelFile, threads: int, dtype: str = "float32", compiled: bool = False
) -> TorchBackend:
    """PyTorch on the CPU with the weights of an fp32 model file, with the faster batch size.

    Args:
        model: the file.
        threads: CPU threads.
        dtype: `float32`, or `bfloat16` by autocast.
        compiled: use `torch.compile`, which takes about a minute.
    """
    _torch().set_num_threads(threads)
    return TorchBackend(model, _network(model), BATCHES, "cpu", dtype, compiled)


def gpu_packed(model: ModelFile, compiled: bool) -> Backend:
    """The packed network on this machine's CUDA GPU.

    Args:
        model: an fp32 file.
        compiled: use `torch.compile`.

    Raises:
        InputError: PyTorch can't use CUDA on this machine.
        MissingExtra: PyTorch is not installed.
    """
    _check_cuda()
    return _packed(model, "cuda", lambda line: None, compiled)


def gpu_baseline(model: ModelFile, half: bool, compiled: bool) -> TorchBackend:
    """The reference on this machine's CUDA GPU with the weights of an fp32 model file, in rectangles.

    Args:
        model: the file.
        half: compute in float16, by autocast.
        compiled: use `torch.compile`.

    Raises:
        InputError: PyTorch can't use CUDA on this machine.
        MissingExtra: PyTorch is not installed.
    """
    _check_cuda()
    dtype = "float16" if half else "float32"
    return TorchBackend(model, _network(model), (GPU_BATCH,), "cuda", dtype, compiled)


def baselines(model: ModelFile, threads: int, device: str) -> dict[str, Callable[[], Backend]]:
    """Ways to run an fp32 model file in PyTorch, by name, to compare the speed of other backends with.

    The first is the reference for embeddings too: eager, in float32.
    """
    if device == "cpu":
        return {"torch eager fp32": partial(cpu_baseline, model, threads)}
    found: dict[str, Callable[[], Backend]] = {
        f"torch {'compiled' if compiled else 'eager'} {'fp16' if half else 'fp32'}": partial(
            gpu_baseline, model, half, compiled
        )
        for compiled in (False, True)
        for half in (False, True)
    }
    for compiled in (False, True):
        found[f"torch packed{' compiled' if compiled else ''} fp16"] = partial(gpu_packed, model, compiled)
    return found


def forms(files: Mapping[str, ModelFile], threads: int) -> dict[str, Callable[[], Backend]]:
    """Further ways to run a model in PyTorch on CPUs: compiled, and in bfloat16 where the CPU has that."""
    ways = {"compiled fp32": ("float32", True)}
    if has_bfloat16():
        ways |= {"eager bf16": ("bfloat16", False), "compiled bf16": ("bfloat16", True)}
    return {name: partial(cpu_baseline, files["fp32"], threads, *way) for name, way in ways.items()}


def make_qdq(model: ModelFile, scene: Path, out: Path) -> None:
    """Write the int8 file with fixed scales (Q/DQ) of an fp32 model file, calibrated on a scene.

    Raises:
        InputError: the scene can't be read.
    """
    _torch("an int8 file with fixed scales")
    from tessera_export.export import export_model

    export_model(model.path, out, "int8", target="tensorrt", calibrate=[scene])


def _network(model: ModelFile) -> Reference:
    from tessera_export.onnx_graph import load_dequantised, load_network

    return load_dequantised(model.path) if model.facts.is_int8 else load_network(model.path)


def _check_cuda() -> None:
    torch = _torch()
    if not torch.cuda.is_available():
        raise InputError(
            f"device=cuda is not available with PyTorch {torch.__version__}: it finds no GPU, or was built without "
            f"CUDA; {how_to_install('torch')}"
        )


def _missing(purpose: str = "backend=torch") -> MissingExtra:
    return MissingExtra("torch", "export", purpose)


def _torch(purpose: str = "backend=torch") -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise _missing(purpose) from None
    return torch


def _find(device: str) -> Part:
    """Read only the installed version's name, because importing PyTorch takes seconds."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return Part(None, f"missing: {how_to_install('torch')}" if device == "cuda" else str(_missing()))
    if device == "cuda" and version.endswith("+cpu"):
        return Part(None, f"{version} is built without CUDA: {how_to_install('torch')}")
    return Part(version)


BACKEND = BackendRecord(
    "torch",
    {"cpu": ("fp32",), "cuda": ("fp32", "int8")},
    _find,
    open_backend,
    picks_device=True,
    overlaps=True,
    forms=forms,
    baselines=baselines,
    open_checkpoint=open_reference,
    make_qdq=make_qdq,
)
