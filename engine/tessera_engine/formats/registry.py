"""All formats. A new one is a folder or module with a `FORMAT`, and its name in the two lines below."""

from __future__ import annotations

from tessera_engine.files.nearby import nearest, unknown
from tessera_engine.formats import cog, geotessera, npy, vq, zarr
from tessera_engine.formats.format import Format

FORMATS: dict[str, Format] = {each.FORMAT.name: each.FORMAT for each in (cog, npy, zarr, geotessera, vq)}
"""Formats by name, in the order in which messages and help list them."""


ALSO_CALLED = dict.fromkeys(("tif", "tiff", "gtiff", "geotiff"), "cog")
"""What people call a format -> its name here."""


def format_named(name: str) -> Format:
    """The format of a name.

    Raises:
        InputError: there is none.
    """
    if name not in FORMATS:
        meant = ALSO_CALLED.get(str(name).casefold()) or nearest(str(name), FORMATS)
        raise unknown("format", name, FORMATS, meant)
    return FORMATS[name]


def appendable() -> list[str]:
    """Names of the formats to whose outputs scenes and years can be added."""
    return [name for name, each in FORMATS.items() if each.appendable]


def described() -> str:
    """The formats in a line, for help: `cog (GeoTIFFs), npy (the published layout), ... or geotessera`."""
    *others, last = (f"{name} ({each.summary})" if each.summary else name for name, each in FORMATS.items())
    return f"{', '.join(others)} or {last}"
