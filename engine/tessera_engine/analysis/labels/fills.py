"""Values of labels that look like nodata, though nothing declares them as that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FILLS = (-9999, -999, -99, -1, 255, -128, 127, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1)
"""Values that programs write where there is nothing, besides 0."""

MOST = 0.5
"""Share of the labels from which on a fill is most of them."""


class Tally:
    """Counts the values of labels that declare no nodata, to find a fill among them.

    Args:
        regression: 0 is an ordinary value, as it is among numbers.
    """

    def __init__(self, regression: bool) -> None:
        self.regression = regression
        self._labels = 0
        self._counts: dict[float, int] = {}
        self._low, self._high = np.inf, -np.inf

    def add(self, values: NDArray[np.float64]) -> None:
        """Count more values.

        Args:
            values: (N,) finite.
        """
        if not len(values):
            return
        self._labels += len(values)
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

    def hints(self, counted: str) -> tuple[str, ...]:
        """A line for each value that may mean nodata: most labels have it, or it is far from all others.

        Of classes, 0 always gets a line, because many rasters have it where there is no label.

        Args:
            counted: what has one value each: `pixels` of a raster, or `shapes`.
        """
        of_raster = counted == "pixels"
        said = "covers" if of_raster else "is the value of"
        why = ", because the raster declares no nodata" if of_raster else ""
        found = []
        for fill, count in self._counts.items():
            share = count / self._labels
            usual = fill == 0 and not self.regression
            if usual or share > MOST or self._far(fill):
                found.append(
                    f"{fill:.7g} {said} {count:,} {counted} ({100 * share:.0f} %) and counts as a label{why}; if it "
                    f"means no label, give nodata={fill:.7g}"
                )
        return tuple(found)

    def _far(self, fill: float) -> bool:
        """Whether a fill is farther from all other values than they are from each other."""
        if not np.isfinite(self._low) or abs(fill) <= 1:
            return False
        spread = self._high - self._low
        return fill > self._high + spread or fill < self._low - spread
