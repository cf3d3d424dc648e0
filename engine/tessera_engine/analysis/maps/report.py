"""The report of an evaluation, as Markdown and as a picture."""

from __future__ import annotations

from pathlib import Path

from tessera_engine.analysis.maps.evaluation import Evaluation
from tessera_engine.analysis.maps.intervals import Interval
from tessera_engine.analysis.maps.learners.registry import LEARNERS
from tessera_engine.errors import MissingExtra
from tessera_engine.pictures.colours import PALETTE
from tessera_engine.pictures.ink import Ink

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "r2": "R2",
    "rmse": "RMSE",
}

METHOD_TITLES = {name: learner.title for name, learner in LEARNERS.items()}

PERCENT = ("accuracy", "balanced_accuracy", "macro_f1")
"""Scores that are shown in percent."""

FONT, MARGIN, LINE, ACROSS, NAMES, DOT = 15, 20, 26, 330, 150, 4


def markdown(evaluation: Evaluation) -> str:
    """The report as Markdown: what was measured, and one table for each method."""
    facts, main = evaluation.facts, evaluation.main
    about = (
        f"Model {facts['model'] or 'unknown'}, {facts['labelled_pixels']:,} labelled pixels of {facts['labels']}. Each "
        f"score is measured on blocks that were held out: {facts['folds']} folds over {facts['blocks']} blocks "
        f"of {facts['block_metres']:g} m. In brackets: {facts['interval']}. Bytes: codes and scales, before the "
        "compression of the file; km2 with 10 m pixels."
    )
    lines = [
        f"# How well {facts['embeddings']} predicts {facts['field'] or facts['labels']}",
        "",
        about,
    ]
    if "classes" in facts:
        counts = ", ".join(f"{name} {count}" for name, count in facts["classes"].items())
        lines += ["", f"Labelled pixels by class: {counts}."]
    lines += [f"Note: {note}." for note in evaluation.notes]
    rows = evaluation.rows
    for method in dict.fromkeys(row.method for row in rows):
        here = [row for row in rows if row.method == method]
        names = list(here[0].scores)
        titles = [
            "form",
            "bytes per pixel",
            "km2 per GB",
            *(TITLES[name] for name in names),
            f"{TITLES[main]} minus the first",
        ]
        lines += [
            "",
            f"## {METHOD_TITLES[method]}",
            "",
            f"| {' | '.join(titles)} |",
            "|---" * len(titles) + "|",
        ]
        for i, row in enumerate(here):
            cells = [str(row.form), str(row.form.bytes_per_pixel), f"{row.form.km2_per_gb:,.0f}"]
            cells += [score_text(row.scores[name], name) for name in names]
            cells.append(score_text(row.difference, main, "+") if i else "")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def score_text(score: Interval, name: str, sign: str = "") -> str:
    """A score with its interval, in percent where that is usual."""
    if name in PERCENT:
        value, low, high = (f"{100 * each:{sign}.1f}" for each in (score.value, score.low, score.high))
    else:
        value, low, high = (f"{each:{sign}.3g}" for each in (score.value, score.low, score.high))
    return f"{value} ({low} to {high})"


def draw(evaluation: Evaluation, path: Path) -> None:
    """Write a PNG: the main score of each form with its interval, in one panel for each method.

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
            colour = PALETTE[(4, 5)[kinds.index(form.stored_as)]]
            pen.line((across(score.low), y, across(score.high), y), colour, 2)
            x = across(score.value)
            pen.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), colour)
    for i, line in enumerate(caption):
        ink.draw(pen, (MARGIN, bottom + LINE * (i + 1) + 8), line)
    image.save(path)


def ticks(low: float, high: float) -> tuple[float, float, float]:
    """The step between ticks, the first tick and the last: a few round numbers around the values."""
    import math

    room = max(high - low, 1e-3)
    power = 10 ** math.floor(math.log10(room))
    step = next(power * each for each in (0.2, 0.5, 1, 2) if room / (power * each) <= 5)
    first = math.floor(low / step) * step
    return step, first, max(math.ceil(high / step) * step, first + step)
