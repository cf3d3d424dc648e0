"""Inputs whose content leads elsewhere: to files outside of what the user named, or to the network.

Each function of `KINDS` and `CUBES` makes one kind in a folder of its own, and gives the command lines to try it with.
"""

from __future__ import annotations

from hostile import cubes, labels, models, outputs, scenes
from hostile.elsewhere import LINK, vrt
from hostile.kit import CUBES, KINDS, SIDE, URL, Kit, geojson, write_outside

__all__ = ["CUBES", "KINDS", "LINK", "SIDE", "URL", "Kit", "geojson", "vrt", "write_outside"]

REGISTERED = (scenes, cubes, labels, outputs, models)
"""The modules that make the kinds; each registers its own when it is imported."""
