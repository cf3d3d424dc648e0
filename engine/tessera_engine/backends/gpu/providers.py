"""Which of ONNX Runtime's GPU providers runs a model, by rule and not by what happens to come first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tessera_engine.backends.gpu.batching import Shape, input_shapes
from tessera_engine.backends.gpu.install import how_to_install
from tessera_engine.errors import InputError

CUDA, TENSORRT, CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"

BATCH_TOKENS = 1 << 15
"""Tokens of a batch on a GPU: some 400 MB of activations for nano in float32, 2 GB for large."""

LARGEST = Shape(64, 256, 256)
"""The one profile of the TensorRT provider, with as many tokens; it is chosen before any pixel is seen."""


class Provider(NamedTuple):
    """A provider with its options, as ONNX Runtime takes them."""

    name: str
    options: dict[str, str]


def choose_provider(precision: str, available: Sequence[str]) -> Provider:
    """The provider for a model file of a precision.

    The CUDA provider, which takes any shape as it comes. But for explicit Q/DQ: it has no int8 kernels for that and
    would compute in float32, slower than an fp16 file; the TensorRT provider has, at the price of one plan for all
    lengths. Where that one isn't there, CUDA runs Q/DQ too, with the same results.

    Raises:
        InputError: the installed ONNX Runtime has no GPU provider.
    """
    if precision == "qdq" and TENSORRT in available:
        return Provider(TENSORRT, _tensorrt_options())
    if CUDA in available:
        # TF32 would round float32 models to 10 bits; growing by what is asked for, memory doesn't double by itself
        return Provider(CUDA, {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"})
    raise InputError(
        f"ONNX Runtime has no GPU provider here, only {', '.join(available)}; to have one: "
        f"{how_to_install('onnxruntime')}"
    )


def _tensorrt_options() -> dict[str, str]:
    from tessera_engine.backends.gpu.plans import plans_folder

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
    """As ONNX Runtime writes shapes: `s2:64x256x10,s2_doy:64x256,...`."""
    return ",".join(f"{name}:{'x'.join(map(str, sizes))}" for name, sizes in input_shapes(shape).items())


def most_pixels(provider: str, s2: int, s1: int) -> int:
    """Pixels of a batch of these lengths."""
    pixels = max(1, BATCH_TOKENS // (s2 + s1))
    return min(pixels, LARGEST.pixels) if provider == TENSORRT else pixels


def open_session(content: bytes, options: Any, provider: Provider) -> Any:
    """A session on that provider, and no other.

    Raises:
        InputError: the provider can't be loaded; ONNX Runtime would take the CPU without a word.
    """
    import onnxruntime

    if provider.name == CPU:
        return onnxruntime.InferenceSession(content, options, providers=[CPU])
    if hasattr(onnxruntime, "preload_dlls"):  # CUDA from pip's packages, where the system has none
        onnxruntime.preload_dlls()
    # The CPU provider stays, for the few operators on shapes that belong there
    session = onnxruntime.InferenceSession(content, options, providers=[tuple(provider), CPU])
    found = session.get_providers()[0]
    if found != provider.name:
        raise InputError(
            f"ONNX Runtime {onnxruntime.__version__} can't load its {provider.name}, and would have taken {found}: the "
            f"CUDA libraries that it was made for are missing; {how_to_install('onnxruntime')}"
        )
    return session
