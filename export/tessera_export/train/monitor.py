"""Whether embeddings are still worth something while they are trained: collapsed ones are all the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COLLAPSED_RANK = 1.5
"""Below it one direction is nearly all there is. The published large model's effective rank is about 4 of 128."""


@dataclass(frozen=True)
class Health:
    """How much of its dimensions an embedding uses.

    Attributes:
        rank: effective rank.
        off_diagonal: mean absolute correlation between two different dimensions, 0 (each says its own) to 1 (all say
            the same).
    """

    rank: float
    off_diagonal: float

    @property
    def collapsed(self) -> bool:
        """Whether training has gone wrong."""
        return self.rank < COLLAPSED_RANK


def health(embedding: NDArray[np.float32]) -> Health:
    """Of (B, D) embeddings of different pixels."""
    centred = embedding.astype(np.float64) - embedding.mean(0, dtype=np.float64)
    spread = centred.std(0)
    if not spread.any():
        return Health(1.0, 1.0)
    standard = centred / np.maximum(spread, 1e-12)
    correlation = standard.T @ standard / len(standard)
    dims = len(correlation)
    off = (np.abs(correlation).sum() - np.abs(correlation.diagonal()).sum()) / max(1, dims * (dims - 1))
    return Health(effective_rank(embedding), float(off))


def effective_rank(embedding: NDArray[np.float32]) -> float:
    """How many dimensions are in use: exp of the entropy of the covariance's spectrum (Roy and Vetterli, 2007)."""
    share = np.linalg.eigvalsh(np.cov(embedding.T)).clip(min=1e-12)
    share = share / share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))
