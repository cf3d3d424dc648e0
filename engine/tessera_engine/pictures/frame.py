"""Draw the frame of a picture: a legend beside it, and a scale, north and a caption below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.errors import TesseraError
from tessera_engine.pictures.compass import Compass, compass
from tessera_engine.pictures.ink import GREY, INK, PAPER, Ink
from tessera_engine.pictures.legend import Legend
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


def thinned(grid: Grid) -> tuple[int, Grid]:
    """The step between the rows and columns of a grid that are shown, and the grid of those pixels."""
    step = -(-max(grid.width, grid.height) // LARGEST_SIDE)
    size = (-(-grid.width // step), -(-grid.height // step))
    return step, Grid(*size, grid.crs, grid.transform @ Affine.scale(step))


def write_framed(
    path: Path,
    picture: Iterable[NDArray[np.uint8]],
    grid: Grid,
    caption: Sequence[str],
    legend: Legend | None = None,
) -> Grid:
    """Write a picture in its frame as PNG. In memory are the whole PNG's pixels, and a strip of the picture.

    Args:
        path: of the PNG.
        picture: strips from top to bottom, (rows, width, 4) RGBA or RGB, which together are the grid's pixels; small
            pictures are enlarged by a whole factor.
        grid: of the picture's pixels; without a CRS the frame has no scale and no north.
        caption: lines below it, the first as its title; empty lines are left out.
        legend: of the colours, to the right of the picture.

    Returns:
        The grid of the whole PNG, with the frame.

    Raises:
        TesseraError: it couldn't be written; nothing of it is left.
    """
    from PIL import Image, ImageDraw

    factor = max(1, -(-SMALLEST_SIDE // max(grid.width, grid.height)))
    shown_width, shown_height = grid.width * factor, grid.height * factor
    letter = max(SMALLEST_LETTER, max(shown_width, shown_height) // LETTERS_PER_SIDE)
    texts = [text for text in (*caption, legend.note if legend is not None else "") if text]
    ink = Ink(letter)
    beside, high = legend.size(ink) if legend is not None else (0, 0)
    across = max(shown_width, LEAST_WIDTH * letter)
    width = max(shown_width + beside, across)
    lines = [
        (line, INK if i == 0 else GREY) for i, text in enumerate(texts) for line in ink.wrap(text, width)
    ]
    here = compass(grid)
    top = shown_height + 2 * letter
    below = (2 * letter if here is not None else 0) + len(lines) * ink.line + letter // 2
    height = max(top, high + 2 * letter) + below
    canvas = Image.new("RGBA", (width + 2 * letter, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    edge = (letter - 1, letter - 1, letter + shown_width, letter + shown_height)
    draw.rectangle(edge, outline=GREY)
    y = letter
    for strip in picture:
        part = Image.fromarray(np.ascontiguousarray(strip))
        if factor > 1:  # otherwise it would be a copy
            part = part.resize((shown_width, part.height * factor), Image.Resampling.NEAREST)
        canvas.paste(part, (letter, y))
        y += part.height
    if legend is not None:
        legend.draw(draw, ink, (shown_width + 2 * letter, letter))
    y = height - below
    if here is not None:
        _draw_scale(draw, ink, (letter, y), here.metres / factor, across)
        _draw_north(canvas, ink, (letter + across, y), here)
        y += 2 * letter
    for text, colour in lines:
        ink.draw(draw, (letter, y), text, colour)
        y += ink.line
    _save(path, canvas)
    moved = grid.transform @ Affine.scale(1 / factor) @ Affine.translation(-letter, -letter)
    return Grid(canvas.width, canvas.height, grid.crs, moved)


def round_metres(longest: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is at most `longest`."""
    power = 10.0 ** np.floor(np.log10(longest))
    # 0.5 too: the logarithm of a number just below a power of ten may be rounded up
    return float(max(step * power for step in (0.5, 1, 2, 5) if step * power <= longest))


def _draw_scale(
    draw: ImageDraw, ink: Ink, corner: tuple[int, int], metres_a_pixel: float, width: int
) -> None:
    """Draw a bar of about a quarter of the width, half black and half white, with its length to the right."""
    metres = round_metres(width / 3 * metres_a_pixel)
    x, y = corner
    end, high = x + metres / metres_a_pixel, max(4, ink.letter // 3)
    y += (ink.letter - high) // 2
    draw.rectangle((x, y, end, y + high), PAPER, INK)
    draw.rectangle((x, y, (x + end) / 2, y + high), INK)
    text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    ink.draw(draw, (end + ink.letter // 2, corner[1]), text)


def _draw_north(canvas: Image, ink: Ink, corner: tuple[int, int], here: Compass) -> None:
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
    ink.draw(ImageDraw.Draw(canvas), (at, y), "N")


def _save(path: Path, canvas: Image) -> None:
    try:
        canvas.save(path, "PNG")
    except OSError as error:
        path.unlink(missing_ok=True)
        raise TesseraError(
            f"can't write {path}: {error.strerror or error}; free some disk space and give the same command again"
        ) from None
