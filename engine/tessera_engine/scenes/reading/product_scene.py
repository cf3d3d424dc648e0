"""A scene made of satellite products. They are brought to one grid while they are read, window by window."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.scene import S1_BANDS, S2_BANDS, Dates, Days, Grid, Observations, Window
from tessera_engine.scenes.metadata.satellites import relative_orbits_of, satellites_of
from tessera_engine.scenes.period import Period, choose_period
from tessera_engine.scenes.products import ORBITS, Found, Orbit, PixelLayer, S1Product, S1Units, S2Product
from tessera_engine.scenes.reading.blocks import BlockReader, Size, block_side, cells, part_of
from tessera_engine.scenes.reading.fingerprint import SAMPLE_BYTES, add_file
from tessera_engine.scenes.reading.headers import OpenS1, OpenS2, none_usable, open_products
from tessera_engine.scenes.reading.rasters import CACHE_BYTES, product_environment
from tessera_engine.scenes.reading.target import shift_on
from tessera_engine.scenes.reading.warping import Points, read_bilinear, read_codes, read_nearest
from tessera_engine.scenes.unused import lines
from tessera_kernels import sar, scl

READ_THREADS = 4
"""Dates read at the same time: decompression takes most of the time, and it doesn't hold Python's lock."""

MOST_CANDIDATES = 40_000
"""Cells among which the sample is chosen; a whole Sentinel-2 tile has 29,000, but a file of a MB may claim millions."""

_SAMPLES = 3


class ProductScene:
    """Reads products as one scene; implements `tessera_engine.scene.Reader`.

    Where several products of one date cover a pixel, they are taken in the order of their names and the first one that
    is clear is used (Sentinel-1: the first one with a value).
    """

    windows_held = 16
    """A square number. With windows of the planned size, a block has as many pixels as the blocks of most files."""

    def __init__(
        self,
        layout: str,
        folder: Path,
        found: Found,
        period: Period | None = None,
        like: Grid | None = None,
        s1_units: S1Units | None = None,
    ) -> None:
        """Open the headers of the products of one year and place them on one grid.

        Args:
            layout: names of the layouts in which products were found, joined by `+`.
            folder: the scene folder, resolved.
            found: its products, sorted by date and name.
            period: first and last day to use; None: chosen, see `choose_period`.
            like: the target grid; None: made from the products.
            s1_units: units of all Sentinel-1 products, whatever their metadata say; None: as in their metadata.

        Raises:
            InputError: no product can be used.
        """
        self.layout, self._folder = layout, folder
        used, (first, last), chosen = _of_period(found, period)
        self.period = (first, last)
        self.bounds = period
        self.grid, self._s2, s1, problems = open_products(used, like, s1_units)
        self._s1: dict[Orbit, list[OpenS1]] = {
            orbit: [each for each in s1 if each.product.orbit == orbit] for orbit in ORBITS
        }
        # Blocks begin where the files of a product do, so that they match the blocks of the files
        first_product = self._products[0]
        place = first_product.place
        self._anchor = shift_on(self.grid, first_product.geometry) or (place.col, place.row)
        self._blocks = BlockReader(self._read_all, self._anchor)
        self._around: tuple[Window, Observations] | None = None
        self.unused = tuple(dict.fromkeys(found.problems + problems))
        self.warnings = tuple(
            ([] if chosen is None else [chosen])
            + _guessed_offsets(self._s2)
            + found.warnings
            + list(lines(self.unused))
        )

    @property
    def _products(self) -> list[OpenS2 | OpenS1]:
        return [*self._s2, *self._s1["ascending"], *self._s1["descending"]]

    @property
    def dates(self) -> Dates:
        """Days of year in the scene."""
        return Dates(_days(self._s2), _days(self._s1["ascending"]), _days(self._s1["descending"]))

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of one pixel's observations if every date covers it, and of the arrays needed to read them."""
        dates = self.dates
        s1_dates = len(dates.s1_ascending) + len(dates.s1_descending)
        observations = len(dates.s2) * (2 * len(S2_BANDS) + 1) + s1_dates * 2 * len(S1_BANDS)
        points = 16 * len({each.geometry.crs for each in self._products})
        held = sum(layer.held_bytes for layer in self._layers())
        return observations + points + held + READ_THREADS * (2 * len(S2_BANDS) + 8)

    def _layers(self) -> set[PixelLayer]:
        """The variables of cubes."""
        assets = [asset for each in self._products for asset in each.product.assets]
        return {asset.pixels.layer for asset in assets if asset.pixels is not None}

    @property
    def bytes_held(self) -> int:
        """GDAL's cache, a block of the files for each thread that reads, and a chunk of a cube.

        The HDF5 library decodes one chunk at a time.
        """
        chunk = max((layer.chunk_bytes for layer in self._layers()), default=0)
        rasters = [raster for each in self._s2 for raster in (*each.bands, each.mask)]
        rasters += [
            raster
            for s1 in self._s1.values()
            for each in s1
            for raster in each.channels
            if raster is not None
        ]
        return CACHE_BYTES + READ_THREADS * max(raster.block_bytes for raster in rasters) + chunk

    def windows(self, region: Window, max_pixels: int) -> Iterator[Window]:
        """Cells that a product covers; the `windows_held` cells of one block follow each other."""
        self._around = None
        width, height = _size(max_pixels)
        times = math.isqrt(self.windows_held)
        for block in self._blocks.plan(region, (width * times, height * times)):
            yield from self._covered(block, (width, height))

    def read(self, window: Window) -> Observations:
        """The observations of a window; dates without a product that touches it are left out.

        Where a Sentinel-2 product isn't clear anywhere in the window, its bands are not read: they stay 0.

        Raises:
            InputError: a file is damaged, or has changed since the scene was opened.
        """
        return self._blocks.read(window)

    def sample(self, region: Window, max_pixels: int) -> Observations:
        """One cell near the middle of the region, where most products are.

        One cell, because every further one would mean to decode another block of each file.
        """
        windows = self._candidates(region, _size(max_pixels))
        if not windows:
            raise InputError(
                f"no product of the scene covers the window {tuple(region)} (col, row, width, height)"
            )
        middle = (region.col + region.width / 2, region.row + region.height / 2)

        places = Counter(each.place for each in self._products)

        def rank(window: Window) -> tuple[int, int, float]:
            products = sum(n for place, n in places.items() if window.intersection(place) == window)
            away = math.hypot(
                window.col + window.width / 2 - middle[0], window.row + window.height / 2 - middle[1]
            )
            return -products, -window.pixels, away

        cell = min(windows, key=rank)
        # The blocks of the files around the cell are decoded in any case: what `blocks` needs is read with it
        side = max(block_side(self.bytes_per_pixel), *_size(max_pixels))
        around = next(
            each for each in cells(region, (side, side), self._anchor) if each.intersection(cell) == cell
        )
        self._around = around, self._read_all(around, every_band=True)
        return part_of(self._around[1], cell.relative_to(around))

    def blocks(self, region: Window, count: int) -> Iterator[tuple[Window, Observations]]:
        """One block, around the pixels that `sample` takes: a further one means to decode others of each file."""
        kept, self._around = self._around, None
        if kept is None or kept[0].intersection(region) != kept[0]:
            self.sample(region, block_side(self.bytes_per_pixel) ** 2)
            kept, self._around = self._around, None
        if kept is not None:
            yield kept

    def satellites(self) -> dict[str, dict[int, str]]:
        """For each field of `Dates` the satellite of each day of year; days of several satellites aren't in it."""
        return {name: satellites_of(products) for name, products in self._groups().items()}

    def relative_orbits(self) -> dict[str, dict[int, int]]:
        """For each field of `Dates` the relative orbit of each day of year; days of several orbits aren't in it."""
        return {name: relative_orbits_of(products) for name, products in self._groups().items()}

    def _groups(self) -> dict[str, list[S1Product | S2Product]]:
        """For each field of `Dates` its products."""
        groups: dict[str, Sequence[OpenS2 | OpenS1]] = {
            "s2": self._s2,
            "s1_ascending": self._s1["ascending"],
            "s1_descending": self._s1["descending"],
        }
        return {name: [each.product for each in group] for name, group in groups.items()}

    fingerprinted_bytes = _SAMPLES * SAMPLE_BYTES

    def files(self) -> Iterator[Path]:
        """The files of the products that are used."""
        assets = {asset.file for each in self._products for asset in each.product.assets}
        for path in assets:
            # A Zarr store is a folder
            yield from (each for each in path.rglob("*") if not each.is_dir()) if path.is_dir() else (path,)

    def fingerprint(self) -> str:
        """Sha256 over the grid, the products' facts, and their files' names, sizes and a sample of their bytes."""
        digest = hashlib.sha256(f"{self.grid}\n".encode())
        for s2 in self._s2:
            known = (s2.product.name, s2.product.date, s2.product.offset, s2.product.mask_kind)
            digest.update(f"{known}\n".encode())
        for s1 in (*self._s1["ascending"], *self._s1["descending"]):
            digest.update(f"{(s1.product.name, s1.product.date, s1.product.orbit, s1.units)}\n".encode())
        for path in sorted(self.files()):
            add_file(digest, path, path.relative_to(self._folder).as_posix(), _SAMPLES)
        return digest.hexdigest()

    def _candidates(self, region: Window, size: Size) -> list[Window]:
        """Cells of a region from which a sample may come: all, or of a huge region evenly spaced ones."""
        across, down = region.width / size[0], region.height / size[1]
        step = math.ceil(math.sqrt(across * down / MOST_CANDIDATES))
        if step <= 1:
            return list(self._covered(region, size))
        larger = (size[0] * step, size[1] * step)
        parts = (part._replace(width=size[0], height=size[1]) for part in self._covered(region, larger))
        cut = (part.intersection(region) for part in parts)
        places = {each.place for each in self._products}
        return [
            cell
            for cell in cut
            if cell is not None and any(cell.intersection(place) is not None for place in places)
        ]

    def _covered(self, region: Window, size: Size) -> Iterator[Window]:
        """Cells of a region that a product covers."""
        places = {each.place for each in self._products}
        for cell in cells(region, size, self._anchor):
            if any(cell.intersection(place) is not None for place in places):
                yield cell

    def _covered_pixels(self, window: Window) -> NDArray[np.bool_] | None:
        """(height, width) the pixels of a window on which a product lies; None: all."""
        covered = np.zeros((window.height, window.width), bool)
        for place in {each.place for each in self._products}:
            part = window.intersection(place)
            if part is not None:
                col, row, width, height = part.relative_to(window)
                covered[row : row + height, col : col + width] = True
        return None if covered.all() else covered

    def _read_all(self, window: Window, every_band: bool = False) -> Observations:
        here = [each for each in self._s2 if each.place.intersection(window) is not None]
        s2_dates = [list(group) for _, group in groupby(here, key=_date)]
        s2 = np.zeros((len(s2_dates), window.height, window.width, len(S2_BANDS)), np.uint16)
        valid = np.zeros(s2.shape[:3], np.uint8)
        points = Points(self.grid, window)
        s1, s1_dates = {}, {}
        with ThreadPoolExecutor(READ_THREADS, "tessera-date") as pool:
            tasks = [
                pool.submit(_read_s2, products, points, s2[t], valid[t], every_band)
                for t, products in enumerate(s2_dates)
            ]
            for orbit, opened in self._s1.items():
                covering = [each for each in opened if each.place.intersection(window) is not None]
                dates = [list(group) for _, group in groupby(covering, key=_date)]
                s1[orbit] = np.zeros((len(dates), window.height, window.width, len(S1_BANDS)), np.int16)
                s1_dates[orbit] = dates
                tasks += [
                    pool.submit(_read_s1, products, points, s1[orbit][t]) for t, products in enumerate(dates)
                ]
            try:
                for task in tasks:
                    task.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return Observations(
            s2=s2,
            s2_valid=valid,
            s2_doy=_doys(s2_dates),
            s1_ascending=s1["ascending"],
            s1_ascending_doy=_doys(s1_dates["ascending"]),
            s1_descending=s1["descending"],
            s1_descending_doy=_doys(s1_dates["descending"]),
            days=Days(_ordinals(s2_dates), *(_ordinals(s1_dates[orbit]) for orbit in ORBITS)),
            covered=self._covered_pixels(window),
        )


def _size(max_pixels: int) -> Size:
    """Sides that are powers of two, like those of the files' blocks: a square, or two squares side by side."""
    exponent = int(math.log2(max_pixels))
    return 2 ** ((exponent + 1) // 2), 2 ** (exponent // 2)


def _of_period(found: Found, asked: Period | None) -> tuple[Found, Period, str | None]:
    """The products of one year, its first and last day, and a warning where the year was chosen here."""
    if not found.s2 and not found.s1:
        raise none_usable(found.problems)
    days_s2, days_s1 = [each.date for each in found.s2], [each.date for each in found.s1]
    (first, last), warning = choose_period(days_s2, days_s1, asked)
    used = Found(
        [each for each in found.s2 if first <= each.date <= last],
        [each for each in found.s1 if first <= each.date <= last],
    )
    return used, (first, last), warning


def _guessed_offsets(opened: Sequence[OpenS2]) -> list[str]:
    guessed = [each.product for each in opened if not each.product.offset_known]
    if not guessed:
        return []
    having = sum(product.offset != 0 for product in guessed)
    line = (
        f"{len(guessed)} Sentinel-2 products (the first is {guessed[0].name}) have no metadata about the baseline "
        f"offset: by their date, {having} of them have it"
    )
    return [line]


def _date(opened: OpenS1 | OpenS2) -> date:
    return opened.product.date


def _days(opened: Sequence[OpenS1 | OpenS2]) -> tuple[int, ...]:
    return tuple(sorted({_date(each).timetuple().tm_yday for each in opened}))


def _doys(dates: Sequence[Sequence[OpenS1 | OpenS2]]) -> NDArray[np.int32]:
    return np.array([_date(products[0]).timetuple().tm_yday for products in dates], np.int32)


def _ordinals(dates: Sequence[Sequence[OpenS1 | OpenS2]]) -> NDArray[np.int32]:
    return np.array([_date(products[0]).toordinal() for products in dates], np.int32)


@product_environment()
def _read_s2(
    products: Sequence[OpenS2],
    points: Points,
    out: NDArray[np.uint16],
    valid: NDArray[np.uint8],
    every_band: bool,
) -> None:
    """Combine one date's products into bands (height, width, 10) and a mask (height, width)."""
    for opened in products:
        mask = read_nearest(opened.mask, points)
        if mask is None:
            continue
        clear: NDArray[Any] = (
            scl.clear_classes(mask) if opened.product.mask_kind == "scl" else (mask != 0).view(np.uint8)
        )
        if not every_band and not ((clear != 0) & (valid == 0)).any():
            continue
        bands = np.zeros((len(opened.bands), *valid.shape), np.uint16)
        for b, raster in enumerate(opened.bands):
            read_bilinear(raster, points, bands[b])
        scl.place(bands, clear, opened.product.offset, out, valid)


@product_environment()
def _read_s1(products: Sequence[OpenS1], points: Points, out: NDArray[np.int16]) -> None:
    """Combine one date's products of one orbit into codes (height, width, 2)."""
    for opened in products:
        codes = np.zeros((len(S1_BANDS), *out.shape[:2]), np.int16)
        for c, raster in enumerate(opened.channels):
            if raster is not None:
                read_codes(raster, points, opened.units, codes[c])
        sar.place(codes, out)
