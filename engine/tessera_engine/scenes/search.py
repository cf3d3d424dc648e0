"""The products in a folder, of all layouts together: Sentinel-2 may have one layout and Sentinel-1 another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from tessera_engine.files.inside import inside
from tessera_engine.scenes.metadata.duplicates import drop_duplicates
from tessera_engine.scenes.products import Asset, Found, Listing, Problem, S1Product, S2Product
from tessera_engine.scenes.reading.rasters import product_environment
from tessera_engine.scenes.registry import layouts_of
from tessera_engine.scenes.unused import left_over

_Product = TypeVar("_Product", S1Product, S2Product)


def find_products(listing: Listing, layout: str | None = None) -> tuple[tuple[str, ...], Found]:
    """Find the products of all product layouts.

    Args:
        listing: the scene folder's files.
        layout: the only layout to look for; None: all.

    Returns:
        The names of the layouts that found something, and everything found: products sorted by date and name, and a
        problem for each file that belongs to none. With `layout`, files of other layouts are no problems.
    """
    together = Found(problems=list(listing.problems))
    names = []
    taken: set[Asset] = set()
    for each in layouts_of("product", layout):
        with product_environment():
            found = each.find(listing)
        if found.s2 or found.s1 or found.problems or found.warnings:
            names.append(each.name)
        together.s2 += (s2 := _usable(found.s2, listing, taken, together.problems))
        together.s1 += (s1 := _usable(found.s1, listing, taken, together.problems))
        taken.update(asset for s2_product in s2 for asset in s2_product.assets)
        taken.update(asset for s1_product in s1 for asset in s1_product.assets)
        together.problems += found.problems
        together.warnings += found.warnings
        together.claimed |= found.claimed | _claimed(found)
        listing = replace(listing, claimed=frozenset(together.claimed))
    if layout is None:
        claimed = {*together.claimed, *(problem.source for problem in listing.problems)}
        together.problems += left_over(listing, claimed)
    together.s2, older = drop_duplicates(together.s2)
    together.problems += older
    together.s1, older = drop_duplicates(together.s1)
    together.problems += older
    return tuple(names), together


def _claimed(found: Found) -> set[Path]:
    """The files of products, and the files that have a reason not to be used."""
    products: list[S1Product | S2Product] = [*found.s2, *found.s1]
    files = {asset.file for product in products for asset in product.assets}
    return files | {problem.source for problem in found.problems if problem.source.is_file()}


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
            usable.append(product)
    return usable
