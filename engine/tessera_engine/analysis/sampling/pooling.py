"""One vector for all pixels of a shape.

Pixels without data are left out. Sums are made in float64, over the shape's pixels from row to row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.sampling.spool import Runs, Spool
from tessera_engine.errors import InputError
from tessera_engine.machine import default_memory

POOLS = ("mean", "std", "median")

MEDIAN_BYTES = 64_000_000
"""Values of which the median is taken at a time; of a large shape a few dimensions at a time."""


def pool(spool: Spool, runs: Runs, how: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pool a shape that has at least one pixel with data.

    Args:
        spool: the pixels.
        runs: those of the shape.
        how: of `POOLS`.

    Returns:
        (len(how), K); and (2,) the mean number of clear S2 and of valid S1 observations.
    """
    total, observed, count = np.zeros(spool.dim), np.zeros(2), 0
    for chunk in runs.chunks():
        pixels = spool.read(chunk)
        valid = np.isfinite(pixels.embeddings[:, 0])
        total += pixels.embeddings[valid].sum(axis=0, dtype=np.float64)
        observed += pixels.observations[valid].sum(axis=0, dtype=np.float64)
        count += int(valid.sum())
    mean = total / count
    found = {"mean": mean}
    if "std" in how:
        found["std"] = _std(spool, runs, mean, count)
    if "median" in how:
        found["median"] = _median(spool, runs, count)
    return np.stack([found[name] for name in how]), observed / count


def check_median(pixels: int) -> None:
    """Make sure that the median of so many pixels can be taken, a dimension at a time.

    Raises:
        InputError: they don't fit into the memory.
    """
    if 8 * pixels > max(MEDIAN_BYTES, default_memory()):
        raise InputError(
            f"pool=median of a shape with {pixels:,} pixels does not fit into the memory; leave out median, or divide "
            "the shape"
        )


def _std(spool: Spool, runs: Runs, mean: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Of the whole population: divided by the number of pixels."""
    total = np.zeros(spool.dim)
    for chunk in runs.chunks():
        embeddings = spool.read(chunk).embeddings
        kept = embeddings[np.isfinite(embeddings[:, 0])].astype(np.float64) - mean
        total += (kept * kept).sum(axis=0)
    deviation: NDArray[np.float64] = np.sqrt(total / count)
    return deviation


def _median(spool: Spool, runs: Runs, count: int) -> NDArray[np.float64]:
    at_once = max(1, MEDIAN_BYTES // (8 * count))
    median = np.empty(spool.dim)
    for first in range(0, spool.dim, at_once):
        columns = slice(first, first + at_once)
        values = np.empty((count, len(median[columns])))
        filled = 0
        for chunk in runs.chunks():
            embeddings = spool.read(chunk).embeddings
            kept = embeddings[np.isfinite(embeddings[:, 0]), columns]
            values[filled : filled + len(kept)] = kept
            filled += len(kept)
        median[columns] = np.median(values, axis=0, overwrite_input=True)
    return median
