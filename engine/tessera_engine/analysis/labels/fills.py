"""Values of a raster that look like nodata, though the raster declares none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FILLS = (-9999, -999, -99, -1, 255, -128, 127, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1)
"""Values that programs write where there is nothing, besides 0."""

MOST = 0.5
"""Share of the pixels from which on a fill covers most of them."""


class Tally:
    """Counts the values of a raster that declares no nodata, to find a fill among them.

    Args:
        regression: the values are numbers; then 0 is an ordinary one.
    """

    def __init__(self, regression: bool) -> None:
        self.regression = regression
        self._pixels = 0
        self._counts: dict[float, int] = {}
        self._low, self._high = np.inf, -np.inf

    def add(self, values: NDArray[np.float64]) -> None:
        """Count more values.

        Args:
            values: (N,) finite.
        """
        if not len(values):
            return
        self._pixels += len(values)
        candidates = FILLS if self.regression else (0, *FILLS)
        for fill in candidates:
            count = int((values == fill).sum())
            if count:
                self._counts[fill] = self._counts.get(fill, 0) + count
        large = np.abs(values) > 1e30  # the largest float32, and its like
        for value in np.unique(values[large]):
            self._counts[float(value)] = self._counts.get(float(value), 0) + int((values == value).sum())
        others = values[~np.isin(values, candidates) & ~large]
        if len(others):
            self._low, self._high = min(self._low, others.min()), max(self._high, others.max())

    def hints(self) -> tuple[str, ...]:
        """A line for each value that may mean nodata: it covers most pixels, or is far from all others.

        Of classes, 0 always gets a line, because many rasters have it where there is no label.
        """
        found = []
        for fill, count in self._counts.items():
            share = count / self._pixels
            usual = fill == 0 and not self.regression
            if usual or share > MOST or self._far(fill):
                found.append(
                    f"{fill:.7g} covers {count:,} pixels ({100 * share:.0f} %) and counts as a label, because the "
                    f"raster declares no nodata; if it means no label, give nodata={fill:.7g}"
                )
        return tuple(found)

    def _far(self, fill: float) -> bool:
        """Whether a fill is farther from all other values than they are from each other."""
        if not np.isfinite(self._low) or abs(fill) <= 1:
            return False
        spread = self._high - self._low
        return fill > self._high + spread or fill < self._low - spread
