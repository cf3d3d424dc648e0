"""What hostile inputs are made from, and the registers of their kinds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from made_up import ORIGIN, made_up_arrays, write_roi

URL = "http://127.0.0.1:9"
"""Nothing listens there, and there is no network: a request fails, but is seen."""


SIDE = 24


Commands = list[list[str]]


class Kit(NamedTuple):
    """What a kind is made from.

    Attributes:
        folder: where it goes; exists.
        outside: a folder that no command names, see `write_outside`.
        scene: an ordinary d-pixel scene.
        outputs: ordinary outputs of it by format.
        labels: ordinary points on it, with the field `crop`.
        model: an ordinary model file.
    """

    folder: Path
    outside: Path
    scene: Path
    outputs: dict[str, Path]
    labels: Path
    model: Path

    def copy(self, path: Path, name: str | None = None) -> Path:
        """A copy of an ordinary folder or file."""
        to = self.folder / (name or path.name)
        shutil.copytree(path, to) if path.is_dir() else shutil.copy(path, to)
        return to


class Opens:
    """Its pickle opens a file elsewhere when it is loaded."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def __reduce__(self):
        return open, (str(self._kit.outside / "secret.bin"),)


KINDS: dict[str, Callable[[Kit], Commands]] = {}


def kind(make: Callable[[Kit], Commands]) -> Callable[[Kit], Commands]:
    KINDS[make.__name__] = make
    return make


CUBES: dict[str, Callable[[Kit], Commands]] = {}


def cube(make: Callable[[Kit], Commands]) -> Callable[[Kit], Commands]:
    CUBES[make.__name__] = make
    return make


def write_outside(folder: Path) -> Path:
    """Files of many formats that nothing may open."""
    folder.mkdir()
    write_roi(folder / "raster.tif", SIDE, SIDE, ORIGIN)
    (folder / "points.geojson").write_text(geojson())
    for name, array in made_up_arrays(SIDE, SIDE).items():
        np.save(folder / f"{name}.npy", array)
    (folder / "secret.bin").write_bytes(bytes(1 << 20))
    (folder / "grid.gsb").write_bytes(b"NUM_OREC" + bytes(2000))
    return folder


def geojson(head: str = "", count: int = 12) -> str:
    """Points of two crops on the made-up scene."""
    x, y = ORIGIN @ (2.5, 2.5)
    points = [
        {
            "type": "Feature",
            "properties": {"crop": "ab"[i % 2]},
            "geometry": {"type": "Point", "coordinates": [x + 10 * (i % 6) * 3, y - 100 * (i // 6)]},
        }
        for i in range(count)
    ]
    crs = head or '"crs":{"type":"name","properties":{"name":"EPSG:32631"}},'
    return '{"type":"FeatureCollection",' + crs + '"features":' + json.dumps(points) + "}"
