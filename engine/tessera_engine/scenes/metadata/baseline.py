"""The baseline offset of Sentinel-2: since processing baseline 04.00, 1000 is added to every digital number."""

from __future__ import annotations

from datetime import date

OFFSET = 1000

FIRST_DAY = date(2022, 1, 25)
"""Products from this day on have baseline 04.00 or higher, and the offset, unless someone removed it."""

_FIRST = 4.0
_USER_MADE = 99.99
"""The baseline that Sen2Cor writes when users run it; it says nothing about the version."""


def offset_by_baseline(baseline: str | None, day: date) -> tuple[int, bool]:
    """The number to subtract, from the processing baseline; from the date where the baseline is unknown.

    Args:
        baseline: as in metadata (`04.00`) or in a product's name (`0400`); None where it isn't known.
        day: day of acquisition.

    Returns:
        The offset, 0 or 1000, and whether it follows from the baseline (else from the date).
    """
    number = _number(baseline)
    if number is None:
        return (OFFSET if day >= FIRST_DAY else 0), False
    return (OFFSET if number >= _FIRST else 0), True


def _number(baseline: str | None) -> float | None:
    digits = (baseline or "").strip().replace(".", "")
    if not (len(digits) == 4 and digits.isascii() and digits.isdigit()):
        return None
    number = int(digits) / 100
    return None if number == _USER_MADE else number
