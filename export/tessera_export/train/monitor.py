"""Watches the embeddings during training: if they collapse, all pixels have nearly the same one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COLLAPSED_RANK = 1.5
"""Below this rank, embeddings vary in nearly one direction only. The published large model has about 4 of 128."""


@dataclass(frozen=True)
class Health:
    """How many of its dimensions an embedding uses.

    Attributes:
        rank: effective rank.
        off_diagonal: mean absolute correlation of two different dimensions, from 0 (independent) to 1 (equal).
    """

    rank: float
    off_diagonal: float

    @property
    def collapsed(self) -> bool:
        """Whether nearly all embeddings are the same, so that the training has failed."""
        return self.rank < COLLAPSED_RANK


def health(embedding: NDArray[np.float32]) -> Health:
    """Measure (B, D) embeddings of different pixels."""
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
    """Number of dimensions in use: exp of the entropy of the covariance's spectrum (Roy and Vetterli, 2007)."""
    share = np.linalg.eigvalsh(np.cov(embedding.T)).clip(min=1e-12)
    share = share / share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))
