"""The baseline offset of Sentinel-2: since processing baseline 04.00, 1000 is added to every digital number."""

from __future__ import annotations

import re
from datetime import date

OFFSET = 1000

FIRST_DAY = date(2022, 1, 25)
"""Products from this day on have baseline 04.00 or higher, and the offset, unless someone removed it."""

_FIRST = (4, 0)
_USER_MADE = (99, 99)
"""The baseline that Sen2Cor writes when users run it; it says nothing about the version."""


def offset_by_baseline(baseline: str | None, day: date) -> tuple[int, bool]:
    """The number to subtract, from the processing baseline; from the date where the baseline is unknown.

    Args:
        baseline: in any of the forms that `version_of` reads; None where it isn't known.
        day: day of acquisition.

    Returns:
        The offset, 0 or 1000, and whether it follows from the baseline (else from the date).
    """
    version = version_of(baseline)
    if len(version) != 2:  # ESA's have two numbers; others are of programs
        return (OFFSET if day >= FIRST_DAY else 0), False
    return (OFFSET if version >= _FIRST else 0), True


def version_of(baseline: str | None) -> tuple[int, ...]:
    """A processing baseline or version as numbers: `05.00`, `0500`, `N0500` and `5.0` are (5, 0); () where it is none.

    The baseline 99.99, which Sen2Cor writes when users run it, says nothing about the version.
    """
    text = (baseline or "").strip().lstrip("NnVv")
    if re.fullmatch(r"\d{3,4}", text, re.A):  # a number in JSON has lost the zero in front
        text = f"{text[:-2]}.{text[-2:]}"
    if not re.fullmatch(r"\d+(\.\d+)*", text, re.A):
        return ()
    version = tuple(int(part) for part in text.split("."))
    return () if version == _USER_MADE else version
