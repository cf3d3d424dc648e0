"""The report of an evaluation by period, as Markdown and as a picture: a score that grows with the season."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from tessera_engine.analysis.maps.by_period import PeriodEvaluation
from tessera_engine.analysis.maps.report import METHOD_TITLES, PERCENT, TITLES, score_text, ticks
from tessera_engine.errors import MissingExtra
from tessera_engine.pictures.colours import PALETTE
from tessera_engine.pictures.ink import Ink

FONT, MARGIN, LINE, WIDTH, HEIGHT, AXIS, DOT = 15, 20, 26, 640, 320, 46, 4

SHOWN_CLASSES = 8
"""Classes that the table has columns for, those with most labels."""


def period_markdown(evaluation: PeriodEvaluation) -> str:
    """The report as Markdown: what was measured, and one table for each method with a line for each period."""
    facts, main = evaluation.facts, evaluation.main
    about = (
        f"Model {facts['model'] or 'unknown'}, {facts['labelled_pixels']:,} labelled pixels of {facts['labels']}, the "
        f"same in all periods. Each score is measured on blocks that were held out: {facts['folds']} folds over "
        f"{facts['blocks']} blocks of {facts['block_metres']:g} m. In brackets: {facts['interval']}."
    )
    lines = [f"# How early {facts['embeddings']} predicts {facts['field'] or facts['labels']}", "", about]
    if "classes" in facts:
        counts = ", ".join(f"{name} {count}" for name, count in facts["classes"].items())
        lines += ["", f"Labelled pixels by class: {counts}."]
    lines += [f"Note: {note}." for note in evaluation.notes]
    classes = sorted(facts.get("classes", {}), key=lambda name: -facts["classes"][name])[:SHOWN_CLASSES]
    for method, rows in evaluation.methods.items():
        names = list(rows[0].scores)
        titles = ["until", *(TITLES[name] for name in names), f"{TITLES[main]} minus the last"]
        titles += [f"found of {name}" for name in classes]
        lines += ["", f"## {METHOD_TITLES[method]}, from {rows[0].start}", "", f"| {' | '.join(titles)} |"]
        lines.append("|---" * len(titles) + "|")
        for row in rows:
            cells = [row.until, *(score_text(row.scores[name], name) for name in names)]
            cells.append("" if row is rows[-1] else score_text(row.difference, main, "+"))
            cells += [f"{100 * row.recall[name]:.0f} %" for name in classes]
            lines.append(f"| {' | '.join(cells)} |")
        first = evaluation.earliest(method)
        lines += [
            "",
            f"From {first.until} on, the {TITLES[main]} is not lower than at the end, beyond chance.",
        ]
    return "\n".join(lines) + "\n"


def draw_periods(evaluation: PeriodEvaluation, path: Path) -> None:
    """Write a PNG: the main score over the last days of the periods, a line for each method, with its intervals.

    Args:
        evaluation: the scores.
        path: of the PNG.

    Raises:
        MissingExtra: Pillow isn't installed.
    """
    try:
        from PIL import Image, ImageDraw
    except ModuleNotFoundError:
        raise MissingExtra("pillow", "maps", "evaluate") from None

    main, methods = evaluation.main, evaluation.methods
    scores = [row.scores[main] for row in evaluation.rows]
    step, low, high = ticks(min(each.low for each in scores), max(each.high for each in scores))
    days = [date.fromisoformat(row.until).toordinal() for row in next(iter(methods.values()))]
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
    image.save(path)
