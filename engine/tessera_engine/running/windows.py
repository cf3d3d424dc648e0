"""The windows of a run: those of the reader, or of them the parts with pixels that the user selected."""

from __future__ import annotations

from collections.abc import Iterator

from tessera_engine.places.pixels import PixelSet
from tessera_engine.scene import Reader, Window


def windows_of(
    reader: Reader, region: Window, most: int, selected: PixelSet | None = None
) -> Iterator[Window]:
    """Windows of at most so many pixels, in the order of reading.

    Args:
        reader: the scene.
        region: the part of it that is embedded.
        most: pixels of a window.
        selected: the pixels that are embedded; None: all. Windows without any are left out, and the others cut to the
            smallest box around them.
    """
    for window in reader.windows(region, most):
        part = window if selected is None else selected.box_in(window)
        if part is not None:
            yield part


def pixels_in(window: Window, selected: PixelSet | None) -> int:
    """How many pixels of a window are embedded."""
    return window.pixels if selected is None else selected.count(window)
