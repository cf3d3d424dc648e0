"""Checks a model file against the description in `tessera_engine.model.file` and the values of the reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from tessera_engine.errors import CheckFailed, reason
from tessera_engine.model.drift import THRESHOLDS, Drift, Threshold, measure
from tessera_engine.model.facts import GPU_PRECISIONS, ModelFacts
from tessera_engine.model.file import INPUT_NAMES, ModelFile, read_content, read_model_file
from tessera_engine.model.layout import DAYS
from tessera_export.gpu_files.rounded import RoundedNetwork
from tessera_export.gpu_files.running import Run, onnx_run
from tessera_export.reference import Reference

MADE_UP_THRESHOLDS = {
    "fp32": THRESHOLDS["fp32"],
    "fp16": THRESHOLDS["fp16"],
    "int8": Threshold(centred_mean=0.95),
    "qdq": Threshold(centred_mean=0.9),
}
"""Wide for int8, to find only broken quantisation; `tessera-engine verify` measures the drift on real pixels. Made-up
pixels differ much from those that a file was calibrated on."""

LONGEST_YEAR = 256
"""Tokens of the largest bin of the token rules."""

LARGEST_VALUE = np.float32(60)
"""More than the largest z-score of a uint16 in any band, 58.1. Even this must not overflow float16."""

Inputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Report:
    """A model file that passed the checks.

    Attributes:
        path: the file.
        facts: the facts in the file.
        drift: from the reference, on made-up tokens. For a GPU model file as `RoundedNetwork` computes it.
        calibration: for a calibrated file: method -> drift on pixels of the scenes; the chosen method comes first.
    """

    path: Path
    facts: ModelFacts
    drift: Drift
    calibration: dict[str, Drift] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The results of a calibration, one line per method, and the summary."""
        methods = [
            f"{'chosen' if place == 0 else 'tried'} {method}: centred cosine {drift.centred_mean:.6f}, first "
            f"percentile {drift.centred_p1:.6f} on {drift.pixels} other pixels of the scenes"
            for place, (method, drift) in enumerate(self.calibration.items())
        ]
        return [*methods, self.summary()]

    def summary(self) -> str:
        """One line for the user."""
        size = self.path.stat().st_size / 1e6
        if self.facts.precision == "fp32":
            drift = f"max |difference| {self.drift.max_difference:.1e}"
        else:
            drift = f"centred cosine {self.drift.centred_mean:.6f}"
        return (
            f"{self.facts.name} ({self.facts.precision}): {size:.1f} MB, validated against the reference "
            f"on {self.drift.pixels} made-up pixels: {drift}"
        )


def validate(path: Path, model: Reference) -> Report:
    """Check a model file, and compare its embeddings with those of the network that it was made from.

    Reading the file checks its graph, names, shapes and values against the format.

    Args:
        path: the model file.
        model: the network, in eval mode.

    Raises:
        CheckFailed: a check failed; the message says what was found, and what was expected.
        ModelError: it is not a model file of this engine.
    """
    file = read_model_file(path)
    proto = onnx.load(path)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CheckFailed(f"model {file.label} is not valid ONNX: {reason(error)}") from None
    return Report(path, file.facts, _check_values(file, model, proto))


def _expect(file: ModelFile, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise CheckFailed(
            f"model {file.label}: {what} is {found}, expected {expected}; export the model again"
        )


def _check_values(file: ModelFile, model: Reference, proto: onnx.ModelProto) -> Drift:
    """Compare embeddings with the reference: by ONNX Runtime on the CPU, and for GPU files also rounded as on GPUs."""
    runs = [_onnx_run(file)]
    if file.facts.precision in GPU_PRECISIONS:
        runs.append(RoundedNetwork(proto).run)
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 25, (2, 48))
    expected: list[NDArray[np.float32]] = []
    found: list[list[NDArray[np.float32]]] = [[] for _ in runs]
    for s2_lengths, s1_lengths in (
        lengths,
        np.ones((2, 8), np.int64),
        np.full((2, 2), LONGEST_YEAR),
    ):
        repeats = 8 if file.facts.generation == "v2" else 1
        inputs = _made_up_tokens("s2", len(file.facts.s2_bands), s2_lengths, repeats, rng)
        inputs |= _made_up_tokens("s1", len(file.facts.s1_bands), s1_lengths, repeats, rng)
        for run, parts in zip(runs, found, strict=True):
            parts.append(run(inputs))
            refilled = run(_with_other_filling(inputs))
            if not np.array_equal(parts[-1], refilled):
                change = np.abs(parts[-1] - refilled).max()
                raise CheckFailed(
                    f"model {file.label}: tokens of multiplicity 0 change embeddings by {change}, expected 0"
                )
        with torch.inference_mode():
            expected.append(model(*(torch.from_numpy(inputs[name]) for name in INPUT_NAMES)).numpy())
    threshold = MADE_UP_THRESHOLDS[file.facts.precision]
    for parts in found:
        _expect(file, "the embeddings' shapes", [e.shape for e in parts], [e.shape for e in expected])
        drift = measure(np.concatenate(expected), np.concatenate(parts))
        failures = threshold.failures(drift)
        if failures:
            raise CheckFailed(f"model {file.label} drifts too far from the reference: {'; '.join(failures)}")
    return drift


def _onnx_run(file: ModelFile) -> Run:
    try:
        return onnx_run(read_content(file))
    except Exception as error:  # onnxruntime's exceptions have no common base but Exception
        raise CheckFailed(f"ONNX Runtime can't load model {file.label}: {reason(error)}") from None


def _made_up_tokens(
    branch: str, bands: int, lengths: NDArray[np.int64], repeats: int, rng: np.random.Generator
) -> Inputs:
    """A rectangle of random tokens. The first pixel has only the token that means "no observation".

    Each token has a multiplicity of up to `repeats`, which is 1 if the network depends on the order of tokens.
    """
    shape = (len(lengths), int(lengths.max()))
    filled = np.arange(shape[1]) < lengths[:, None]
    values = rng.standard_normal((*shape, bands), np.float32)
    doy = rng.integers(1, DAYS, shape, np.int32)
    multiplicity = np.where(filled, rng.integers(1, repeats + 1, shape), 0).astype(np.float32)
    values[~filled], doy[~filled] = 0, 0
    values[0], doy[0], multiplicity[0] = 0, 0, np.arange(shape[1]) == 0
    return {branch: values, f"{branch}_doy": doy, f"{branch}_multiplicity": multiplicity}


def _with_other_filling(inputs: Inputs) -> Inputs:
    """The same tokens, with other values where the multiplicity is 0."""
    other = dict(inputs)
    for branch in ("s2", "s1"):
        filling = inputs[f"{branch}_multiplicity"] == 0
        other[branch] = np.where(filling[..., None], LARGEST_VALUE, inputs[branch])
        other[f"{branch}_doy"] = np.where(filling, np.int32(DAYS - 1), inputs[f"{branch}_doy"])
    return other
