"""The products in a folder, of all layouts together: Sentinel-2 may have one layout and Sentinel-1 another."""

from __future__ import annotations

from typing import TypeVar

from tessera_engine.files.inside import inside
from tessera_engine.gdal import without_georeference_warnings
from tessera_engine.scenes.products import Asset, Found, Listing, Problem, S1Product, S2Product
from tessera_engine.scenes.registry import layouts_of

_Product = TypeVar("_Product", S1Product, S2Product)


def find_products(listing: Listing, layout: str | None = None) -> tuple[tuple[str, ...], Found]:
    """Find the products of all product layouts.

    Args:
        listing: the scene folder's files.
        layout: the only layout to look for; None: all.

    Returns:
        The names of the layouts that found something, and everything found; products sorted by date and name.
    """
    together = Found(problems=list(listing.problems))
    names = []
    taken: set[Asset] = set()
    for each in layouts_of("product", layout):
        with without_georeference_warnings():
            found = each.find(listing)
        if found != Found():
            names.append(each.name)
        together.s2 += _usable(found.s2, listing, taken, together.problems)
        together.s1 += _usable(found.s1, listing, taken, together.problems)
        together.problems += found.problems
        together.warnings += found.warnings
    together.s2.sort(key=lambda product: (product.date, product.name))
    together.s1.sort(key=lambda product: (product.date, product.name))
    return tuple(names), together


def _usable(
    products: list[_Product], listing: Listing, taken: set[Asset], problems: list[Problem]
) -> list[_Product]:
    """Products whose files are in the folder and don't belong to another layout's product already."""
    usable = []
    for product in products:
        assets = product.assets
        outside = [asset.file for asset in assets if not inside(listing.folder, asset.file)]
        if outside:
            problems.append(
                Problem(product.source, f"{outside[0]} is outside the scene folder; copy it into the folder")
            )
        elif taken.isdisjoint(assets):
            taken.update(assets)
            usable.append(product)
    return usable
