"""A document of labels on a small grid, for the tests of the page's labels."""

from __future__ import annotations

import json

from made_up import CRS, ORIGIN
from rasterio.warp import transform

from tessera_engine.scene import Grid
from tessera_engine.view.label_document import parse_document

GRID = Grid(60, 50, CRS, ORIGIN)
LEFT, TOP = 500_000.0, 5_600_000.0

MAIZE = {"id": "c1", "name": "maize", "colour": "#E69F00"}
GRASS = {"id": "c2", "name": "grass", "colour": "#56B4E9"}
RING = [[LEFT + 100, TOP - 100], [LEFT + 200, TOP - 100], [LEFT + 200, TOP - 180], [LEFT + 100, TOP - 180]]
VALUE = {
    "revision": 0,
    "classes": [MAIZE, GRASS],
    "labels": [
        {"id": "l1", "class": "c1", "kind": "point", "col": 3, "row": 4},
        {"id": "l2", "class": "c2", "kind": "point", "col": 59, "row": 49},
        {"id": "l3", "class": "c2", "kind": "polygon", "ring": RING},
    ],
}
SOME = parse_document(VALUE, GRID)


def changed(**fields):
    return VALUE | fields


def degrees(x, y):
    (lon,), (lat,) = transform(CRS, "EPSG:4326", [x], [y])
    return lat, lon


def features(count=1, name="a", geometry=None, **properties):
    lat, lon = degrees(LEFT + 35, TOP - 45)
    geometry = geometry or {"type": "Point", "coordinates": [lon, lat]}
    return json.dumps(
        {
            "type": "FeatureCollection",
            "features": [
                {"type": "Feature", "properties": {"class": name} | properties, "geometry": geometry}
                for _ in range(count)
            ],
        }
    ).encode()
