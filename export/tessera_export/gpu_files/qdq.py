"""Linear layers in int8 for TensorRT: explicit QuantizeLinear and DequantizeLinear around each MatMul.

Both sides are symmetric, because TensorRT supports nothing else. Weights have a scale per output channel. Activations
have one scale per layer, which calibration found beforehand; larger values are clipped. As with the other precisions, a
pixel's embedding depends only on its own tokens. Scales are float16, so that dequantised values are float16 like the
tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tessera_export.gpu_files.graph import GpuPrecision
from tessera_export.int8 import LEVELS
from tessera_export.onnx_builder import Graph

DESCRIPTION = (
    "explicit Q/DQ: weights int8, symmetric per output channel; activations int8, symmetric, one scale a layer; each "
    "branch's first layer, attention and norms float16; pooling, recurrence and fusion float32; calibrated"
)

SMALLEST_SCALE = 2.0**-20
"""Smallest scale: below it float16 has too few bits."""


def half_scale(largest: NDArray[np.float32] | np.float32) -> NDArray[np.float16]:
    """The float16 scale of codes up to 127 for values up to `largest`, rounded up so that none is clipped."""
    wanted = np.maximum(np.asarray(largest, np.float32) / np.float32(LEVELS), np.float32(SMALLEST_SCALE))
    scale = wanted.astype(np.float16)
    rounded_up: NDArray[np.float16] = np.where(scale < wanted, np.nextafter(scale, np.float16(np.inf)), scale)
    return rounded_up


def quantize_weight(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Symmetric int8 per output channel: weight = codes * scale, off by at most half a scale.

    Args:
        weight: (in, out) float32.

    Returns:
        codes (in, out) int8 in -127..127, and scale (out,) float16.
    """
    scale = half_scale(np.abs(weight).max(axis=0))
    codes = np.clip(np.rint(weight / scale.astype(np.float32)), -LEVELS, LEVELS).astype(np.int8)
    return codes, scale


def quantized(thresholds: Mapping[str, float]) -> GpuPrecision:
    """Int8 with explicit Q/DQ.

    Args:
        thresholds: name of each quantised layer -> the magnitude of its input that becomes code 127.
    """

    def linear(graph: Graph, x: str, name: str) -> str:
        codes, scale = quantize_weight(graph.weights[f"{name}.weight"])
        zero = graph.constant(0, np.int8)  # without a zero point the codes would be uint8
        input_scale = graph.initializer(f"{name}.input.scale", half_scale(np.float32(thresholds[name])))
        x = graph.node("QuantizeLinear", x, input_scale, zero)
        x = graph.node("DequantizeLinear", x, input_scale, zero)
        weight = graph.node(
            "DequantizeLinear",
            graph.initializer(f"{name}.weight.int8", codes),
            graph.initializer(f"{name}.weight.scale", scale),
            axis=1,
        )
        return graph.node("Add", graph.node("MatMul", x, weight), graph.weight(f"{name}.bias", np.float16))

    return GpuPrecision(np.float16, linear)
