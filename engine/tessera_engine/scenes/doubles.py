"""Products that a folder has twice: as copies, or as an older processing of the same acquisition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import TypeVar

from tessera_engine.scenes.products import Problem, S1Product, S2Product

_Product = TypeVar("_Product", S1Product, S2Product)


def drop_doubles(
    products: list[_Product], acquisition: Callable[[_Product], tuple[Hashable, str]]
) -> tuple[list[_Product], list[Problem]]:
    """Keep one copy of each product, and only the newest processing of each acquisition.

    Parts of one acquisition that were processed alike are no doubles: they complete each other.

    Args:
        products: of one layout; of copies, the one with the first source is kept.
        acquisition: what a product is of, and a text by which its processings are sorted, oldest first.

    Returns:
        the products that are kept, sorted by name, and a problem for each other one.
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
                problems.append(Problem(product.source, f"is an older processing of what {newest.name} has"))
            elif product.name in kept:
                problems.append(Problem(product.source, f"is a copy of {kept[product.name].source}"))
            else:
                kept[product.name] = product
    return [kept[name] for name in sorted(kept)], problems
