"""Which of ONNX Runtime's GPU providers runs a model. Fixed rules decide, not the order of ONNX Runtime's list."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any, NamedTuple

from tessera_engine.backends.base import Part
from tessera_engine.backends.gpu.batching import Shape, input_shapes
from tessera_engine.backends.gpu.install import how_to_install
from tessera_engine.backends.gpu.plans import plans_folder
from tessera_engine.errors import InputError, ModelError, reason
from tessera_engine.model.file import ModelFile
from tessera_engine.offline.onnx_runtime import onnx_runtime

CUDA, TENSORRT, CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"

LARGEST = Shape(64, 256, 256)
"""The TensorRT provider has this one profile, with as many tokens. It is set before the pixels are known."""


class Provider(NamedTuple):
    """A provider and its options, in ONNX Runtime's form."""

    name: str
    options: dict[str, str]


def choose_provider(precision: str, available: Sequence[str]) -> Provider:
    """The provider for a model file of a precision.

    It is the CUDA provider, which takes any shape. The exception is qdq: the CUDA provider has no int8 kernels for
    explicit Q/DQ and would compute in float32, slower than an fp16 file. The TensorRT provider has such kernels, but
    needs one plan for all lengths. If it is not available, CUDA runs qdq files too, with the same results.

    Raises:
        InputError: the installed ONNX Runtime has no GPU provider.
    """
    if precision == "qdq" and TENSORRT in available:
        return Provider(TENSORRT, _tensorrt_options())
    if CUDA in available:
        # TF32 would round float32 models to 10 bits. Memory grows by what is requested, and doesn't double each time
        return Provider(CUDA, {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"})
    raise InputError(
        f"the installed ONNX Runtime has no GPU provider, only {', '.join(available)}; install one: "
        f"{how_to_install('onnxruntime')}"
    )


def _tensorrt_options() -> dict[str, str]:
    folder = plans_folder() / "onnxruntime"
    smallest, largest = (_profile(shape) for shape in (Shape(1, 1, 1), LARGEST))
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
        "trt_profile_min_shapes": smallest,
        "trt_profile_opt_shapes": largest,
        "trt_profile_max_shapes": largest,
    }


def _profile(shape: Shape) -> str:
    """Shapes in ONNX Runtime's form: `s2:64x256x10,s2_doy:64x256,...`."""
    return ",".join(f"{name}:{'x'.join(map(str, sizes))}" for name, sizes in input_shapes(shape).items())


OUT_OF_MEMORY = ("allocate memory", "smaller than requested bytes", "out of memory")
"""What ONNX Runtime's errors say where memory runs out: they have no type or code of their own for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of ONNX Runtime says that the device has too little memory."""
    return any(words in str(error).lower() for words in OUT_OF_MEMORY)


def with_limit(provider: Provider, size: int) -> Provider:
    """The provider with at most so many bytes of the device's memory.

    Raises:
        InputError: it has no such option.
    """
    if provider.name != CUDA:
        raise InputError(
            f"ONNX Runtime's {provider.name} has no limit of memory; leave out device_memory=, or give another backend="
        )
    return provider._replace(options=provider.options | {"gpu_mem_limit": str(size)})


def in_stream(provider: Provider, stream: int) -> Provider:
    """The provider with all its work in one stream of the device."""
    return provider._replace(options=provider.options | {"user_compute_stream": str(stream)})


def unable(what: str, model: ModelFile, error: Exception) -> ModelError:
    """What to raise where ONNX Runtime can't load or run a model file."""
    return ModelError(f"ONNX Runtime can't {what} {model.path}: {reason(error)}; export the model again")


def most_pixels(provider: str, tokens: int, s2: int, s1: int) -> int:
    """Most pixels of a batch of at most `tokens` tokens with these lengths."""
    pixels = max(1, tokens // (s2 + s1))
    return min(pixels, LARGEST.pixels) if provider == TENSORRT else pixels


def open_session(content: bytes, options: Any, provider: Provider) -> Any:
    """Open a session on this provider, and on no other.

    Raises:
        InputError: the provider can't be loaded. ONNX Runtime alone would silently use the CPU.
    """
    onnxruntime = onnx_runtime()
    if provider.name == CPU:
        return onnxruntime.InferenceSession(content, options, providers=[CPU])
    if hasattr(onnxruntime, "preload_dlls"):  # CUDA from pip's packages, if the system has none
        onnxruntime.preload_dlls()
    # The CPU provider stays for the few operators on shapes, which run there
    session = onnxruntime.InferenceSession(content, options, providers=[tuple(provider), CPU])
    found = session.get_providers()[0]
    if found != provider.name:
        raise InputError(
            f"ONNX Runtime {onnxruntime.__version__} can't load its {provider.name} and would use {found}: the CUDA "
            f"libraries that it was built for are missing; {how_to_install('onnxruntime')}"
        )
    return session


def find_gpu_providers() -> Part:
    """Look for a GPU provider in the installed ONNX Runtime."""
    onnxruntime = onnx_runtime()
    providers = [name for name in onnxruntime.get_available_providers() if name in (CUDA, TENSORRT)]
    if not providers:
        # Both packages have the same module: the one installed last has overwritten the other's files
        both = "was installed over onnxruntime-gpu and " if _is_installed("onnxruntime-gpu") else ""
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
