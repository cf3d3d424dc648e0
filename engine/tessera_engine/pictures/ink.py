"""Text of one size in a picture: measured, broken into lines, and drawn in letters of any script."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from tessera_engine.pictures.fonts import font_for

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

INK, GREY, PAPER = (20, 20, 20, 255), (105, 105, 105, 255), (255, 255, 255, 255)


class Ink:
    """Measures and draws text of one size.

    Attributes:
        letter: height of a letter, in pixels.
        line: distance from one line to the next, in pixels.
    """

    def __init__(self, letter: int) -> None:
        self.letter, self.line = letter, round(1.5 * letter)

    def length(self, text: str) -> float:
        """Pixels."""
        shown, font = self._drawable(text)
        return float(font.getlength(shown))

    def draw(
        self, draw: ImageDraw, at: tuple[float, float], text: str, colour: Any = INK, anchor: str = "la"
    ) -> None:
        """Draw a text in one line; `anchor` is Pillow's."""
        shown, font = self._drawable(text)
        draw.text(at, shown, colour, font, anchor=anchor)

    def wrap(self, text: str, width: float) -> list[str]:
        """Break a text into lines of at most `width` pixels; a word that is longer is cut."""
        lines = [""]
        for word in text.split():
            while self.length(word) > width:
                word = word[: -(len(word) // 20 + 2)] + "…"
            longer = f"{lines[-1]} {word}".strip()
            if self.length(longer) > width:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines

    def _drawable(self, text: str) -> tuple[str, Any]:
        """The text without what no installed font can draw, and the font for it."""
        text = " ".join(text.split())
        font = font_for(text, self.letter)
        if font is not None:
            return text, font
        apart = unicodedata.normalize("NFKD", text)
        plain = "".join(c if c.isascii() else "?" for c in apart if not unicodedata.combining(c))
        return plain, font_for(plain, self.letter)


def can_draw(text: str) -> bool:
    """Whether an installed font has all letters of a text."""
    return font_for(text, 16) is not None
