"""What a map's folder says of its quality: the numbers, and a figure of how reliable its confidence is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tessera_engine.files.text import write_text
from tessera_engine.pictures.colours import PALETTE
from tessera_engine.pictures.ink import Ink
from tessera_engine.stac.items import Asset

FONT, MARGIN, SIDE, AXIS, LINE, DOT = 15, 20, 320, 46, 22, 4


def write_reports(folder: Path, report: Mapping[str, Any]) -> list[Asset]:
    """Write `report.json`, and for classes `reliability.png`.

    Args:
        folder: of the map.
        report: see `tessera_engine.analysis.maps.training.train`.
    """
    write_text(folder / "report.json", json.dumps(report, indent=2) + "\n")
    assets = [Asset("report", "report.json", "application/json", "Spatial cross-validation", ("metadata",))]
    if "reliability" in report:
        _draw_reliability(folder / "reliability.png", report["reliability"])
        about = "How often held-out labels of some confidence are right"
        assets.append(Asset("reliability", "reliability.png", "image/png", about, ("metadata",)))
    return assets


def _draw_reliability(path: Path, reliability: Mapping[str, Any]) -> None:
    """Write a PNG: the share of held-out labels that is right, over the confidence; the diagonal is perfect."""
    from PIL import Image, ImageDraw

    ink = Ink(FONT)
    width = SIDE + AXIS + 2 * MARGIN
    caption = ink.wrap(
        f"Share of held-out labels that are right, by confidence. Larger dots: more labels. Calibration error "
        f"{100 * reliability['calibration_error']:.1f} %, before calibration "
        f"{100 * reliability['calibration_error_before']:.1f} %",
        width - 2 * MARGIN,
    )
    image = Image.new("RGB", (width, SIDE + AXIS + MARGIN + LINE * (len(caption) + 1)), "white")
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
    for i, text in enumerate(caption):
        ink.draw(pen, (MARGIN, bottom + AXIS + LINE * i), text)
    image.save(path)
