"""From the sources of layers to files. Knows nothing of QGIS."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

ITEM = "item.json"
"""In every output folder."""


def file_of(source: str) -> Path | None:
    """The file of a raster layer.

    Args:
        source: of the layer: a path, with options of GDAL after `|`, or an address.

    Returns:
        The file; None if the layer is a part of a file, in an archive, in a database or on a server.
    """
    if source.startswith("file:"):
        plain = unquote(urlsplit(source).path)
        source = plain.lstrip("/") if re.match(r"/[A-Za-z]:", plain) else plain
    paths = Path(source), Path(source.split("|")[0])
    return next((path.absolute() for path in paths if path.is_file()), None)


def is_whole_file(source: str, alone: bool) -> bool:
    """Whether a layer of shapes shows all that its file, or a named layer of it, has.

    Args:
        source: of the layer: a path, and after `|` which part of the file it is.
        alone: whether a named layer of a file is a part too.
    """
    path, *parts = source.split("|")
    return not path.startswith("/vsi") and all(part.startswith("layername=") and not alone for part in parts)


def output_folder(file: Path) -> Path | None:
    """The output folder in which a file lies; None if it lies in none.

    Args:
        file: of an output.
    """
    return next((folder for folder in list(file.parents)[:2] if (folder / ITEM).is_file()), None)
