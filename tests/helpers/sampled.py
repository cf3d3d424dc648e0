"""What the tests of tables of embeddings share: an output, shapes on its pixels, and the table that is right."""

from __future__ import annotations

import geopandas
import numpy as np
import shapely
from made_up import CRS, ORIGIN
from staged import landscape

import tessera_engine as te
from tessera_engine.scene import Grid

HEIGHT, WIDTH, DIM = 40, 50, 16


EMBEDDING = landscape(HEIGHT, WIDTH, DIM)


GRID = Grid(WIDTH, HEIGHT, CRS, ORIGIN)


def at(col, row):
    """Coordinates of a place in pixels."""
    return ORIGIN @ (col, row)


def box(col, row, width, height):
    (left, top), (right, bottom) = at(col, row), at(col + width, row + height)
    return shapely.box(left, bottom, right, top)


def write(path, shapes, crs="EPSG:4326", **columns):
    columns = columns or {"id": range(len(shapes))}
    frame = geopandas.GeoDataFrame(columns, geometry=list(shapes), crs=CRS).to_crs(crs)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path)
    return path


def vectors(frame, word="embedding"):
    return frame.filter(regex=rf"^{word}_\d+$").to_numpy(np.float32)


def wanted_at(frame, path):
    shapes = frame.geometry.to_crs(CRS)
    found = np.full((len(shapes), te.open_embeddings(path).dim), np.nan, np.float32)
    read = te.open_embeddings(path).read()
    for i, shape in enumerate(shapes):
        if shape is None:
            continue
        col, row = (int(np.floor(n)) for n in ~ORIGIN @ (shape.x, shape.y))
        if 0 <= col < WIDTH and 0 <= row < HEIGHT:
            found[i] = read[row, col]
    return found


def polygons(rng, count):
    found = []
    for _ in range(count):
        centre = rng.uniform((-4, -4), (WIDTH + 4, HEIGHT + 4))
        corners = centre + rng.uniform(-9, 9, (6, 2))
        found.append(shapely.convex_hull(shapely.MultiPoint([at(*corner) for corner in corners])))
    return found
