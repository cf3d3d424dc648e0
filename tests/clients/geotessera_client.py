"""Run by geotessera's own Python: reads points and a region through its public classes, offline.

    python geotessera_client.py TREE STORE|- POINTS.json RESULT.npz

The client wants a registry of what exists, which it would download; the tree has one.
"""

import json
import socket
import sys
import tempfile
from pathlib import Path

import numpy as np
from geotessera import GeoTessera, __version__
from geotessera.tiles import discover_tiles


def refuse(*arguments, **options):
    raise OSError("no network in this test")


socket.socket.connect = refuse

tree, store, wanted, result = sys.argv[1:]
points = json.loads(Path(wanted).read_text())
lon, lat = np.array(points["lon"]), np.array(points["lat"])
found = {"version": np.array(__version__)}

tiles = discover_tiles(Path(tree))
found["tiles"] = np.array([(tile.lon, tile.lat, tile.year) for tile in tiles])
old = __version__.startswith("0.7")
if not old:
    from geotessera.registry import recorded_dataset
with tempfile.TemporaryDirectory() as folder:
    which = {}
    if not old:
        # The manifest says whose cells these are, and the client takes no others
        manifest = json.loads((Path(tree) / "tessera_metadata.json").read_text())
        which = {key: manifest[key] for key in ("dataset_version", "dataset_variant")}
        found["dataset"] = np.array(recorded_dataset(tree))
        # Of the same version, but what the client would download
        other = GeoTessera(
            embeddings_dir=tree,
            registry_dir=tree,
            cache_dir=folder,
            dataset_version=manifest["dataset_version_path"],
        )
        try:
            other.sample_embeddings_at_points([(lon[0], lat[0])], year=points["year"], auto_download=False)
            found["mixed"] = np.array("")
        except ValueError as error:
            found["mixed"] = np.array(str(error))
    client = GeoTessera(embeddings_dir=tree, registry_dir=tree, cache_dir=folder, **which)
    found["points"] = client.sample_embeddings_at_points(
        list(zip(lon, lat, strict=True)), year=points["year"], auto_download=False
    )
    mosaic, transform, crs = client.fetch_mosaic_for_region(
        tuple(points["bbox"]), year=points["year"], target_crs=points["crs"]
    )
    found["region"], found["region_transform"] = mosaic, np.array(list(transform)[:6])

if store != "-":
    from geotessera.store import GeoTesseraZarr

    zarr = GeoTesseraZarr(store)
    found["zarr_years"] = np.array(zarr.years)
    found["zarr_points"] = np.stack(
        [zarr.sample_at(x, y, points["year"], search_px=0) for x, y in zip(lon, lat, strict=True)]
    )
    zone = zarr.open_zone(lon=float(lon[0]))
    found["zarr_epsg"] = np.array(zone.attrs["proj:code"])

np.savez(result, **found)
