"""Holds a model file to its promises: what `tessera_engine.model.file` says, and the reference's values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from tessera_engine.errors import CheckFailed
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
"""For int8 wide, to find broken quantisation: how far it drifts on real pixels, `tessera-engine verify` measures. Those
that a file was calibrated on are unlike made-up ones."""

LONGEST_YEAR = 256
"""Tokens of the largest bin of the token rules."""

LARGEST_VALUE = np.float32(60)
"""Beyond what z-scoring makes of the largest uint16 in any band, 58.1: even that must not overflow float16."""

Inputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Report:
    """A model file that passed.

    Attributes:
        path: the file.
        facts: what it says about itself.
        drift: from the reference, on made-up tokens. Of a file for GPUs as `RoundedNetwork` computes it.
        calibration: of a calibrated file: method -> drift on pixels of the scenes, the one that was taken first.
    """

    path: Path
    facts: ModelFacts
    drift: Drift
    calibration: dict[str, Drift] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What a calibration found, a line a method, and the summary."""
        methods = [
            f"{'took' if place == 0 else 'also'} {method}: centred cosine {drift.centred_mean:.6f}, first percentile "
            f"{drift.centred_p1:.6f} on {drift.pixels} other pixels of the scenes"
            for place, (method, drift) in enumerate(self.calibration.items())
        ]
        return [*methods, self.summary()]

    def summary(self) -> str:
        """One line for a person."""
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
    """Check a model file from outside, and its embeddings against the network that it was made from.

    Reading it holds its graph, names, shapes and values against what the format promises.

    Args:
        path: the model file.
        model: the network, in eval mode.

    Raises:
        CheckFailed: something is not as promised: what was found, and what was expected.
        ModelError: it is no model file of this engine at all.
    """
    file = read_model_file(path)
    proto = onnx.load(path)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CheckFailed(f"model {file.label} is not valid ONNX: {str(error).splitlines()[0]}") from None
    return Report(path, file.facts, _check_values(file, model, proto))


def _expect(file: ModelFile, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise CheckFailed(
            f"model {file.label}: {what} is {found}, expected {expected}; export the model again"
        )


def _check_values(file: ModelFile, model: Reference, proto: onnx.ModelProto) -> Drift:
    """Embeddings beside the reference's: from ONNX Runtime on the CPU; of a file for GPUs also rounded as they do."""
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
        raise CheckFailed(
            f"ONNX Runtime can't load model {file.label}: {str(error).splitlines()[0]}"
        ) from None


def _made_up_tokens(
    branch: str, bands: int, lengths: NDArray[np.int64], repeats: int, rng: np.random.Generator
) -> Inputs:
    """A rectangle of random tokens; the first pixel has only the token that stands for "no observation".

    Each stands up to `repeats` times: once where the network sees the order of tokens.
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
    """The same tokens with other values where the multiplicity is 0."""
    other = dict(inputs)
    for branch in ("s2", "s1"):
        filling = inputs[f"{branch}_multiplicity"] == 0
        other[branch] = np.where(filling[..., None], LARGEST_VALUE, inputs[branch])
        other[f"{branch}_doy"] = np.where(filling, np.int32(DAYS - 1), inputs[f"{branch}_doy"])
    return other
