"""The offset that Sentinel-2's processing baseline 04.00 brought: 1000 is added to every digital number."""

from __future__ import annotations

from datetime import date

OFFSET = 1000

_FIRST_DAY = date(2022, 1, 25)
"""Products of this day and later were made with baseline 04.00 or higher, unless somebody removed the offset."""

_FIRST = 4.0
_USER_MADE = 99.99
"""What Sen2Cor writes outside ESA's processing, whichever version it has."""


def offset_by_baseline(baseline: str | None, day: date) -> tuple[int, bool]:
    """What has to be subtracted, from the processing baseline, or from the date as a last resort.

    Args:
        baseline: as metadata have it (`04.00`) or a product's name (`0400`); None where it isn't known.
        day: of acquisition.

    Returns:
        the offset, 0 or 1000, and whether the baseline decided, rather than the date.
    """
    number = _number(baseline)
    if number is None:
        return (OFFSET if day >= _FIRST_DAY else 0), False
    return (OFFSET if number >= _FIRST else 0), True


def _number(baseline: str | None) -> float | None:
    digits = (baseline or "").strip().replace(".", "")
    if not (len(digits) == 4 and digits.isascii() and digits.isdigit()):
        return None
    number = int(digits) / 100
    return None if number == _USER_MADE else number
