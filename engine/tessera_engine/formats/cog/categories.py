"""Names of classes that GDAL and QGIS keep beside a raster, in `<name>.tif.aux.xml`.

GDAL itself isn't asked: such a file can name other files, and replace what a raster says of itself. Only the names are
taken, from either of GDAL's two forms: a list of category names, and an attribute table (`GDALRasterAttributeTable`).
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from tessera_engine.files.inside import inside
from tessera_engine.formats.cog.styles import LEAST, NAME, VALUE

MOST_BYTES = 4_000_000
"""Of a file that is read: a table of 254 classes takes some 50 kB."""


class _NoDoctype(TreeBuilder):
    """Refuses a document type, which declares entities: a file of some kB could grow without limit."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        """Called by the parser at a document type."""
        raise ValueError("has a document type")


def class_names_beside(raster: Path) -> dict[int, str]:
    """The names of a raster's first band by pixel value; empty where there are none that can be read.

    Args:
        raster: its file.
    """
    beside = raster.with_name(f"{raster.name}.aux.xml")
    # No link to another folder than the raster's, and nothing that waits for a writer
    if not beside.is_file() or not any(
        inside(place, beside) for place in (raster.parent, raster.resolve().parent)
    ):
        return {}
    try:
        with beside.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        parser = XMLParser(target=_NoDoctype())
        parser.feed(content[:MOST_BYTES])
        root: Element = parser.close()
    except (OSError, ParseError, ValueError, LookupError):
        return {}
    band = root.find("PAMRasterBand[@band='1']")
    return {} if band is None else _listed(band) | _tabled(band)


def _listed(band: Element) -> dict[int, str]:
    """Category names: the first is that of the value 0."""
    names = ((each.text or "").strip() for each in band.iterfind("CategoryNames/Category"))
    return {value: name for value, name in enumerate(names) if name}


def _tabled(band: Element) -> dict[int, str]:
    """Names in an attribute table, whose fields have usages."""
    table = band.find("GDALRasterAttributeTable")
    if table is None:
        return {}
    usages = [field.findtext("Usage", "").strip() for field in table.iterfind("FieldDefn")]
    keys = [place for usage in (VALUE, LEAST) for place, each in enumerate(usages) if each == usage]
    if not keys or NAME not in usages:
        return {}
    found = {}
    for row in table.iterfind("Row"):
        cells = [(cell.text or "").strip() for cell in row.iterfind("F")]
        if len(cells) == len(usages) and cells[usages.index(NAME)]:
            try:
                value = float(cells[keys[0]])
            except ValueError:
                continue
            if value.is_integer():
                found[int(value)] = cells[usages.index(NAME)]
    return found
