"""Forms of one to twenty bytes a pixel: what each reads back of a tile, and the bytes that it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from small_forms import (
    Vectors,
    as_tile,
    differences,
    of_tile,
    packed,
    packed_codes,
    packed_tile,
)

from tessera_engine.formats.vq import tiles
from tessera_kernels import vq
from tessera_kernels.quantize import quantize

TILE = 512

SAMPLE = 16_384
"""Pixels of a tile that codebooks and components are found on."""


class Coded(NamedTuple):
    """A tile in some form: what is read back of it, (N, K) float32, and the bytes that it takes."""

    back: Vectors
    size: int


Form = Callable[[Vectors, int], Coded]
"""Codes the (N, K) vectors of a tile that is so many pixels wide."""


def prefix(dim: int) -> Form:
    """int8 codes of the first dimensions, each pixel with its scale; compressed."""

    def code(vectors: Vectors, width: int) -> Coded:
        codes, scales = quantize(np.ascontiguousarray(vectors[:, :dim]))
        return Coded(codes * scales[:, None], packed_codes(codes, scales, width))

    return code


def residual(*counts: int) -> Form:
    """Residual vector quantisation: each codebook codes what the ones before it leave."""

    def code(vectors: Vectors, width: int) -> Coded:
        chosen = _sample(len(vectors))
        left, back, size = vectors.copy(), np.zeros_like(vectors), 0
        for stage, count in enumerate(counts):
            book = vq.pack(vq.learn(left[chosen], count, stage))
            words = vq.unpack(book)
            index = vq.nearest(left, words)
            back += words[index]
            left -= words[index]
            size += packed(book.steps) + book.ranges.nbytes + packed(index)
        return Coded(back, size)

    return code


def by_noise(*counts: int, alike: float = tiles.ALIKE) -> Form:
    """What `--format vq` stores, with other numbers of words, or without patches."""

    def code(vectors: Vectors, width: int) -> Coded:
        with patch.multiple(tiles, WORDS=counts, ALIKE=alike):
            return offered(vectors, width)

    return code


def offered(vectors: Vectors, width: int) -> Coded:
    """What `--format vq` stores."""
    tile = as_tile(vectors, width)
    return Coded(of_tile(tile, vectors.shape[1]), packed_tile(tile))


def product(*bounds: int) -> Form:
    """Product quantisation: a codebook of 256 words for each group of dimensions, in the order of the prefixes."""

    def code(vectors: Vectors, width: int) -> Coded:
        chosen, back, size = _sample(len(vectors)), np.empty_like(vectors), 0
        for first, last in zip((0, *bounds[:-1]), bounds, strict=True):
            part = np.ascontiguousarray(vectors[:, first:last])
            book = vq.pack(vq.learn(part[chosen], 256))
            index = vq.nearest(part, vq.unpack(book))
            back[:, first:last] = vq.unpack(book)[index]
            size += packed(book.steps) + book.ranges.nbytes + packed(index)
        return Coded(back, size)

    return code


def principal(step: float) -> Form:
    """Principal components of the tile in steps of one size, a share of the spread of the first; then Zstandard."""

    def code(vectors: Vectors, width: int) -> Coded:
        mean = vectors.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov((vectors - mean)[_sample(len(vectors))].T))
        axes = axes[:, ::-1].astype(np.float32)
        scores = (vectors - mean) @ axes
        unit = step * float(scores[:, 0].std())
        codes = np.clip(np.rint(scores / unit), -127, 127).astype(np.int8)
        codes = codes[:, codes.any(axis=0)]
        back = codes * np.float32(unit) @ axes[:, : codes.shape[1]].T + mean
        size = packed(differences(codes, width)) + 4 * len(mean) * (codes.shape[1] + 1)
        return Coded(back.astype(np.float32), size)

    return code


FORMS: dict[str, Form] = {
    "int8, 128 dims": prefix(128),
    "int8, 32 dims": prefix(32),
    "int8, 16 dims": prefix(16),
    "format vq: by noise, in patches, 255 + 256 + 256 + 256 words": offered,
    "by noise, in patches, 255 + 256 + 256 words": by_noise(255, 256, 256),
    "by noise, 255 + 256 + 256 + 256 words": by_noise(255, 256, 256, 256, alike=0.0),
    "RVQ, 20 + 256 words": residual(20, 256),
    "RVQ, 255 + 256 words": residual(255, 256),
    "RVQ, 20 + 256 + 256 words": residual(20, 256, 256),
    "RVQ, 256 + 256 + 256 words": residual(256, 256, 256),
    "PQ of 2 groups": product(32, 128),
    "PQ of 4 groups": product(16, 32, 64, 128),
    "components, coarse": principal(0.5),
    "components, fine": principal(0.2),
}
"""The first is what the others are compared with."""


def _sample(count: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(0).permutation(count)[:SAMPLE])


def code_all(vectors: NDArray[np.float32], form: Form) -> tuple[Vectors, float, float]:
    """(H, W, K) read back, bytes a pixel, and CPU seconds a Mpx, of all tiles."""
    height, width, dims = vectors.shape
    back, size = np.empty_like(vectors), 0
    start = time.process_time()
    for row in range(0, height, TILE):
        for col in range(0, width, TILE):
            part = vectors[row : row + TILE, col : col + TILE]
            coded = form(np.ascontiguousarray(part.reshape(-1, dims)), part.shape[1])
            size += coded.size
            shape = (*part.shape[:2], coded.back.shape[1])
            if shape[2] < back.shape[2]:
                back = back[..., : shape[2]]
            back[row : row + TILE, col : col + TILE] = coded.back.reshape(shape)
    pixels = height * width
    return back, size / pixels, (time.process_time() - start) / pixels * 1e6
