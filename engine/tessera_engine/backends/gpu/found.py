"""What of a GPU and of what runs models on it is on this machine, and what is missing."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from typing import NamedTuple

from tessera_engine.backends.gpu.cuda import Gpu
from tessera_engine.backends.gpu.device import DeviceError
from tessera_engine.backends.gpu.install import how_to_install
from tessera_engine.backends.gpu.providers import CUDA, TENSORRT
from tessera_engine.errors import TesseraError


class Part(NamedTuple):
    """Something that a GPU needs.

    Attributes:
        version: what is there; None: nothing that works.
        missing: if so, why, and the line that brings it.
    """

    version: str | None
    missing: str = ""


class Found(NamedTuple):
    """What is there, each by itself."""

    gpu: Part
    tensorrt: Part
    onnxruntime: Part
    torch: Part

    @property
    def missing(self) -> str:
        """Why no model can be run on a GPU here, in one line."""
        if self.gpu.version is None:
            return self.gpu.missing
        parts = {"TensorRT": self.tensorrt, "ONNX Runtime": self.onnxruntime, "PyTorch": self.torch}
        listed = "; ".join(f"{name}: {part.missing}" for name, part in parts.items() if part.version is None)
        return f"{self.gpu.version} is there, but nothing that runs this model on it: {listed}"


def look() -> Found:
    """Look for a GPU, TensorRT, ONNX Runtime's GPU providers and PyTorch; nothing is taken of the GPU."""
    return Found(_gpu(), _tensorrt(), _onnxruntime(), _torch())


def _gpu() -> Part:
    try:
        gpu = Gpu()
    except DeviceError as error:
        return Part(None, f"{error}: {how_to_install('driver')}")
    return Part(f"{gpu.name}, compute capability {gpu.capability}, driver {gpu.driver}")


def _tensorrt() -> Part:
    try:
        from tessera_engine.backends.gpu import tensorrt_api as tensorrt
    except TesseraError as error:
        reason = "missing" if importlib.util.find_spec("tensorrt") is None else str(error)
        return Part(None, f"{reason}: {how_to_install('tensorrt')}")
    return Part(tensorrt.VERSION)


def _onnxruntime() -> Part:
    import onnxruntime

    providers = [name for name in onnxruntime.get_available_providers() if name in (CUDA, TENSORRT)]
    if not providers:
        # Both are the same module: whichever came last has overwritten the other's files
        both = "lies over onnxruntime-gpu and " if _is_installed("onnxruntime-gpu") else ""
        return Part(
            None, f"{onnxruntime.__version__} {both}has no GPU provider: {how_to_install('onnxruntime')}"
        )
    return Part(f"{onnxruntime.__version__} with {', '.join(providers)}")


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _torch() -> Part:
    """By its version's name alone: to import it takes seconds."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return Part(None, f"missing: {how_to_install('torch')}")
    if version.endswith("+cpu"):
        return Part(None, f"{version} is built without CUDA: {how_to_install('torch')}")
    return Part(version)
