"""What the names of Sentinel-2's products, granules and images say: satellite, tile, time, baseline."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import NamedTuple

_TIME = r"\d{8}T\d{6}"

L2A_NAME = re.compile(
    rf"(?P<satellite>S2[A-D])_MSIL2A_(?P<sensing>{_TIME})_(?:N(?P<baseline>\d{{4}})_)?R\d{{3}}_T(?P<tile>\d\d[A-Z]{{3}})"
    rf"(?:_(?P<discriminator>{_TIME}))?"
)
"""A product's name; Planetary Computer leaves out the baseline."""

GRANULE_NAME = re.compile(rf"L2A_T(?P<tile>\d\d[A-Z]{{3}})_A\d{{6}}_(?P<datastrip>{_TIME})")
"""A granule's folder; its time is the start of the datastrip."""

_IMAGE = re.compile(rf"(?<![A-Z0-9])T(?P<tile>\d\d[A-Z]{{3}})_(?P<sensing>{_TIME})_", re.I)
_OLD_IMAGE = re.compile(r"_L2A_TL_.*_T(?P<tile>\d\d[A-Z]{3})(?:_|$)")

SAME_DATATAKE = timedelta(minutes=5)
"""Names of one product repeat the start of the datatake; another one of the same tile starts an hour later or more."""

SAME_PASS = timedelta(minutes=45)
"""From the start of a datatake until its last granule; no satellite sees a tile again so soon."""


class Stated(NamedTuple):
    """What a name says; None for what it doesn't.

    Attributes:
        tile: the MGRS tile, as 31UES.
        sensing: start of the datatake, UTC without a time zone.
    """

    tile: str | None
    sensing: datetime | None


NOTHING = Stated(None, None)


def stated_by_image(name: str) -> Stated:
    """What the name of an image says: `T31UES_20210104T105031_B04_10m.jp2`."""
    match = _IMAGE.search(name)
    if match:
        return Stated(match["tile"].upper(), moment(match["sensing"]))
    old = _OLD_IMAGE.search(name)
    return Stated(old["tile"], None) if old else NOTHING


def agree(a: Stated, b: Stated, tolerance: timedelta) -> bool:
    """Whether two names may be of the same acquisition: what both of them say is equal.

    Times may differ by a tolerance. A time at midnight sharp is a date without a time.
    """
    if a.tile is not None and b.tile is not None and a.tile != b.tile:
        return False
    if a.sensing is None or b.sensing is None:
        return True
    if time.min in (a.sensing.time(), b.sensing.time()) and a.sensing.date() == b.sensing.date():
        return True
    return abs(a.sensing - b.sensing) <= tolerance


def moment(text: object) -> datetime | None:
    """The time in `20220413T150759`, `2022-04-13T15:07:59.024Z` or `2022-04-13`; None where there is none."""
    digits = re.sub(r"[^0-9]", "", str(text))[:14]
    try:
        return datetime.strptime(digits.ljust(14, "0"), "%Y%m%d%H%M%S") if len(digits) >= 8 else None
    except ValueError:
        return None


def compact(text: object) -> str:
    """A time as 20220413T150759, so that times of all forms sort as texts; empty where it is none."""
    found = moment(text) if text else None
    return f"{found:%Y%m%dT%H%M%S}" if found else ""
