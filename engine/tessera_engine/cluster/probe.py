"""What a worker computes of the same made-up pixels, in one checksum: workers with another result don't mix."""

from __future__ import annotations

import hashlib

import numpy as np

from tessera_engine.backends.base import Backend
from tessera_engine.scene import Observations
from tessera_engine.tokens import pack

PIXELS, STEPS = 256, 24
"""Enough that every part of the network computes with several lengths; a fraction of a second."""


def probe(backend: Backend) -> str:
    """Hex sha256 of the embeddings of made-up pixels, in float32, bit by bit."""
    rng = np.random.default_rng(0)
    days = np.sort(rng.choice(np.arange(1, 366), STEPS, replace=False)).astype(np.int32)
    shape = (STEPS, 1, PIXELS)
    observations = Observations(
        s2=rng.integers(1, 8000, (*shape, 10)).astype(np.uint16),
        s2_valid=(rng.random(shape) < 0.6).astype(np.uint8),
        s2_doy=days,
        s1_ascending=rng.integers(1000, 8000, (*shape, 2)).astype(np.int16),
        s1_ascending_doy=days,
        s1_descending=rng.integers(1000, 8000, (*shape, 2)).astype(np.int16),
        s1_descending_doy=days,
    )
    embedding = backend.run(pack(observations, backend.model.facts).tokens)
    return hashlib.sha256(np.ascontiguousarray(embedding, "<f4").tobytes()).hexdigest()
