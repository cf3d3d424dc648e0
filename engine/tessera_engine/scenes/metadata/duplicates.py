"""Products that a folder has twice: as copies, or as an older and a newer processing of one acquisition.

The newest counts: the highest baseline, then the latest time of processing, then the later discriminator of the name
(the time when a catalogue made the item, where there is none), and the higher name as the last resort. What isn't known
counts as the oldest.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from tessera_engine.scenes.metadata.baseline import version_of
from tessera_engine.scenes.metadata.names import SAME_PASS
from tessera_engine.scenes.products import Problem, Processing, S1Product, S2Product

_Product = TypeVar("_Product", S1Product, S2Product)

_SAME_PART = timedelta(seconds=2)
"""Two processings round the start of a datastrip differently."""


def drop_duplicates(products: Iterable[_Product]) -> tuple[list[_Product], list[Problem]]:
    """Keep one copy of each product, and only the newest processing of each acquisition.

    Parts of one acquisition with the same baseline are not duplicates: where two datastrips meet in a tile, they
    complete each other. Products without a `processing` are all kept.

    Args:
        products: the products of one sensor, of all layouts.

    Returns:
        The products that are kept, sorted by date and name, and a problem for each other one.
    """
    groups: dict[Hashable, list[_Product]] = defaultdict(list)
    kept: list[_Product] = []
    for product in sorted(products, key=lambda each: (each.name, str(each.source))):
        if product.processing is None:
            kept.append(product)
        else:
            groups[product.processing.acquisition].append(product)
    problems: list[Problem] = []
    for group in groups.values():
        for taken_at_once in _close(group, lambda each: _processing(each).start, SAME_PASS):
            newest = max(_version(each) for each in taken_at_once)
            current = [each for each in taken_at_once if _version(each) == newest]
            parts = list(_close(current, lambda each: _processing(each).part, _SAME_PART))
            winners = [max(part, key=_rank) for part in parts]  # of copies the first one by its path
            kept += winners
            losers = [each for each in taken_at_once if not any(each is winner for winner in winners)]
            problems += [Problem(each.source, _why(each, _winner(each, parts, winners))) for each in losers]
    return sorted(kept, key=lambda each: (each.date, each.name)), problems


def _processing(product: S1Product | S2Product) -> Processing:
    assert product.processing is not None
    return product.processing


def _version(product: S1Product | S2Product) -> tuple[int, ...]:
    return version_of(_processing(product).baseline)


def _rank(product: S1Product | S2Product) -> tuple[Any, ...]:
    """Sorts processings of one baseline, oldest first."""
    processing = _processing(product)
    return processing.generated, processing.discriminator, _numbers_apart(product.name)


def _numbers_apart(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts names with their numbers as numbers: `item_9` comes before `item_10`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((1, int(part), "") if part[0] in "0123456789" else (0, 0, part) for part in parts)


def _close(products: Sequence[_Product], time: Any, tolerance: timedelta) -> Iterator[list[_Product]]:
    """Groups of products whose times follow each other within a tolerance; without a time, the first group's."""
    last: datetime | None = None
    group: list[_Product] = [each for each in products if time(each) is None]
    for product in sorted((each for each in products if time(each) is not None), key=time):
        if last is not None and time(product) - last > tolerance:
            yield group
            group = []
        group.append(product)
        last = time(product)
    if group:
        yield group


def _winner(product: _Product, parts: list[list[_Product]], winners: list[_Product]) -> _Product:
    """The product that is used instead of another one: that of its part, else the first one."""
    return next(
        (
            winner
            for part, winner in zip(parts, winners, strict=True)
            if any(product is each for each in part)
        ),
        winners[0],
    )


def _why(product: S1Product | S2Product, winner: S1Product | S2Product) -> str:
    old, new = _processing(product), _processing(winner)
    if (product.name, old) == (winner.name, new):
        return f"is a copy of {winner.source}"
    for what, its, others in (
        ("baseline", old.baseline, new.baseline),
        ("processed", old.generated, new.generated),
        ("discriminator", old.discriminator, new.discriminator),
    ):
        if its != others and (its or others):
            facts = f"{what} {its or 'unknown'}, used is {others or 'unknown'}"
            return f"is an older processing of the same acquisition as {winner.name} ({facts})"
    return f"is the same acquisition as {winner.name}, which is used"
