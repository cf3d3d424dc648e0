"""The median of a pixel's clear observations: the land without clouds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.threads import in_shares


@kernel(nogil=True)
def _clear_median(
    s2: NDArray[np.uint16],
    valid: NDArray[np.uint8],
    bands: NDArray[np.int64],
    out: NDArray[np.uint16],
    start: int,
    stop: int,
) -> None:
    for pixel in range(start, stop):
        values = np.empty(s2.shape[0], np.uint16)
        for b in range(len(bands)):
            n = 0
            for t in range(s2.shape[0]):
                if valid[t, pixel] != 0:
                    values[n] = s2[t, pixel, bands[b]]
                    n += 1
            values[:n].sort()
            out[pixel, b] = values[(n - 1) // 2] if n > 0 else 0


def clear_median(
    s2: NDArray[np.uint16], valid: NDArray[np.uint8], bands: tuple[int, ...]
) -> NDArray[np.uint16]:
    """The lower median over clear dates of some bands.

    Args:
        s2: (T, N, all bands) uint16.
        valid: (T, N) uint8, non-zero where clear.
        bands: which bands.

    Returns:
        (N, len(bands)) uint16; 0 for a pixel without a clear date.
    """
    out = np.empty((s2.shape[1], len(bands)), np.uint16)
    chosen = np.array(bands, np.int64)
    in_shares(lambda share: _clear_median(s2, valid, chosen, out, share.start, share.stop), len(out))
    return out
