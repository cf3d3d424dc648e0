"""The forms in which embeddings are stored: bytes per pixel, and the values that a reader gets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tessera_engine.formats.embeddings.base import PREFIXES
from tessera_kernels.quantize import quantize

SCALE_BYTES = 4

PIXEL_KM2 = 1e-4
"""Area of a 10 m pixel of Sentinel-2."""


@dataclass(frozen=True)
class Form:
    """How embeddings are stored.

    Attributes:
        stored_as: `float32` or `int8`.
        dim: length of the prefix.
    """

    stored_as: str
    dim: int

    def __str__(self) -> str:
        return f"{self.stored_as}, {self.dim} dims"

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of the codes and the scale, before compression of the file."""
        return self.dim * 4 if self.stored_as == "float32" else self.dim + SCALE_BYTES

    @property
    def km2_per_gb(self) -> float:
        """Area in km2 whose embeddings fit into 10^9 bytes."""
        return 1e9 / self.bytes_per_pixel * PIXEL_KM2


def forms(stored: str, dim: int) -> list[Form]:
    """The forms that can be made from an output without embedding again: its own, its prefixes, and their int8 codes.

    Args:
        stored: `float32` or `int8`.
        dim: length of the stored embedding.
    """
    prefixes = sorted({dim, *(prefix for prefix in PREFIXES if prefix < dim)}, reverse=True)
    kinds = ("float32", "int8") if stored == "float32" else ("int8",)
    return [Form(stored_as, prefix) for stored_as in kinds for prefix in prefixes]


def read_back(
    embeddings: NDArray[np.float32], stored: str, forms: list[Form]
) -> Iterator[tuple[Form, NDArray[np.float32]]]:
    """Give each form with the values that a reader gets from it.

    Args:
        embeddings: (N, K) as read from an output.
        stored: how that output stores them. Codes keep the scale of the whole vector; float32 values are first cut to
            the prefix and then quantised, as `embed --dim K --int8` does.
        forms: see `forms`.

    Yields:
        The form, and (N, form.dim) float32.
    """
    for form in forms:
        prefix = np.ascontiguousarray(embeddings[:, : form.dim])
        if form.stored_as == stored:
            yield form, prefix
        else:
            codes, scales = quantize(prefix)
            yield form, codes * scales[:, None]
