"""Drift: how far a backend's embeddings are from the reference's."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Drift:
    """How far embeddings are from the reference's, over pixels.

    Attributes:
        pixels: number of pixels compared.
        max_difference: largest |difference| of any value.
        cosine_min: smallest cosine between a pixel's two vectors.
        centred_mean, centred_p1: mean and first percentile of the centred cosine. It first subtracts the reference's
            mean vector from both. TESSERA embeddings have a large part in common, so the plain cosine looks too good.
    """

    pixels: int
    max_difference: float
    cosine_min: float
    centred_mean: float
    centred_p1: float

    def to_dict(self) -> dict[str, float]:
        """As plain numbers."""
        return asdict(self)


def measure(reference: NDArray[np.float32], other: NDArray[np.float32]) -> Drift:
    """Compare embeddings.

    Args:
        reference: (N, K), finite.
        other: (N, K), finite.

    Raises:
        ValueError: the shapes differ, or there is no pixel.
    """
    if reference.shape != other.shape or len(reference) == 0:
        raise ValueError(f"can't compare embeddings of shapes {reference.shape} and {other.shape}")
    a, b = reference.astype(np.float64), other.astype(np.float64)
    centre = a.mean(axis=0)
    centred = _cosine(a - centre, b - centre)
    return Drift(
        pixels=len(a),
        max_difference=float(np.abs(a - b).max()),
        cosine_min=float(_cosine(a, b).min()),
        centred_mean=float(centred.mean()),
        centred_p1=float(np.percentile(centred, 1)),
    )


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) cosines; 1 where both vectors are equal."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    product = (a * b).sum(axis=1)
    equal = np.all(a == b, axis=1)
    cosine: NDArray[np.float64] = np.where(equal, 1.0, product / np.where(lengths > 0, lengths, 1.0))
    return cosine


@dataclass(frozen=True)
class Threshold:
    """How much drift a precision may have."""

    max_difference: float = np.inf
    cosine_min: float = -1.0
    centred_mean: float = -1.0
    centred_p1: float = -1.0

    def failures(self, drift: Drift) -> list[str]:
        """What exceeds the threshold, one phrase each."""
        beyond = []
        if drift.max_difference > self.max_difference:
            beyond.append(f"max |difference| {drift.max_difference:.2e} > {self.max_difference:.0e}")
        for name in ("cosine_min", "centred_mean", "centred_p1"):
            value, floor = getattr(drift, name), getattr(self, name)
            if value < floor:
                beyond.append(f"{name.replace('_', ' ')} {value:.6f} < {floor}")
        return beyond


THRESHOLDS = {
    "fp32": Threshold(max_difference=2e-4, cosine_min=0.999999),
    "int8": Threshold(centred_mean=0.998, centred_p1=0.99),
    "fp16": Threshold(centred_mean=0.9999, centred_p1=0.999),
    "qdq": Threshold(centred_mean=0.99, centred_p1=0.95),
}
"""Precision of the model file -> how much its embeddings may drift."""


def threshold_for(precision: str, *computed_on: str) -> Threshold:
    """How much embeddings may drift.

    Args:
        precision: of the model file.
        computed_on: `Backend.computes_on` of what computed either side: GPUs compute float32 files in float16.
    """
    half = precision == "fp32" and any("float16" in each for each in computed_on)
    return THRESHOLDS["fp16" if half else precision]
