"""The picture of a map, with its legend."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import MissingExtra

Colour = tuple[int, int, int]

# Far apart from each other, also for most colour-blind eyes for the first eight (Okabe and Ito)
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (90, 90, 90),
)

# Viridis at 0, 1/4, 1/2, 3/4 and 1
RAMP: tuple[Colour, ...] = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))

LONGEST_SIDE, SHORTEST_SIDE = 1200, 512
"""Pixels of the picture's longer side, without its legend."""

MARGIN, LINE, SWATCH, FONT = 16, 26, 18, 16
MOST_LINES = 40


def class_colour(i: int) -> Colour:
    """The colour of the i-th class, from 0."""
    if i < len(PALETTE):
        return PALETTE[i]
    # The golden ratio spreads hues evenly, however many there are
    red, green, blue = colorsys.hsv_to_rgb(i * 0.618033988749895 % 1, 0.65, 0.95 - 0.3 * (i % 2))
    return round(red * 255), round(green * 255), round(blue * 255)


def ramp(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Colours (..., 3) of numbers."""
    places = np.linspace(low, high if high > low else low + 1, len(RAMP))
    bands = [np.interp(values, places, [colour[band] for colour in RAMP]) for band in range(3)]
    colours: NDArray[np.uint8] = np.rint(np.stack(bands, axis=-1)).astype(np.uint8)
    return colours


def thinning(shape: tuple[int, ...]) -> slice:
    """Which rows and which columns of a map its picture shows: no more need be coloured."""
    return slice(None, None, -(-max(shape[:2]) // LONGEST_SIDE))


def write_picture(
    path: Path,
    picture: NDArray[np.uint8],
    legend: Mapping[str, Colour],
    title: str,
    pixel_metres: float | None,
) -> None:
    """Write a PNG: the map, a scale bar, and to its right the title and the legend.

    Args:
        path: of the PNG.
        picture: (height, width, 3), thinned by `thinning`; a small one is enlarged by whole pixels.
        legend: a colour each line.
        title: of the legend.
        pixel_metres: side of a pixel; None: no scale bar.

    Raises:
        MissingExtra: Pillow isn't installed.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ModuleNotFoundError:
        raise MissingExtra("pillow", "maps", "map") from None

    factor = max(1, -(-SHORTEST_SIDE // max(picture.shape[:2])))
    picture = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = picture.shape[:2]
    font = ImageFont.load_default(FONT)
    lines = list(legend.items())[:MOST_LINES]
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    beside = max(
        measure.textlength(title, font),
        *(SWATCH + 8 + measure.textlength(name, font) for name, _ in lines),
        120,
    )
    size = (width + 3 * MARGIN + int(beside), max(height + 2 * MARGIN, (len(lines) + 4) * LINE + 2 * MARGIN))
    image = Image.new("RGB", size, "white")
    image.paste(Image.fromarray(picture), (MARGIN, MARGIN))
    draw = ImageDraw.Draw(image)
    x, y = width + 2 * MARGIN, MARGIN
    draw.text((x, y), title, "black", font)
    for name, colour in lines:
        y += LINE
        draw.rectangle((x, y, x + SWATCH, y + SWATCH), colour, "black")
        draw.text((x + SWATCH + 8, y), name, "black", font)
    if len(legend) > len(lines):
        draw.text((x, y + LINE), f"and {len(legend) - len(lines)} more", "black", font)
    if pixel_metres is not None:
        _scale_bar(draw, font, (x, size[1] - MARGIN), factor / pixel_metres, min(beside, width))
    image.save(path)


def _scale_bar(draw: Any, font: Any, corner: tuple[int, int], pixels_per_metre: float, room: float) -> None:
    """The longest bar of 1, 2 or 5 times a power of ten metres that fits, on its lower left corner."""
    longest = room / pixels_per_metre
    power = 10 ** int(np.floor(np.log10(longest)))
    metres = max(step * power for step in (1, 2, 5) if step * power <= longest)
    x, y = corner
    draw.rectangle((x, y - 6, x + metres * pixels_per_metre, y), "black")
    text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    draw.text((x, y - 6 - LINE), text, "black", font)
