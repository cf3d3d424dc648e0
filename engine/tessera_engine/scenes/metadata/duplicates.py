"""Products that a folder has twice: as copies, or as an older and a newer processing of one acquisition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import TypeVar

from tessera_engine.scenes.products import Problem, S1Product, S2Product

_Product = TypeVar("_Product", S1Product, S2Product)


def drop_duplicates(
    products: list[_Product], acquisition: Callable[[_Product], tuple[Hashable, str]]
) -> tuple[list[_Product], list[Problem]]:
    """Keep one copy of each product, and only the newest processing of each acquisition.

    Parts of one acquisition with the same processing are not duplicates: they complete each other.

    Args:
        products: products of one layout; of several copies, the one with the first source is kept.
        acquisition: returns a product's acquisition, and a text that sorts its processings, oldest first.

    Returns:
        The products that are kept, sorted by name, and a problem for each other product.
    """
    groups = defaultdict(list)
    for product in sorted(products, key=lambda each: (each.name, str(each.source))):
        groups[acquisition(product)[0]].append(product)
    kept: dict[str, _Product] = {}
    problems = []
    for group in groups.values():
        newest = max(group, key=lambda each: acquisition(each)[1])
        for product in group:
            if acquisition(product)[1] != acquisition(newest)[1]:
                problems.append(
                    Problem(
                        product.source, f"is an older processing of the same acquisition as {newest.name}"
                    )
                )
            elif product.name in kept:
                problems.append(Problem(product.source, f"is a copy of {kept[product.name].source}"))
            else:
                kept[product.name] = product
    return [kept[name] for name in sorted(kept)], problems
