"""CRSs that name files: PROJ opens such a file, wherever it lies, as soon as the CRS is looked at."""

from __future__ import annotations

import re

_NAMES_FILE = re.compile(
    r"""(?: (?:grids|init|file|model) \s* = \s*            # PROJ strings, also inside WKT
        | PROJ4_GRIDS " \s* , \s* "                        # WKT of GDAL
        | PARAMETERFILE \s* [\[(] \s* " [^"]* " \s* , \s* " # WKT 2
        | "value" \s* : \s* "                              # PROJJSON
        ) (?P<name> (?: (?! \s\+ | \] ) . )* )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)

_PLACE = re.compile(r"[/\\~]|\.\.")
"""What a path or an address has, and the name of a grid among PROJ's own files has not."""

_IS_CRS = re.compile(
    r"\s*(?:[A-Za-z_][\w.-]*:[\w.:-]+\s*$|(?:WGS|NAD|CRS)\d\d\s*$|\d+\s*$|\+|\{|[A-Za-z_0-9]+\s*[\[(])"
)
"""How a CRS begins: `EPSG:32631`, a PROJ string, PROJJSON or WKT. Anything else would be looked for as a file."""

_SHOWN = 80
"""Characters of what a CRS names that a message shows."""


def crs_elsewhere(text: str) -> str | None:
    """What a text for a CRS would make GDAL or PROJ open, shortened; None if nothing.

    Args:
        text: a CRS in any form.
    """
    if not _IS_CRS.match(text) or text.lstrip()[:5].lower() in ("http:", "https", "file:"):
        return " ".join(text.split())[:_SHOWN]
    return named_file(text)


def named_file(text: str) -> str | None:
    """The file that a CRS names by its path, shortened; None if it names none.

    Grids by their plain names are allowed, such as `nadgrids=rdtrans2008.gsb`: PROJ looks for them among its own files.

    Args:
        text: a CRS in any form.
    """
    for match in _NAMES_FILE.finditer(text):
        if _PLACE.search(match["name"]):
            return " ".join(match["name"].split()).strip('"')[:_SHOWN]
    return None
