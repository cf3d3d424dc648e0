"""How many GB a year of input takes: the tables of docs/data.md, from bytes a pixel and date.

python benchmarks/data_sizes.py
python benchmarks/data_sizes.py ../shared/data/flanders-2018     # a d-pixel tile: what its bands take when compressed
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile

PIXELS = 10_000
"""Of 10 m in a km2."""

S2_DATES, S1_DATES = 73, 122
"""Of a year: Sentinel-2 each 5 days, both orbits of Sentinel-1 each 6 days."""

FORMS = {
    "GeoTIFF, bands of 10 and 20 m as they are": (4 * 2 + 6 * 2 / 4 + 1 / 4, 2 * 4),
    "cube at 10 m, whole numbers of 2 bytes": (10 * 2 + 1, 2 * 2),
    "cube at 10 m, float32": (10 * 4 + 1, 2 * 4),
    "d-pixel tile": (10 * 2 + 1, 2 * 2),
}
"""Form -> bytes a pixel and date, not compressed: ten bands and a mask of Sentinel-2, VV and VH of Sentinel-1."""

AREAS = {"1 km2": 1, "10 x 10 km": 100, "50 x 50 km": 2500, "100 x 100 km": 10_000}


def gigabytes(form: str, km2: float, s2_dates: int = S2_DATES, s1_dates: int = S1_DATES) -> float:
    """GB (10^9 bytes) of a year in a form."""
    s2, s1 = FORMS[form]
    return km2 * PIXELS * (s2_dates * s2 + s1_dates * s1) / 1e9


def table() -> str:
    """Markdown: GB of a year by form and area."""
    lines = [f"| | S2, bytes | S1, bytes | {' | '.join(AREAS)} |", f"|---|{'---:|' * (2 + len(AREAS))}"]
    for form, (s2, s1) in FORMS.items():
        sizes = " | ".join(f"{gigabytes(form, km2):.3g}" for km2 in AREAS.values())
        lines.append(f"| {form} | {s2:g} | {s1:g} | {sizes} |")
    return "\n".join(lines)


def compressed(values: NDArray[np.uint16]) -> int:
    """Bytes of (bands, height, width) as a GeoTIFF with DEFLATE and differences of neighbours."""
    count, height, width = values.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": values.dtype}
    with MemoryFile() as memory:
        with memory.open(**profile, compress="deflate", predictor=2) as file:
            file.write(values)
        return len(memory.read())


def measure(tile: Path) -> str:
    """What the bands of a d-pixel tile take when compressed, and how many dates show nothing."""
    bands, masks = np.load(tile / "bands.npy"), np.load(tile / "masks.npy")
    dates, height, width, _ = bands.shape
    bytes_ = 0
    for date in np.moveaxis(bands, -1, 1):
        # In TESSERA's order the first four have 10 m, the others 20 m
        bytes_ += compressed(date[:4].copy()) + compressed(date[4:, ::2, ::2].copy())
    clear = masks.reshape(dates, -1).mean(axis=1)
    return (
        f"{bytes_ / (dates * height * width):.1f} bytes a pixel and date of 11; {dates} dates, "
        f"{(clear == 0).sum()} of them without a clear pixel, {(clear < 0.1).sum()} with less than 10 %"
    )


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tile", type=Path, nargs="?", help="d-pixel tile to measure")
    given = parser.parse_args()
    print(table())
    if given.tile:
        with rasterio.Env():
            print(measure(given.tile))


if __name__ == "__main__":
    main()
