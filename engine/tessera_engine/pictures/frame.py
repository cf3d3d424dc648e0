"""Draw the frame of a picture: a legend beside it, and a scale, north and a caption below it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.errors import TesseraError
from tessera_engine.pictures.colours import Colour
from tessera_engine.pictures.compass import Compass, compass
from tessera_engine.scene import Grid

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

LARGEST_SIDE, SMALLEST_SIDE = 2048, 512
"""Pixels of a picture's longer side, without its frame. Smaller pictures have no room for a caption."""

LETTERS_PER_SIDE, SMALLEST_LETTER = 64, 15
"""The height of a letter: the longer side divided by this, at least so many pixels. Large pictures are seen from
further away."""

LEAST_WIDTH = 30
"""Minimum width for text below narrow pictures, in letters."""

MOST_LINES = 40
"""Most lines of a legend; the others are only counted."""

INK, GREY, PAPER = (20, 20, 20, 255), (105, 105, 105, 255), (255, 255, 255, 255)

FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf")
"""System fonts, for letters that Pillow's own font lacks."""


def thinned(grid: Grid) -> tuple[int, Grid]:
    """The step between the rows and columns of a grid that are shown, and the grid of those pixels."""
    step = -(-max(grid.width, grid.height) // LARGEST_SIDE)
    size = (-(-grid.width // step), -(-grid.height // step))
    return step, Grid(*size, grid.crs, grid.transform @ Affine.scale(step))


def write_framed(
    path: Path,
    picture: NDArray[np.uint8],
    grid: Grid,
    caption: Sequence[str],
    legend: Mapping[str, Colour] | None = None,
) -> Grid:
    """Write a picture in its frame as PNG.

    Args:
        path: of the PNG.
        picture: (height, width, 4) RGBA, or RGB; small ones are enlarged by a whole factor.
        grid: of the picture's pixels; without a CRS the frame has no scale and no north.
        caption: lines below it, the first as its title; empty lines are left out.
        legend: names and their colours, one line each.

    Returns:
        The grid of the whole PNG, with the frame.

    Raises:
        TesseraError: it couldn't be written; nothing of it is left.
    """
    from PIL import Image, ImageDraw

    factor = max(1, -(-SMALLEST_SIDE // max(picture.shape[:2])))
    shown = Image.fromarray(np.ascontiguousarray(picture))
    if factor > 1:  # otherwise it would be a copy
        shown = shown.resize((shown.width * factor, shown.height * factor), Image.Resampling.NEAREST)
    letter = max(SMALLEST_LETTER, max(shown.size) // LETTERS_PER_SIDE)
    texts = [text for text in caption if text]
    ink = _Ink([*texts, *(legend or {})], letter)
    beside = ink.legend_width(legend) if legend else 0
    across = max(shown.width, LEAST_WIDTH * letter)
    width = max(shown.width + beside, across)
    lines = [
        (line, INK if i == 0 else GREY) for i, text in enumerate(texts) for line in ink.wrap(text, width)
    ]
    here = compass(grid)
    top = shown.height + 2 * letter
    below = (2 * letter if here is not None else 0) + len(lines) * ink.line + letter // 2
    height = max(top, ink.legend_height(legend) + letter if legend else 0) + below
    canvas = Image.new("RGBA", (width + 2 * letter, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    edge = (letter - 1, letter - 1, letter + shown.width, letter + shown.height)
    draw.rectangle(edge, outline=GREY)
    canvas.paste(shown, (letter, letter))
    if legend:
        ink.draw_legend(draw, legend, (shown.width + 2 * letter, letter))
    y = height - below
    if here is not None:
        _draw_scale(draw, ink, (letter, y), here.metres / factor, across)
        _draw_north(canvas, ink, (letter + across, y), here)
        y += 2 * letter
    for text, colour in lines:
        draw.text((letter, y), text, colour, ink.font)
        y += ink.line
    _save(path, canvas)
    moved = grid.transform @ Affine.scale(1 / factor) @ Affine.translation(-letter, -letter)
    return Grid(canvas.width, canvas.height, grid.crs, moved)


class _Ink:
    """Measures and draws text of one size.

    Attributes:
        font: has all letters of the texts, if an installed font does.
        letter: height of a letter.
        line: distance from one line to the next.
    """

    def __init__(self, texts: Sequence[str], letter: int) -> None:
        from PIL import ImageFont

        self.letter, self.line = letter, round(1.5 * letter)
        self.font: Any = ImageFont.load_default(letter)
        self._plain = True
        if not all(text.isascii() for text in texts):
            for name in FONTS:
                try:
                    self.font, self._plain = ImageFont.truetype(name, letter), False
                    break
                except OSError:
                    continue

    def _readable(self, text: str) -> str:
        """The text without letters that Pillow's own font would draw as boxes."""
        text = " ".join(text.split())
        if not self._plain or text.isascii():
            return text
        apart = unicodedata.normalize("NFKD", text)
        return "".join(c if c.isascii() else "?" for c in apart if not unicodedata.combining(c))

    def length(self, text: str) -> float:
        """Pixels."""
        return float(self.font.getlength(text))

    def wrap(self, text: str, width: int) -> list[str]:
        """Break a text into lines of at most `width` pixels; a word that is longer is cut."""
        lines = [""]
        for word in self._readable(text).split(" "):
            while self.length(word) > width:
                word = word[: -(len(word) // 20 + 2)] + "…"
            longer = f"{lines[-1]} {word}".strip()
            if self.length(longer) > width:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines

    def legend_width(self, legend: Mapping[str, Colour]) -> int:
        """Pixels, from the picture on."""
        return int(max(self.length(self._readable(name)) for name in legend)) + 3 * self.letter

    def legend_height(self, legend: Mapping[str, Colour]) -> int:
        """Pixels."""
        return (min(len(legend), MOST_LINES) + (len(legend) > MOST_LINES)) * self.line + self.letter

    def draw_legend(self, draw: ImageDraw, legend: Mapping[str, Colour], corner: tuple[int, int]) -> None:
        """Draw a colour and a name on each line, from the corner down."""
        x, y = corner
        for name, colour in list(legend.items())[:MOST_LINES]:
            draw.rectangle((x, y, x + self.letter, y + self.letter), colour, GREY)
            draw.text((x + 1.5 * self.letter, y), self._readable(name), INK, self.font)
            y += self.line
        if len(legend) > MOST_LINES:
            draw.text((x, y), f"and {len(legend) - MOST_LINES} more", GREY, self.font)


def round_metres(longest: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is at most `longest`."""
    power = 10.0 ** np.floor(np.log10(longest))
    # 0.5 too: the logarithm of a number just below a power of ten may be rounded up
    return float(max(step * power for step in (0.5, 1, 2, 5) if step * power <= longest))


def _draw_scale(
    draw: ImageDraw, ink: _Ink, corner: tuple[int, int], metres_a_pixel: float, width: int
) -> None:
    """Draw a bar of about a quarter of the width, half black and half white, with its length to the right."""
    metres = round_metres(width / 3 * metres_a_pixel)
    x, y = corner
    end, high = x + metres / metres_a_pixel, max(4, ink.letter // 3)
    y += (ink.letter - high) // 2
    draw.rectangle((x, y, end, y + high), PAPER, INK)
    draw.rectangle((x, y, (x + end) / 2, y + high), INK)
    text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    draw.text((end + ink.letter // 2, corner[1]), text, INK, ink.font)


def _draw_north(canvas: Image, ink: _Ink, corner: tuple[int, int], here: Compass) -> None:
    """Draw an arrow with an N to its left, below and to the left of the corner."""
    from PIL import Image, ImageDraw

    finer, size = 8, round(1.5 * ink.letter)
    mask = Image.new("L", (size * finer, size * finer))
    across, down = here.north
    shape = ((0, -0.95), (0.6, 0.85), (0, 0.45), (-0.6, 0.85))
    turned = [(-down * x - across * y, across * x - down * y) for x, y in shape]
    half = size * finer / 2
    ImageDraw.Draw(mask).polygon([(half + half * x, half + half * y) for x, y in turned], 255)
    mask = mask.resize((size, size), Image.Resampling.LANCZOS)
    x, y = corner
    canvas.paste(Image.new("RGBA", mask.size, INK), (x - size, y - (size - ink.letter) // 2), mask)
    at = x - size - ink.length("N") - ink.letter // 3
    ImageDraw.Draw(canvas).text((at, y), "N", INK, ink.font)


def _save(path: Path, canvas: Image) -> None:
    try:
        canvas.save(path, "PNG")
    except OSError as error:
        path.unlink(missing_ok=True)
        raise TesseraError(
            f"can't write {path}: {error.strerror or error}; free some disk space and give the same command again"
        ) from None
