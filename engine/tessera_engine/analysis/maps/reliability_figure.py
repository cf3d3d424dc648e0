"""A figure of how reliable a map's confidence is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tessera_engine.pictures.colours import PALETTE
from tessera_engine.pictures.ink import Ink

FONT, MARGIN, SIDE, AXIS, LINE, DOT = 15, 20, 320, 46, 22, 4


def draw_reliability(path: Path, reliability: Mapping[str, Any]) -> None:
    """Write a PNG: the share of held-out labels that is right, over the confidence; the diagonal is perfect.

    Args:
        path: of the PNG.
        reliability: see `tessera_engine.analysis.maps.calibration.Reliability.to_dict`.
    """
    from PIL import Image, ImageDraw

    ink = Ink(FONT)
    width = SIDE + AXIS + 2 * MARGIN
    caption = (
        "Share of held-out labels that are right, by confidence. Larger dots: more labels. Calibration error "
    )
    caption += f"{100 * reliability['calibration_error']:.1f} %"
    if reliability["temperature"] != 1:
        caption += f", before calibration {100 * reliability['calibration_error_before']:.1f} %"
    lines = ink.wrap(caption, width - 2 * MARGIN)
    image = Image.new("RGB", (width, SIDE + AXIS + MARGIN + LINE * (len(lines) + 1)), "white")
    pen = ImageDraw.Draw(image)
    left, bottom = MARGIN + AXIS, MARGIN + SIDE

    def place(confidence: float, right: float) -> tuple[float, float]:
        return left + SIDE * confidence, bottom - SIDE * right

    for i in range(6):
        for line in ((place(i / 5, 0), place(i / 5, 1)), (place(0, i / 5), place(1, i / 5))):
            pen.line(line, (220, 220, 220))
        ink.draw(pen, (place(i / 5, 0)[0], bottom + 6), f"{20 * i} %", anchor="ma")
        ink.draw(pen, (left - 6, place(0, i / 5)[1]), f"{20 * i} %", anchor="rm")
    pen.line((place(0, 0), place(1, 1)), (150, 150, 150), 1)
    bins = reliability["bins"]
    most = max(each["labels"] for each in bins)
    pen.line([place(each["confidence"], each["right"]) for each in bins], PALETTE[4], 2)
    for each in bins:
        x, y = place(each["confidence"], each["right"])
        size = DOT + 2 * DOT * (each["labels"] / most) ** 0.5
        pen.ellipse((x - size, y - size, x + size, y + size), PALETTE[4])
    for i, text in enumerate(lines):
        ink.draw(pen, (MARGIN, bottom + AXIS + LINE * i), text)
    image.save(path)
