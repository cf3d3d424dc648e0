"""Open the headers of products: which of them can be read, in which units, and where they are on one grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar, get_args

from tessera_engine.errors import InputError
from tessera_engine.scene import S2_BANDS, Grid, Window
from tessera_engine.scenes.products import Asset, Found, Problem, S1Product, S1Units, S2Product
from tessera_engine.scenes.reading.rasters import (
    Geometry,
    Raster,
    Unreadable,
    open_rasters,
    product_environment,
)
from tessera_engine.scenes.reading.target import place_on, target_of_products

_THREADS = 4
"""Headers read at the same time: most of the time goes into waiting for the disk."""

_SHOWN = 3
"""Reasons in an error."""

_WHOLE = {"uint8", "uint16", "int16", "uint32", "int32", "int8", "uint64", "int64", "bool"}
_FLOATING = {"float32", "float64"}

_Product = TypeVar("_Product", S1Product, S2Product)
_Opened = TypeVar("_Opened", "OpenS1", "OpenS2")


@dataclass(frozen=True)
class OpenS2:
    """A Sentinel-2 product whose files could be opened.

    Attributes:
        product: the product.
        bands: one raster for each band, in the order of `S2_BANDS`.
        mask: its scene classification or clear mask.
        place: the pixels of the scene's grid that it touches.
    """

    product: S2Product
    bands: tuple[Raster, ...]
    mask: Raster
    place: Window

    @property
    def geometry(self) -> Geometry:
        """The grid of its finest band."""
        return _finest(self.bands)


@dataclass(frozen=True)
class OpenS1:
    """A Sentinel-1 product whose files could be opened.

    Attributes:
        product: the product.
        channels: VV and VH, None where it has none.
        units: units of the values.
        place: the pixels of the scene's grid that it touches.
    """

    product: S1Product
    channels: tuple[Raster | None, Raster | None]
    units: S1Units
    place: Window

    @property
    def geometry(self) -> Geometry:
        """The grid of its finer channel."""
        return _finest([channel for channel in self.channels if channel is not None])


class Opened(NamedTuple):
    """The products of a scene that can be read.

    Attributes:
        grid: the scene's grid.
        s2: Sentinel-2 products, sorted by date and name.
        s1: Sentinel-1 products, sorted by date and name.
        problems: products that can't be used, each once.
    """

    grid: Grid
    s2: list[OpenS2]
    s1: list[OpenS1]
    problems: list[Problem]


_UNPLACED = Window(0, 0, 0, 0)
"""The place of products until the grid is known, which is made from all of them."""


def open_products(found: Found, like: Grid | None, s1_units: S1Units | None) -> Opened:
    """Open the headers of all files, and place the products on one grid.

    Args:
        found: the products to use.
        like: the grid to use; None: made from the products, see `target_of_products`.
        s1_units: units of all Sentinel-1 products, whatever their metadata say; None: as in their metadata.

    Raises:
        InputError: no product can be used, or the units of a Sentinel-1 product are unknown.
    """
    problems: list[Problem] = []
    s2 = _open_all(found.s2, _open_s2, problems)
    s1 = _open_all(found.s1, lambda product: _open_s1(product, s1_units), problems)
    geometries = [opened.geometry for opened in s2] or [opened.geometry for opened in s1]
    if not geometries:
        raise none_usable(problems)
    elsewhere: frozenset[Geometry] = frozenset()
    grid = like
    if grid is None:
        grid, elsewhere = target_of_products(geometries)
    placed_s2, beside_s2 = _placed(s2, grid, elsewhere)
    placed_s1, beside_s1 = _placed(s1, grid, elsewhere)
    if like is None:
        # One line for each file that has several, such as a cube
        problems += _all_beside(beside_s2, lambda product: (product.product.source, product.geometry))
        # Radar often covers more places than the optical scene: one line for each place is enough
        problems += _all_beside(beside_s1, lambda product: product.geometry)
    if not placed_s2 and not placed_s1:
        if like is None:  # the only product has coordinates that are not on Earth
            raise none_usable(problems)
        raise InputError(
            "none of the scene's products touches the grid of like=; give a raster of the same place"
        )
    return Opened(grid, placed_s2, placed_s1, problems)


def none_usable(problems: Sequence[Problem]) -> InputError:
    """The error for a scene of which no product can be used; it has the first reasons."""
    named = list(dict.fromkeys(problem for problem in problems if problem.lost)) or list(problems)
    reasons = "; ".join(f"{problem.source}: {problem.reason}" for problem in named[:_SHOWN])
    more = f"; and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    return InputError(f"none of the scene's products can be used: {reasons}{more}")


def _open_all(
    products: Sequence[_Product], open_one: Callable[[_Product], _Opened], problems: list[Problem]
) -> list[_Opened]:
    @product_environment()
    def attempt(product: _Product) -> _Opened | Problem:
        try:
            return open_one(product)
        except (Unreadable, OSError) as error:
            return Problem(product.source, str(error))

    opened = []
    with ThreadPoolExecutor(_THREADS, "tessera-open") as pool:
        for result in pool.map(attempt, products):
            if isinstance(result, Problem):
                problems.append(result)
            else:
                opened.append(result)
    return opened


def _open_s2(product: S2Product) -> OpenS2:
    *bands, mask = _open([*(product.bands[band] for band in S2_BANDS), product.mask], _WHOLE)
    return OpenS2(product, tuple(bands), mask, _UNPLACED)


def _open_s1(product: S1Product, s1_units: S1Units | None) -> OpenS1:
    units = s1_units or product.units
    if units is None:
        raise InputError(
            f"{product.source} has no metadata about the units of its Sentinel-1 values; give one of "
            f"{', '.join(get_args(S1Units))} as s1_units="
        )
    dtypes = _WHOLE if units == "code" else _FLOATING
    channels = (product.vv, product.vh)
    if channels == (None, None):
        raise Unreadable("has neither VV nor VH")
    rasters = iter(_open([asset for asset in channels if asset is not None], dtypes))
    vv, vh = (None if asset is None else next(rasters) for asset in channels)
    return OpenS1(product, (vv, vh), units, _UNPLACED)


def _open(assets: Sequence[Asset], dtypes: set[str]) -> list[Raster]:
    """The rasters of a product, whose values are of one kind."""
    rasters = open_rasters(assets)
    for raster in rasters:
        if raster.dtype not in dtypes:
            expected = "whole numbers" if dtypes is _WHOLE else "floating point"
            raise Unreadable(f"{raster.asset.label} has {raster.dtype} values, expected {expected}")
    _check_crs(rasters)
    return rasters


def _check_crs(rasters: Sequence[Raster]) -> None:
    """Refuse a product with files in different CRSs: one of them belongs to another product."""
    (most, _), *others = Counter(raster.geometry.crs for raster in rasters).most_common()
    if others:
        odd = next(raster for raster in rasters if raster.geometry.crs != most)
        raise Unreadable(
            f"{odd.asset.label} is in {odd.geometry.crs}, expected {most} like the product's other files"
        )


def _finest(rasters: Sequence[Raster]) -> Geometry:
    return min((raster.geometry for raster in rasters), key=lambda each: abs(each.transform.determinant))


def _placed(
    products: Sequence[_Opened], grid: Grid, elsewhere: frozenset[Geometry]
) -> tuple[list[_Opened], list[_Opened]]:
    """Products that touch the grid, and those that don't."""
    places = {
        geometry: None if geometry in elsewhere else place_on(grid, geometry)
        for geometry in {product.geometry for product in products}
    }
    on, beside = [], []
    for product in products:
        place = places[product.geometry]
        if place is None:
            beside.append(product)
        else:
            on.append(replace(product, place=place))
    return on, beside


def _all_beside(beside: Sequence[_Opened], group: Callable[[_Opened], Hashable]) -> Iterator[Problem]:
    """One problem for each group of products at another place."""
    counts = Counter(map(group, beside))
    first = {group(product): product for product in reversed(beside)}
    return (_beside(product, counts[key] - 1) for key, product in first.items())


def _beside(opened: OpenS1 | OpenS2, others: int = 0) -> Problem:
    return Problem(
        opened.product.source,
        f"{opened.product.name} (in {opened.geometry.crs}) is at another place than the rest of the scene"
        + (f", as are {others} more products" if others else ""),
    )
