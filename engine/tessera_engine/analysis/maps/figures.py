"""The figures of an evaluation: scores of forms beside each other, or scores that grow with the season."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from tessera_engine.analysis.maps.evaluation import Evaluation, Row
from tessera_engine.analysis.maps.report import METHOD_TITLES, PERCENT, TITLES
from tessera_engine.errors import MissingExtra
from tessera_engine.pictures.colours import PALETTE
from tessera_engine.pictures.ink import Ink

FONT, MARGIN, LINE, DOT = 15, 20, 26, 4

ACROSS, NAMES = 330, 150
"""Width of a panel of forms, and of their names."""

WIDTH, HEIGHT, AXIS = 640, 320, 46
"""Of the figure of periods, and of its axes."""


def draw(evaluation: Evaluation, path: Path) -> None:
    """Write a PNG of the main score with its intervals.

    Args:
        evaluation: the scores.
        path: of the PNG.

    Raises:
        MissingExtra: Pillow isn't installed.
    """
    try:
        import PIL  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtra("pillow", "maps", "evaluate") from None
    image = _draw_periods(evaluation) if evaluation.by_period else _draw_forms(evaluation)
    image.save(path)


def _draw_forms(evaluation: Evaluation) -> Any:
    """The score of each form, in one panel for each method."""
    from PIL import Image, ImageDraw

    rows, main = evaluation.rows, evaluation.main
    methods = list(dict.fromkeys(row.method for row in rows))
    shown = list(dict.fromkeys(row.form for row in rows))
    kinds = list(dict.fromkeys(form.stored_as for form in shown))
    scores = {(row.method, row.form): row.scores[main] for row in rows}
    low = min(score.low for score in scores.values())
    high = max(score.high for score in scores.values())
    step, low, high = ticks(low, high)
    ink = Ink(FONT)
    factor = 100 if main in PERCENT else 1
    unit = ", percent" if main in PERCENT else ""
    width = MARGIN * 2 + NAMES + ACROSS * len(methods)
    caption = ink.wrap(
        f"{TITLES[main]}{unit}, on blocks that were held out; lines: 95 % interval over the blocks",
        width - 2 * MARGIN,
    )
    size = (width, MARGIN * 2 + LINE * (len(shown) + 2 + len(caption)))
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    top, bottom = MARGIN + LINE, MARGIN + LINE * (len(shown) + 1)
    for i, form in enumerate(shown):
        ink.draw(pen, (MARGIN, top + LINE * i + 3), str(form))
    for number, method in enumerate(methods):
        left = MARGIN + NAMES + ACROSS * number
        width = ACROSS - 3 * MARGIN

        def across(value: float, left: int = left, width: int = width) -> float:
            return left + width * (value - low) / (high - low)

        ink.draw(pen, (left, MARGIN), METHOD_TITLES[method])
        for i in range(round((high - low) / step) + 1):
            x = across(low + i * step)
            pen.line((x, top, x, bottom), (220, 220, 220))
            ink.draw(pen, (x, bottom + 4), f"{factor * (low + i * step):g}", anchor="ma")
        for i, form in enumerate(shown):
            score, y = scores[method, form], top + LINE * i + LINE // 2
            colour = PALETTE[(4, 5, 6)[kinds.index(form.stored_as)]]
            pen.line((across(score.low), y, across(score.high), y), colour, 2)
            x = across(score.value)
            pen.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), colour)
    for i, line in enumerate(caption):
        ink.draw(pen, (MARGIN, bottom + LINE * (i + 1) + 8), line)
    return image


def _draw_periods(evaluation: Evaluation) -> Any:
    """The score over the last days of the periods, a line for each method."""
    from PIL import Image, ImageDraw

    main, methods = evaluation.main, evaluation.methods
    scores = [row.scores[main] for row in evaluation.rows]
    step, low, high = ticks(min(each.low for each in scores), max(each.high for each in scores))
    days = [_last_day(row) for row in next(iter(methods.values()))]
    ink, factor = Ink(FONT), 100 if main in PERCENT else 1
    unit = ", percent" if main in PERCENT else ""
    caption = ink.wrap(
        f"{TITLES[main]}{unit} by the last day of the period, on blocks that were held out; bars: 95 % interval over "
        "the blocks",
        WIDTH - 2 * MARGIN,
    )
    size = (WIDTH, HEIGHT + 2 * MARGIN + LINE * (len(caption) + 1) - MARGIN)
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    left, right, top, bottom = MARGIN + AXIS, WIDTH - 2 * MARGIN, MARGIN + LINE, MARGIN + LINE + HEIGHT - AXIS

    def across(day: int) -> float:
        return left + (right - left) * (day - days[0]) / max(1, days[-1] - days[0])

    def down(value: float) -> float:
        return bottom - (bottom - top) * (value - low) / (high - low)

    for i in range(round((high - low) / step) + 1):
        y = down(low + i * step)
        pen.line((left, y, right, y), (220, 220, 220))
        ink.draw(pen, (left - 6, y), f"{factor * (low + i * step):g}", anchor="rm")
    free = 0.0
    for day in days:
        text, x = date.fromordinal(day).isoformat(), across(day)
        if x - ink.length(text) / 2 > free:  # dates that don't overlap
            ink.draw(pen, (x, bottom + 6), text, anchor="ma")
            free = x + ink.length(text) / 2 + 6.0
    for number, (method, rows) in enumerate(methods.items()):
        colour, moved = PALETTE[number + 4], 3 * (number - (len(methods) - 1) / 2)
        points = []
        for day, row in zip(days, rows, strict=True):
            score, x = row.scores[main], across(day) + moved
            pen.line((x, down(score.low), x, down(score.high)), colour, 1)
            points.append((x, down(score.value)))
        pen.line(points, colour, 2)
        for x, y in points:
            pen.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), colour)
        ink.draw(pen, (left + number * (right - left) / len(methods), MARGIN), METHOD_TITLES[method], colour)
    for i, line in enumerate(caption):
        ink.draw(pen, (MARGIN, bottom + LINE * (i + 1) + 8), line)
    return image


def _last_day(row: Row) -> int:
    assert row.period is not None
    return date.fromisoformat(row.period.until).toordinal()


def ticks(low: float, high: float) -> tuple[float, float, float]:
    """The step between ticks, the first tick and the last: a few round numbers around the values."""
    import math

    room = max(high - low, 1e-3)
    power = 10 ** math.floor(math.log10(room))
    step = next(power * each for each in (0.2, 0.5, 1, 2) if room / (power * each) <= 5)
    first = math.floor(low / step) * step
    return step, first, max(math.ceil(high / step) * step, first + step)
