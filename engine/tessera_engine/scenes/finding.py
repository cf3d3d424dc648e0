"""What products a folder has, over all layouts together: Sentinel-2 may come in one and Sentinel-1 in another."""

from __future__ import annotations

from importlib import import_module
from typing import TypeVar

from tessera_engine.errors import InputError
from tessera_engine.scenes.listing import inside
from tessera_engine.scenes.products import Asset, Found, Listing, Problem, S1Product, S2Product
from tessera_engine.scenes.rasters import without_georeference_warnings

LAYOUTS = ("safe", "stac", "opera", "hyp3", "mosaics", "cube")
"""Layouts of products, each a module here with `LAYOUT` and `find`. Where two find the same file, the first one has it:
those that know most of a file come first."""

_Product = TypeVar("_Product", S1Product, S2Product)


def find_products(listing: Listing, layout: str | None = None) -> tuple[tuple[str, ...], Found]:
    """Ask the layouts what they find.

    Args:
        listing: the scene folder's files.
        layout: the only one to ask; None: all.

    Returns:
        the layouts that found something, and all that was found, products sorted by date and name.

    Raises:
        InputError: no such layout.
    """
    if layout is not None and layout not in LAYOUTS:
        raise InputError(
            f"unknown --layout '{layout}'; choose one of dpixel, tiles, {', '.join(LAYOUTS)}, or leave it out"
        )
    together = Found(problems=list(listing.problems))
    names = []
    taken: set[Asset] = set()
    for name in LAYOUTS if layout is None else (layout,):
        with without_georeference_warnings():
            found: Found = import_module(f"tessera_engine.scenes.{name}").find(listing)
        if found != Found():
            names.append(name)
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
    """Products whose files lie in the folder and aren't another layout's product already."""
    usable = []
    for product in products:
        assets = product.assets
        outside = [asset.file for asset in assets if not inside(listing.folder, asset.file)]
        if outside:
            problems.append(
                Problem(product.source, f"{outside[0]} lies outside the scene folder; copy it there")
            )
        elif taken.isdisjoint(assets):
            taken.update(assets)
            usable.append(product)
    return usable
