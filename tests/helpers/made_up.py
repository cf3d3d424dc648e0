"""Small made-up scenes for tests, as arrays and as d-pixel tiles on disk."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.scene import Dates, Days, Grid, Observations, Window

CRS = "EPSG:32631"
ORIGIN = Affine(10, 0, 500_000, 0, -10, 5_600_000)


def made_up_arrays(height: int = 6, width: int = 5, steps: int = 20, seed: int = 0) -> dict[str, NDArray]:
    """File name -> array of a d-pixel tile; pixel (0, 0) has no observation at all."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, NDArray] = {
        "bands": rng.integers(200, 6000, (steps, height, width, 10)).astype(np.uint16),
        "masks": (rng.random((steps, height, width)) < 0.6).astype(np.uint8),
        "doys": np.sort(rng.choice(np.arange(1, 366), steps, replace=False)).astype(np.uint16),
    }
    for orbit in ("ascending", "descending"):
        codes = rng.integers(2500, 7000, (steps + 3, height, width, 2)).astype(np.int16)
        codes[rng.random(codes.shape[:3]) < 0.2] = 0
        arrays[f"sar_{orbit}"] = codes
        arrays[f"sar_{orbit}_doy"] = np.sort(rng.integers(1, 366, steps + 3)).astype(np.uint16)
    arrays["masks"][:, 0, 0] = 0
    arrays["sar_ascending"][:, 0, 0] = arrays["sar_descending"][:, 0, 0] = 0
    return arrays


def write_tile(folder: Path, arrays: dict[str, NDArray], transform: Affine | None = ORIGIN) -> Path:
    """Write arrays as a d-pixel tile; without a transform there is no roi.tiff."""
    folder.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    if transform is not None:
        height, width = arrays["bands"].shape[1:3]
        write_roi(folder / "roi.tiff", width, height, transform)
    return folder


def write_roi(path: Path, width: int, height: int, transform: Affine, crs: str | None = CRS) -> None:
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": width, "height": height}
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform) as file:
        file.write(np.ones((1, height, width), np.uint8))


class FakeReader:
    """A reader of arrays in memory."""

    layout = "fake"
    period = bounds = None
    windows_held = bytes_held = 0
    unused = ()
    warnings = ()

    def __init__(self, arrays: dict[str, NDArray]) -> None:
        self.arrays = arrays
        height, width = arrays["bands"].shape[1:3]
        self.grid = Grid(width, height, CRS, ORIGIN)
        self.windows_read: list[Window] = []

    @property
    def dates(self) -> Dates:
        names = ("doys", "sar_ascending_doy", "sar_descending_doy")
        return Dates(*(tuple(int(d) for d in np.unique(self.arrays[name])) for name in names))

    @property
    def bytes_per_pixel(self) -> int:
        return 2000

    def windows(self, region, max_pixels):
        rows = max(1, max_pixels // region.width)
        yield from region.blocks(min(region.width, max_pixels), rows)

    def read(self, window):
        self.windows_read.append(window)
        return self._at(window)

    def _at(self, window):
        a = self.arrays
        part = (
            slice(None),
            slice(window.row, window.row + window.height),
            slice(window.col, window.col + window.width),
        )
        return Observations(
            a["bands"][part],
            a["masks"][part],
            a["doys"].astype(np.int32),
            a["sar_ascending"][part],
            a["sar_ascending_doy"].astype(np.int32),
            a["sar_descending"][part],
            a["sar_descending_doy"].astype(np.int32),
        )

    def sample(self, region, max_pixels):
        return self.read(Window(region.col, region.row, min(region.width, max_pixels), 1))

    def blocks(self, region, count):
        yield region, self._at(region)

    def files(self):
        return iter(())

    fingerprinted_bytes = 0

    def fingerprint(self) -> str:
        return "0" * 64


class SeasonReader(FakeReader):
    """The same arrays as observations from a first day on, in the order of time; `last` cuts them as a scene would."""

    def __init__(self, arrays: dict[str, NDArray], first: date, last: date) -> None:
        after = date(first.year + 1, 1, 1).toordinal()
        kept, self._days = dict(arrays), []
        for name, days in (
            ("bands", "doys"),
            *((f"sar_{o}", f"sar_{o}_doy") for o in ("ascending", "descending")),
        ):
            found = date(first.year, 1, 1).toordinal() + arrays[days].astype(np.int32) - 1
            found = np.where(found < first.toordinal(), after + arrays[days].astype(np.int32) - 1, found)
            order = np.argsort(found, kind="stable")
            order = order[found[order] <= last.toordinal()]
            self._days.append(found[order].astype(np.int32))
            for each in (name, days, *(["masks"] if name == "bands" else [])):
                kept[each] = arrays[each][order]
        super().__init__(kept)
        self.bounds = first, last
        every = np.concatenate(self._days)
        self.period = date.fromordinal(int(every.min())), date.fromordinal(int(every.max()))

    def read(self, window):
        return replace(super().read(window), days=Days(*self._days))
