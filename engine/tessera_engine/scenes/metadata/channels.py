"""For radar layouts: files of single channels, grouped into products."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from re import Pattern

from tessera_engine.scenes.metadata.kinds import is_unfinished
from tessera_engine.scenes.metadata.members import Member
from tessera_engine.scenes.products import Asset, Listing, S1Product, Unusable

Channels = dict[str, Member]
"""VV, VH, HH, HV -> the file."""


def by_product(members: Iterable[Member], name: Pattern[str]) -> dict[tuple[str, str], Channels]:
    """(Folder or zip, product name) -> the product's files of channels.

    Args:
        members: files.
        name: pattern of a file's whole name, with the groups `product` and `channel`.
    """
    products: dict[tuple[str, str], Channels] = defaultdict(dict)
    for member in sorted(members):
        match = name.fullmatch(member.path.name)
        if match:
            folder = str(member.source) if member.zipped else str(member.source.parent)
            products[folder, match["product"]][match["channel"]] = member
    return dict(products)


def belonging(listing: Listing, products: Iterable[tuple[str, str]], product: Pattern[str]) -> set[Path]:
    """The files whose names begin with the name of a product in the same folder: masks, pictures, texts.

    Args:
        listing: the scene folder's files.
        products: (folder, name) of products, as `by_product` returns them.
        product: pattern of a product's name.
    """
    known = set(products)
    return {
        path
        for path in listing.files
        if (match := product.match(path.name))
        and (str(path.parent), match[0]) in known
        and not is_unfinished(path.name)
    }


def vv_vh(channels: Mapping[str, Member]) -> tuple[Asset | None, Asset | None]:
    """The two channels that are used; None for a missing one.

    Raises:
        Unusable: both are missing.
    """
    vv, vh = channels.get("VV"), channels.get("VH")
    if vv is None and vh is None:
        raise Unusable(f"has {' and '.join(sorted(channels))} only, expected VV and VH")
    return (vv.asset if vv else None), (vh.asset if vh else None)


def first(channels: Mapping[str, Member]) -> Member:
    """The file that represents a product in messages: VV where there is one."""
    return next(
        (channels[channel] for channel in ("VV", "VH") if channel in channels), min(channels.values())
    )


def half_products(products: list[S1Product], kind: str) -> list[str]:
    """Warnings about products that have only one of the two channels; `kind` names them in the messages."""
    warnings = []
    for channel in ("vv", "vh"):
        names = [product.name for product in products if getattr(product, channel) is None]
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            warnings.append(
                f"{kind} {names[0]}{more} has no {channel.upper()}, which counts as missing there; "
                "download it too if it exists"
            )
    return warnings
