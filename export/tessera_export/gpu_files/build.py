"""Builds a network's model for GPUs. For int8 it takes the calibration method with the least drift on other pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from tessera_engine.model.drift import Drift, measure
from tessera_engine.model.facts import ModelFacts
from tessera_engine.tokens import sequence
from tessera_export.gpu_files import calibration
from tessera_export.gpu_files.graph import build_gpu_graph, plain
from tessera_export.gpu_files.qdq import quantized
from tessera_export.gpu_files.running import embed, onnx_run
from tessera_export.gpu_files.smoothing import smooth
from tessera_export.gpu_files.weights import gpu_weights
from tessera_export.reference import Reference
from tessera_export.train.pixels import concatenate, sample_scene

CALIBRATION_PIXELS = 256
"""Pixels of each scene to calibrate on, about 40,000 tokens."""

TEST_PIXELS = 128
"""Pixels of each scene to compare methods on."""


@dataclass(frozen=True)
class Calibrated:
    """An int8 model with explicit Q/DQ.

    Attributes:
        model: the model by the best method.
        drifts: method -> drift from float32 on other pixels of the scenes; the best method comes first.
    """

    model: onnx.ModelProto
    drifts: dict[str, Drift]


def build_half(network: Reference, facts: ModelFacts) -> onnx.ModelProto:
    """The float16 model of a network."""
    return build_gpu_graph(gpu_weights(network), facts, plain(np.float16))


def build_calibrated(network: Reference, facts: ModelFacts, scenes: Sequence[Path]) -> Calibrated:
    """The int8 model of a network with explicit Q/DQ.

    Args:
        network: the network, in eval mode.
        facts: its facts; the calibration method is added to their `quantization`.
        scenes: scene folders, read as for embedding.

    Raises:
        InputError: a scene can't be read, or has no observation.
    """
    calibrate, test = (
        sequence(
            concatenate([sample_scene(scene, facts, pixels, seed) for scene in scenes]), facts.generation
        )
        for seed, pixels in enumerate((CALIBRATION_PIXELS, TEST_PIXELS))
    )
    exact = gpu_weights(network)
    weights, maxima = smooth(exact, facts, calibration.channel_maxima(exact, facts, calibrate))
    largest = {layer: float(channels.max()) for layer, channels in maxima.items()}
    found = calibration.histograms(weights, facts, calibrate, largest)
    truth = embed(
        onnx_run(build_gpu_graph(exact, facts, plain(np.float32)).SerializeToString()), test, facts.dims
    )
    models, drifts = {}, {}
    for method, threshold in calibration.METHODS.items():
        how = f"{facts.quantization} by {method} on {len(calibrate)} pixels of {_names(scenes)}"
        models[method] = build_gpu_graph(
            weights,
            replace(facts, quantization=how),
            quantized({layer: threshold(histogram) for layer, histogram in found.items()}),
        )
        drifts[method] = measure(truth, embed(onnx_run(models[method].SerializeToString()), test, facts.dims))
    order = sorted(drifts, key=lambda method: -drifts[method].centred_mean)
    return Calibrated(models[order[0]], {method: drifts[method] for method in order})


def _names(scenes: Sequence[Path]) -> str:
    return ", ".join(scene.resolve().name[:40] for scene in scenes[:8]) + (", ..." if len(scenes) > 8 else "")
