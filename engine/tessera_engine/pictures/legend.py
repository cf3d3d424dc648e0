"""What stands beside a picture: the colours of classes, or a bar of the colours of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from tessera_engine.pictures.colours import Colour, ramp
from tessera_engine.pictures.ink import GREY, INK, Ink, can_draw

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

MOST_LINES = 40
"""Most lines of a legend; the others are only counted."""

LONGEST_NAME = 40
"""Letters of a name; a longer one is cut."""

BAR_LINES = 12
"""Height of a bar, in lines of text."""

TICKS = 5


class Legend(Protocol):
    """Draws itself in text of one size."""

    def size(self, ink: Ink) -> tuple[int, int]:
        """Width and height in pixels."""
        ...

    def draw(self, draw: ImageDraw, ink: Ink, corner: tuple[int, int]) -> None:
        """Draw it, from the corner to the right and down."""
        ...

    @property
    def note(self) -> str:
        """A line for the caption; empty where there is nothing to say."""
        ...


class Swatch(NamedTuple):
    """A class of a legend.

    Attributes:
        name: of the class, in any script.
        colour: RGB.
        code: stands for the name where no installed font can draw it; empty where there is none.
    """

    name: str
    colour: Colour
    code: str = ""


class Swatches:
    """A colour and a name on each line."""

    def __init__(self, swatches: Sequence[Swatch]) -> None:
        self._count = len(swatches)
        shown = swatches[:MOST_LINES]
        coded = [bool(each.code) and not can_draw(each.name) for each in shown]
        self._coded = sum(coded)
        self._lines = [
            (each.code if is_coded else _short(each.name), each.colour)
            for each, is_coded in zip(shown, coded, strict=True)
        ]

    @property
    def note(self) -> str:
        """A line for the caption; empty where there is nothing to say."""
        if not self._coded:
            return ""
        return f"{self._coded} classes are shown by their codes in legend.csv: no installed font has their letters"

    def size(self, ink: Ink) -> tuple[int, int]:
        """Width and height in pixels."""
        lines = len(self._lines) + (self._count > MOST_LINES)
        return int(max(ink.length(name) for name, _ in self._lines)) + 3 * ink.letter, lines * ink.line

    def draw(self, draw: ImageDraw, ink: Ink, corner: tuple[int, int]) -> None:
        """Draw it, from the corner to the right and down."""
        x, y = corner
        for name, colour in self._lines:
            draw.rectangle((x, y, x + ink.letter, y + ink.letter), colour, GREY)
            ink.draw(draw, (x + 1.5 * ink.letter, y), name)
            y += ink.line
        if self._count > MOST_LINES:
            ink.draw(draw, (x, y), f"and {self._count - MOST_LINES} more", GREY)


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


class Bar:
    """A continuous bar of the colours of numbers, with its unit above and round numbers beside it.

    Attributes:
        low: the number with the first colour; smaller ones have it too.
        high: the number with the last colour; larger ones have it too.
        unit: what is shown, for people.
    """

    note = ""

    def __init__(self, low: float, high: float, unit: str) -> None:
        self.low, self.high, self.unit = low, high, unit

    def ticks(self) -> list[tuple[float, str]]:
        """Round numbers between low and high, and how they are written."""
        span = self.high - self.low
        if span <= 0:
            return [(self.low, f"{self.low:.4g}")]
        power = 10.0 ** np.floor(np.log10(span / TICKS))
        step = next(each * power for each in (1, 2, 5, 10) if span / (each * power) <= TICKS)
        first = np.ceil(self.low / step - 1e-9)
        numbers = [float(first + i) * step for i in range(int(np.floor(self.high / step + 1e-9) - first) + 1)]
        decimals = max(0, -int(np.floor(np.log10(step) + 1e-9)))
        return [(number, f"{number + 0.0:.{decimals}f}") for number in numbers]

    def size(self, ink: Ink) -> tuple[int, int]:
        """Width and height in pixels."""
        longest = max(ink.length(text) for _, text in self.ticks())
        lines = len(self._unit_lines(ink))
        return int(max(longest, 6 * ink.letter)) + 3 * ink.letter, (BAR_LINES + lines + 1) * ink.line

    def draw(self, draw: ImageDraw, ink: Ink, corner: tuple[int, int]) -> None:
        """Draw it, from the corner to the right and down."""
        x, y = corner
        for line in self._unit_lines(ink):
            ink.draw(draw, (x, y), line)
            y += ink.line
        y += ink.line // 2
        height = BAR_LINES * ink.line
        colours = ramp(np.linspace(self.high, self.low, height), self.low, self.high)
        for row, colour in enumerate(colours.tolist()):
            draw.line((x, y + row, x + 1.5 * ink.letter, y + row), (*colour, 255))
        draw.rectangle((x, y, x + 1.5 * ink.letter, y + height), None, GREY)
        span = self.high - self.low
        for number, text in self.ticks():
            place = y + height * ((self.high - number) / span if span > 0 else 0.5)
            draw.line((x + 1.5 * ink.letter, place, x + 1.9 * ink.letter, place), INK)
            ink.draw(draw, (x + 2.2 * ink.letter, place), text, anchor="lm")

    def _unit_lines(self, ink: Ink) -> list[str]:
        return ink.wrap(self.unit, 8 * ink.letter)
