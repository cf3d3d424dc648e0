"""Forms that are offered, and smaller ones that were tried; their bytes, and how well each finds neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numcodecs import Zstd
from numpy.typing import NDArray

from tessera_engine.analysis.maps.forms import VQ, Form, read_back
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.vq.tiles import Tile, decode, encode
from tessera_kernels.quantize import quantize

LEVELS_4BIT = 7
"""Codes -7..7, the largest value of a pixel's vector being 7 scales."""

QUERIES, NEAREST, RERANKED = 200, 10, 100


Vectors = NDArray[np.float32]


class Stored(NamedTuple):
    """A form.

    Attributes:
        name: in the report.
        bytes_per_pixel: before compression.
        back: what is read back of (N, K) embeddings of a scene that is so many pixels wide.
        size: bytes of them after Zstandard; None: the form was only tried.
        whole: it needs all pixels of the scene, row by row, not only some of them.
    """

    name: str
    bytes_per_pixel: float
    back: Callable[[Vectors, int], Vectors]
    size: Callable[[Vectors, int], int] | None = None
    whole: bool = False


def packed(values: NDArray[Any]) -> int:
    """Bytes after Zstandard."""
    return len(Zstd(level=3).encode(np.ascontiguousarray(values)))


def differences(values: NDArray[Any], width: int) -> NDArray[Any]:
    """(K, rows, width) values of (N, K), each less its left neighbour, as the predictors of GeoTIFFs make them."""
    planes = np.ascontiguousarray(values.T).reshape(values.shape[1], -1, width)
    return np.diff(planes, axis=2, prepend=np.zeros((*planes.shape[:2], 1), values.dtype))


def packed_codes(codes: NDArray[np.int8], scales: NDArray[np.float32], width: int) -> int:
    """Bytes of (N, K) codes and (N,) scales after Zstandard."""
    return packed(differences(codes, width)) + packed(scales.view(np.uint8).reshape(-1, 4).T)


def packed_floats(vectors: Vectors, width: int) -> int:
    """Bytes of (N, K) values after Zstandard: the first bytes of all, the second ones, and so on."""
    planes = np.ascontiguousarray(vectors).view(np.uint8).reshape(*vectors.shape, 4)
    return sum(packed(differences(planes[..., byte], width)) for byte in range(4))


def packed_tile(tile: Tile) -> int:
    """Bytes of a tile of the format vq after Zstandard."""
    books = sum(packed(book.steps) + book.ranges.nbytes for book in tile.books)
    return books + sum(map(packed, tile.numbers))


def four_bits(embedding: Vectors) -> Vectors:
    """As int8 codes are made, with fewer levels: two codes a byte and a scale a pixel."""
    scale = np.maximum(np.abs(embedding).max(axis=1, keepdims=True) / LEVELS_4BIT, 1e-12)
    return np.clip(np.rint(embedding / scale), -LEVELS_4BIT, LEVELS_4BIT) * scale


def four_bits_centred(embedding: Vectors) -> Vectors:
    """The same of what differs from the scene's mean vector, which would have to be stored once."""
    mean = embedding.mean(axis=0)
    return four_bits(embedding - mean) + mean


def signs_centred(embedding: Vectors) -> Vectors:
    """On which side of the scene's mean each value lies."""
    return np.where(embedding > embedding.mean(axis=0), np.float32(1), np.float32(-1))


def as_tile(vectors: Vectors, width: int) -> Tile:
    """All pixels of a scene, of at most one tile, in the format vq."""
    tile = encode(StoredBlock(vectors.reshape(-1, width, vectors.shape[1]), None))
    if tile is None:
        raise ValueError("a tile has no data")
    return tile


def of_tile(tile: Tile, dim: int) -> Vectors:
    """(N, K) embeddings that are read from a tile in which all pixels have data."""
    decoded = decode(tile.books, tile.numbers, dim)
    return decoded.vectors[decoded.which.ravel()]


def _prefix(form: Form) -> Stored:
    def back(embedding: Vectors, width: int) -> Vectors:
        return next(read_back(embedding, "float32", [form]))[1]

    def size(embedding: Vectors, width: int) -> int:
        prefix = np.ascontiguousarray(embedding[:, : form.dim])
        return (
            packed_codes(*quantize(prefix), width)
            if form.stored_as == "int8"
            else packed_floats(prefix, width)
        )

    return Stored(str(form), form.bytes_per_pixel, back, size)


def _tried(name: str, bytes_per_pixel: int, back: Callable[[Vectors], Vectors]) -> Stored:
    return Stored(name, bytes_per_pixel, lambda embedding, width: back(embedding))


OFFERED = (
    *(
        _prefix(Form(store, dim))
        for store, dims in (("float32", (128, 16)), ("int8", (128, 64, 32, 16)))
        for dim in dims
    ),
    Stored(
        "vq, 128 dims",
        Form(VQ, 128).bytes_per_pixel,
        lambda embedding, width: of_tile(as_tile(embedding, width), embedding.shape[1]),
        lambda embedding, width: packed_tile(as_tile(embedding, width)),
        whole=True,
    ),
)
TRIED = (
    _tried("4 bits, 128 dims", 68, four_bits),
    _tried("4 bits less the mean, 128 dims", 68, four_bits_centred),
    _tried("4 bits less the mean, 64 dims", 36, lambda embedding: four_bits_centred(embedding[:, :64])),
    _tried("binary less the mean, 128 dims", 16, signs_centred),
)


def found_neighbours(embedding: Vectors, back: Vectors, rerank: bool = False) -> float:
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
