"""Forms smaller than int8 that were tried: four bits a code, and one; and how well each form finds neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.forms import Form, read_back

LEVELS_4BIT = 7
"""Codes -7..7, the largest value of a pixel's vector being 7 scales."""

QUERIES, NEAREST, RERANKED = 200, 10, 100


class Stored(NamedTuple):
    """A form: its name, bytes a pixel, and what is read back from it of (N, K) embeddings."""

    name: str
    bytes_per_pixel: int
    back: Callable[[NDArray[np.float32]], NDArray[np.float32]]


def four_bits(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """As int8 codes are made, with fewer levels: two codes a byte and a scale a pixel."""
    scale = np.maximum(np.abs(embedding).max(axis=1, keepdims=True) / LEVELS_4BIT, 1e-12)
    return np.clip(np.rint(embedding / scale), -LEVELS_4BIT, LEVELS_4BIT) * scale


def four_bits_centred(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same of what differs from the scene's mean vector, which would have to be stored once."""
    mean = embedding.mean(axis=0)
    return four_bits(embedding - mean) + mean


def signs_centred(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """On which side of the scene's mean each value lies."""
    return np.where(embedding > embedding.mean(axis=0), np.float32(1), np.float32(-1))


def _offered(form: Form) -> Stored:
    return Stored(
        str(form), form.bytes_per_pixel, lambda embedding: next(read_back(embedding, "float32", [form]))[1]
    )


OFFERED = tuple(
    _offered(Form(store, dim))
    for store, dims in (("float32", (128, 16)), ("int8", (128, 64, 32, 16)))
    for dim in dims
)
TRIED = (
    Stored("4 bits, 128 dims", 68, four_bits),
    Stored("4 bits less the mean, 128 dims", 68, four_bits_centred),
    Stored("4 bits less the mean, 64 dims", 36, lambda embedding: four_bits_centred(embedding[:, :64])),
    Stored("binary less the mean, 128 dims", 16, signs_centred),
)


def found_neighbours(
    embedding: NDArray[np.float32], back: NDArray[np.float32], rerank: bool = False
) -> float:
    """Share of the `NEAREST` most similar pixels by the original that a form finds, over `QUERIES` pixels.

    Args:
        embedding: (N, K) originals; similar is what has a large cosine.
        back: (N, L) what is read back from the form.
        rerank: take the form's first `RERANKED`, and of these the most similar by int8 codes of 128 dimensions.
    """
    chosen = np.random.default_rng(0).choice(len(embedding), QUERIES, replace=False)
    truth, told = _similar(embedding, chosen), _similar(back, chosen)
    best = np.argpartition(-truth, NEAREST, axis=1)[:, :NEAREST]
    if rerank:
        _, codes = next(read_back(embedding, "float32", [Form("int8", embedding.shape[1])]))
        candidates = np.argpartition(-told, RERANKED, axis=1)[:, :RERANKED]
        kept = np.full_like(told, -np.inf)
        np.put_along_axis(
            kept, candidates, np.take_along_axis(_similar(codes, chosen), candidates, axis=1), axis=1
        )
        told = kept
    found = np.argpartition(-told, NEAREST, axis=1)[:, :NEAREST]
    return float(np.mean([len(set(a) & set(b)) for a, b in zip(best, found, strict=True)]) / NEAREST)


def _similar(values: NDArray[np.float32], chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """(Q, N) cosines of some rows with all; a row is not its own neighbour."""
    unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    cosines = unit[chosen] @ unit.T
    cosines[np.arange(len(chosen)), chosen] = -np.inf
    return cosines
