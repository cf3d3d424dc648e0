"""A figure of how well numbers are predicted on land that was held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.figures import ticks
from tessera_engine.pictures.colours import PALETTE
from tessera_engine.pictures.ink import Ink

FONT, MARGIN, SIDE, AXIS, LINE, DOT = 15, 20, 320, 60, 22, 3

MOST_DOTS = 2_000
"""Of more labels, some are drawn, evenly spread over the file."""


def draw_numbers(path: Path, labels: NDArray[Any], predicted: NDArray[Any]) -> None:
    """Write a PNG: the numbers that are predicted for held-out labels, over the labels; on the diagonal they are right.

    Args:
        path: of the PNG.
        labels: (N,) numbers.
        predicted: (N,) for the same pixels, without having learned from them.
    """
    from PIL import Image, ImageDraw

    ink, width = Ink(FONT), SIDE + AXIS + 2 * MARGIN
    caption = "Number of the label (across) and predicted number (up), of labels that were held out"
    if len(labels) > MOST_DOTS:
        caption += f"; {MOST_DOTS:,} of {len(labels):,} are drawn"
    lines = ink.wrap(caption, width - 2 * MARGIN)
    some = np.linspace(0, len(labels) - 1, min(len(labels), MOST_DOTS)).astype(np.int64)
    across, up = labels[some].astype(np.float64), predicted[some].astype(np.float64)
    step, low, high = ticks(min(across.min(), up.min()), max(across.max(), up.max()))
    image = Image.new("RGB", (width, SIDE + AXIS + MARGIN + LINE * (len(lines) + 1)), "white")
    pen = ImageDraw.Draw(image)
    left, bottom = MARGIN + AXIS, MARGIN + SIDE

    def place(label: float, found: float) -> tuple[float, float]:
        return left + SIDE * (label - low) / (high - low), bottom - SIDE * (found - low) / (high - low)

    for tick in low + step * np.arange(round((high - low) / step) + 1):
        for line in ((place(tick, low), place(tick, high)), (place(low, tick), place(high, tick))):
            pen.line(line, (220, 220, 220))
        ink.draw(pen, (place(tick, low)[0], bottom + 6), f"{tick:.4g}", anchor="ma")
        ink.draw(pen, (left - 6, place(low, tick)[1]), f"{tick:.4g}", anchor="rm")
    pen.line((place(low, low), place(high, high)), (150, 150, 150), 1)
    for label, found in zip(across, up, strict=True):
        x, y = place(label, found)
        pen.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), PALETTE[4])
    for i, text in enumerate(lines):
        ink.draw(pen, (MARGIN, bottom + AXIS + LINE * i), text)
    image.save(path)
