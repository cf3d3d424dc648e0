"""The classes of a map: their order, and the pixel value of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST_CLASSES = 254
LARGEST_CODE = 254
"""Pixel values are uint8, and one of them is for pixels without a class."""

_WHOLE = re.compile(r"[+-]?\d{1,18}")


def sorted_classes(names: Iterable[str]) -> list[str]:
    """The different names of classes: whole numbers by size, then the other names by the alphabet."""
    return sorted(set(names), key=lambda name: (0, int(name), name) if _is_code(name) else (1, 0, name))


@dataclass(frozen=True)
class Classes:
    """The classes of a map.

    Attributes:
        names: sorted, see `sorted_classes`.
        values: the pixel value of each.
        nodata: the pixel value where there is no class.
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    nodata: int

    @classmethod
    def of(cls, names: Iterable[str]) -> Classes:
        """Give classes their pixel values.

        Codes, that is names which are all whole numbers from 0 to `LARGEST_CODE`, are their own values; then 255 is for
        pixels without a class if 0 is a code, and 0 otherwise. Other classes are numbered from 1.

        Args:
            names: at most `MOST_CLASSES` different ones, or codes.
        """
        ordered = tuple(sorted_classes(names))
        return cls(ordered, *own_values(ordered))

    @property
    def renumbered(self) -> bool:
        """All names are whole numbers, but the pixel values are others."""
        return all(map(_is_code, self.names)) and not _keep_codes(self.names)


def own_values(names: Sequence[str]) -> tuple[tuple[int, ...], int]:
    """The pixel values of classes in this order, and of pixels without a class; see `Classes.of`."""
    if _keep_codes(tuple(names)):
        values = tuple(map(int, names))
        return values, 255 if 0 in values else 0
    return tuple(range(1, len(names) + 1)), 0


def _is_code(name: str) -> bool:
    return _WHOLE.fullmatch(name) is not None


def _keep_codes(names: tuple[str, ...]) -> bool:
    if not all(map(_is_code, names)):
        return False
    codes = {int(name) for name in names}
    return len(codes) == len(names) and all(0 <= code <= LARGEST_CODE for code in codes)
