"""Marks of "no data": code -128 with scale NaN in this engine; scale +inf in geotessera, where NaN is water."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.files.staging import CODE_NODATA
from tessera_engine.formats.embeddings.stored import StoredBlock

NO_DATA_SCALE = np.float32(np.inf)


def to_sentinels(block: StoredBlock) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes (h, w, K) and scales (h, w) with geotessera's marks: no data is code 0 with scale +inf.

    Water would be NaN. The engine doesn't know where water is, so none is ever written.
    """
    assert block.scales is not None
    valid = block.valid
    codes = np.where(valid[..., None], block.values, np.int8(0))
    return codes, np.where(valid, block.scales, NO_DATA_SCALE)


def from_sentinels(codes: NDArray[Any], scales: NDArray[np.float32]) -> StoredBlock:
    """The block of codes (h, w, K) and scales (h, w) with geotessera's marks."""
    valid = np.isfinite(scales)
    if not valid.all():
        # Not np.where: it would touch every code, and few pixels have no data
        codes = codes.copy()
        codes[~valid] = CODE_NODATA
    return StoredBlock(codes, np.where(valid, scales, np.float32(np.nan)))
