"""What the radar layouts share: files of single channels that make products."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from re import Pattern

from tessera_engine.scenes.members import Member
from tessera_engine.scenes.products import Asset, S1Product, Unusable

Channels = dict[str, Member]
"""VV, VH, HH, HV -> the file."""


def by_product(members: Iterable[Member], name: Pattern[str]) -> dict[tuple[str, str], Channels]:
    """Files of channels by the folder or zip that they lie in and their product's name.

    Args:
        members: files.
        name: what matches a file's whole name, with the groups `product` and `channel`.
    """
    products: dict[tuple[str, str], Channels] = defaultdict(dict)
    for member in sorted(members):
        match = name.fullmatch(member.path.name)
        if match:
            folder = str(member.source) if member.zipped else str(member.source.parent)
            products[folder, match["product"]][match["channel"]] = member
    return dict(products)


def vv_vh(channels: Mapping[str, Member]) -> tuple[Asset | None, Asset | None]:
    """The two channels that are used, None for one that isn't there.

    Raises:
        Unusable: neither is there.
    """
    vv, vh = channels.get("VV"), channels.get("VH")
    if vv is None and vh is None:
        raise Unusable(f"has {' and '.join(sorted(channels))} only, expected VV and VH")
    return (vv.asset if vv else None), (vh.asset if vh else None)


def first(channels: Mapping[str, Member]) -> Member:
    """The file that stands for a product: that of VV where there is one."""
    return next(
        (channels[channel] for channel in ("VV", "VH") if channel in channels), min(channels.values())
    )


def half_products(products: list[S1Product], kind: str) -> list[str]:
    """A warning where products have one channel only."""
    warnings = []
    for channel in ("vv", "vh"):
        names = [product.name for product in products if getattr(product, channel) is None]
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            warnings.append(
                f"no {channel.upper()} in {kind} {names[0]}{more}: it counts as missing there; "
                "fetch it too if it exists"
            )
    return warnings
