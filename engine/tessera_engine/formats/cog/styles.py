"""How QGIS shows a GeoTIFF by itself: a style beside it, and an attribute table with the names of classes.

QGIS takes `<name>.qml` as the style of `<name>.tif`. GDAL, and so QGIS too, takes the attribute table from
`<name>.tif.aux.xml`: its fields and their usages are those of GDAL's `GDALRasterAttributeTable`.

Neither is an asset of an item: QGIS and GDAL write into both, when someone saves a style or looks at statistics, and an
output has not changed by that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from tessera_engine.errors import plain

Colour = tuple[int, int, int]

QGIS = "3.22"
"""The version whose form the styles have; newer ones read it."""

INTEGER, TEXT = "0", "2"
PIXEL_COUNT, NAME, LEAST, VALUE, RED, GREEN, BLUE = "1", "2", "3", "5", "6", "7", "8"
"""Types and usages of fields, by their numbers in GDAL."""

DECIMALS = 4
"""Significant digits of numbers in a legend."""


def beside(raster: str) -> set[str]:
    """Names of the files beside a GeoTIFF that QGIS and GDAL read, and write: its style and what GDAL knows of it.

    Args:
        raster: name of the GeoTIFF, which ends with .tif.
    """
    return {f"{raster.removesuffix('.tif')}.qml", f"{raster}.aux.xml"}


class StyledClass(NamedTuple):
    """A class of a map.

    Attributes:
        name: for people.
        colour: RGB.
        pixels: how many there are.
    """

    name: str
    colour: Colour
    pixels: int


def style_classes(raster: Path, classes: Mapping[int, StyledClass]) -> None:
    """Write names and colours of a map's classes beside it.

    Args:
        raster: the GeoTIFF.
        classes: by pixel value.
    """
    root, renderer = _style("paletted", {"band": "1"})
    palette = SubElement(renderer, "colorPalette")
    for value, each in classes.items():
        name = plain(each.name)
        SubElement(
            palette,
            "paletteEntry",
            value=str(value),
            color=_hexadecimal(each.colour),
            label=name,
            alpha="255",
        )
    _save(raster.with_suffix(".qml"), root)
    _save(raster.with_name(f"{raster.name}.aux.xml"), _table(classes))


def style_numbers(raster: Path, colours: Sequence[Colour], low: float, high: float) -> None:
    """Write colours from a low to a high number beside a map of numbers.

    Args:
        raster: the GeoTIFF.
        colours: from low to high, at equal distances.
        low: the number of the first colour, and of all below.
        high: the number of the last colour, and of all above.
    """
    high = high if high > low else low + 1
    ends = {"classificationMin": _number(low), "classificationMax": _number(high)}
    root, renderer = _style("singlebandpseudocolor", {"band": "1", **ends})
    shader = SubElement(
        SubElement(renderer, "rastershader"),
        "colorrampshader",
        colorRampType="INTERPOLATED",
        classificationMode="1",
        clip="0",
        minimumValue=_number(low),
        maximumValue=_number(high),
    )
    for place, colour in enumerate(colours):
        value = low + (high - low) * place / (len(colours) - 1)
        label = f"{value:.{DECIMALS}g}"
        SubElement(shader, "item", value=_number(value), color=_hexadecimal(colour), label=label, alpha="255")
    _save(raster.with_suffix(".qml"), root)


def style_bands(raster: Path, limits: Sequence[tuple[float, float]]) -> None:
    """Write a style that shows the first three bands as red, green and blue.

    Args:
        raster: the GeoTIFF, with three bands or more.
        limits: of each of the three, the values of no and of full brightness.
    """
    names = ("red", "green", "blue")
    root, renderer = _style(
        "multibandcolor", {f"{name}Band": str(band) for band, name in enumerate(names, 1)}
    )
    for name, (low, high) in zip(names, limits, strict=True):
        enhancement = SubElement(renderer, f"{name}ContrastEnhancement")
        for tag, text in (
            ("minValue", _number(low)),
            ("maxValue", _number(high)),
            ("algorithm", "StretchToMinimumMaximum"),
        ):
            SubElement(enhancement, tag).text = text
    _save(raster.with_suffix(".qml"), root)


def _style(kind: str, fields: Mapping[str, str]) -> tuple[Element, Element]:
    """A style, and its renderer, which isn't complete yet."""
    root = Element("qgis", version=QGIS, styleCategories="Symbology", hasScaleBasedVisibilityFlag="0")
    pipe = SubElement(root, "pipe")
    renderer = SubElement(pipe, "rasterrenderer", {"type": kind, "opacity": "1", "alphaBand": "-1", **fields})
    SubElement(renderer, "rasterTransparency")
    # The limits are those of the style. Otherwise QGIS takes its own from the part of the map that it shows
    SubElement(SubElement(renderer, "minMaxOrigin"), "limits").text = "None"
    SubElement(
        pipe,
        "rasterresampler",
        zoomedInResampler="nearest",
        zoomedOutResampler="nearest",
        maxOversampling="2",
    )
    return root, renderer


def _table(classes: Mapping[int, StyledClass]) -> Element:
    root = Element("PAMDataset")
    table = SubElement(
        SubElement(root, "PAMRasterBand", band="1"), "GDALRasterAttributeTable", tableType="thematic"
    )
    fields = (
        ("Value", INTEGER, VALUE),
        ("Class", TEXT, NAME),
        ("Count", INTEGER, PIXEL_COUNT),
        ("Red", INTEGER, RED),
        ("Green", INTEGER, GREEN),
        ("Blue", INTEGER, BLUE),
    )
    for index, (name, kind, usage) in enumerate(fields):
        field = SubElement(table, "FieldDefn", index=str(index))
        for tag, text in (("Name", name), ("Type", kind), ("Usage", usage)):
            SubElement(field, tag).text = text
    for index, (value, each) in enumerate(classes.items()):
        row = SubElement(table, "Row", index=str(index))
        # GDAL's integers have 32 bits
        cells = (value, plain(each.name), min(each.pixels, 2**31 - 1), *each.colour)
        for cell in cells:
            SubElement(row, "F").text = str(cell)
    return root


def _save(path: Path, root: Element) -> None:
    indent(root)
    # GDAL takes an XML declaration for the whole of the file
    ElementTree(root).write(path, encoding="UTF-8", xml_declaration=False)


def _hexadecimal(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _number(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else "0"
