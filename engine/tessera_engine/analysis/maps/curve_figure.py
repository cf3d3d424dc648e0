"""A learning curve as a figure."""

from __future__ import annotations

from pathlib import Path

from tessera_engine.analysis.maps.curve import Curve
from tessera_engine.analysis.maps.figures import ticks
from tessera_engine.pictures.colours import PALETTE
from tessera_engine.pictures.ink import Ink

FONT, MARGIN, LINE, WIDTH, HEIGHT, AXIS, DOT = 15, 20, 26, 640, 320, 46, 4

NAMES = ("suggested", "random")


def draw_curve(curve: Curve, path: Path) -> None:
    """Write a PNG: balanced accuracy over the number of labels, with the spread of the draws."""
    from PIL import Image, ImageDraw

    ink, steps = Ink(FONT), curve.steps
    step, low, high = ticks(
        min(getattr(each, name).low for each in steps for name in NAMES),
        max(getattr(each, name).high for each in steps for name in NAMES),
    )
    caption = ink.wrap(
        f"balanced accuracy in percent by the number of labels, on land that is not labelled; bars: "
        f"{curve.facts['interval']}",
        WIDTH - 2 * MARGIN,
    )
    image = Image.new("RGB", (WIDTH, HEIGHT + MARGIN + LINE * (len(caption) + 1)), "white")
    pen = ImageDraw.Draw(image)
    left, right, top, bottom = MARGIN + AXIS, WIDTH - 2 * MARGIN, MARGIN + LINE, MARGIN + LINE + HEIGHT - AXIS
    between = (right - left) / max(1, len(steps) - 1)

    def down(value: float) -> float:
        return bottom - (bottom - top) * (value - low) / (high - low)

    for i in range(round((high - low) / step) + 1):
        y = down(low + i * step)
        pen.line((left, y, right, y), (220, 220, 220))
        ink.draw(pen, (left - 6, y), f"{100 * (low + i * step):g}", anchor="rm")
    for i, each in enumerate(steps):
        ink.draw(pen, (left + i * between, bottom + 6), str(each.labels), anchor="ma")
    for number, name in enumerate(NAMES):
        colour, moved = PALETTE[number + 4], 4 * number - 2
        points = []
        for i, each in enumerate(steps):
            score, x = getattr(each, name), left + i * between + moved
            pen.line((x, down(score.low), x, down(score.high)), colour, 1)
            points.append((x, down(score.value)))
        pen.line(points, colour, 2)
        for x, y in points:
            pen.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), colour)
        ink.draw(pen, (left + number * (right - left) / 2, MARGIN), f"{name} labels", colour)
    for i, line in enumerate(caption):
        ink.draw(pen, (MARGIN, bottom + LINE * (i + 1) + 8), line)
    image.save(path)
