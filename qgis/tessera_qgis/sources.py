"""From the source of a raster layer to files. Knows nothing of QGIS."""

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
    path = Path(source.split("|")[0])
    return path.absolute() if path.is_file() else None


def output_folder(file: Path) -> Path | None:
    """The output folder in which a file lies; None if it lies in none.

    Args:
        file: of an output.
    """
    return next((folder for folder in list(file.parents)[:2] if (folder / ITEM).is_file()), None)
