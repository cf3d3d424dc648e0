"""Scenes whose content leads elsewhere."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import rasterio
from affine import Affine
from made_up import ORIGIN, made_up_arrays, write_tile
from product_files import product_arrays, write_hyp3, write_safe
from stac_files import write_items, write_stac_s2

from hostile.elsewhere import bad_crs, rasters, vrt
from hostile.kit import SIDE, URL, Commands, Kit, Opens, kind


@kind
def roi_descriptions(kit: Kit) -> Commands:
    commands = []
    for name, text in rasters(kit).items():
        scene = kit.copy(kit.scene, name)
        (scene / "roi.tiff").write_text(text)
        commands.append(["info", str(scene)])
    return [
        *commands,
        ["embed", str(kit.folder / "vrt-url"), "-q"],
        ["train", str(kit.folder / "vrt-url"), "-o", "x.pt"],
    ]


@kind
def roi_overviews_elsewhere(kit: Kit) -> Commands:
    """A GeoTIFF whose metadata name the file of its overviews."""
    commands = []
    for name, target in (("file", kit.outside / "raster.tif"), ("url", f"/vsicurl/{URL}/overviews.tif")):
        for where in ("inside", "beside"):
            scene = kit.copy(kit.scene, f"{name}-{where}")
            roi = scene / "roi.tiff"
            if where == "inside":
                with rasterio.open(roi, "r+") as file:
                    file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(target))
                    file.update_tags(ns="MASK", MASK_FILE=str(target))
            else:
                (scene / "roi.tiff.aux.xml").write_text(
                    f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{target}</MDI></Metadata></PAMDataset>'
                )
            commands.append(["info", str(scene)])
            commands.append(
                ["map", str(kit.outputs["cog"]), "--labels", str(roi), "-o", f"ov-{name}-{where}", "-q"]
            )
    return commands


@kind
def crs_beside_roi(kit: Kit) -> Commands:
    commands = []
    for name, crs in bad_crs(kit).items():
        scene = kit.copy(kit.scene, name)
        (scene / "roi.tiff.aux.xml").write_text(f"<PAMDataset><SRS>{crs}</SRS></PAMDataset>")
        commands += [["info", str(scene)], ["embed", str(scene), "-q", "--int8", "-o", f"crs-{name}"]]
    return commands


@kind
def pickled_arrays(kit: Kit) -> Commands:
    commands = []
    for name in ("bands", "doys", "sar_ascending"):
        scene = kit.copy(kit.scene, name)
        np.save(scene / f"{name}.npy", np.array([Opens(kit)], dtype=object), allow_pickle=True)
        commands.append(["info", str(scene)])
        (scene / f"{name}.npy").write_bytes(pickle.dumps(Opens(kit)))
        commands.append(["info", str(scene)])
    return commands


@kind
def linked_tile(kit: Kit) -> Commands:
    commands = []
    for name in ("bands", "doys", "sar_ascending"):
        scene = kit.copy(kit.scene, name)
        (scene / f"{name}.npy").unlink()
        (scene / f"{name}.npy").symlink_to(kit.outside / f"{name}.npy")
        commands += [["info", str(scene)], ["embed", str(scene), "-q", "--int8", "-o", f"linked-{name}"]]
    scene = kit.copy(kit.scene, "roi")
    (scene / "roi.tiff").unlink()
    (scene / "roi.tiff").symlink_to(kit.outside / "raster.tif")
    return [*commands, ["info", str(scene)]]


@kind
def linked_tile_folders(kit: Kit) -> Commands:
    """A folder of tiles, of which one is a link to a tile elsewhere."""
    tiles = kit.folder / "tiles"
    write_tile(tiles / "a", made_up_arrays(SIDE, SIDE))
    write_tile(
        kit.outside / f"tile-{os.getpid()}", made_up_arrays(SIDE, SIDE), ORIGIN @ Affine.translation(SIDE, 0)
    )
    (tiles / "b").symlink_to(kit.outside / f"tile-{os.getpid()}")
    return [["info", str(tiles)], ["embed", str(tiles), "-q", "--int8", "-o", "linked-tiles"]]


@kind
def stac_hrefs(kit: Kit) -> Commands:
    commands = []
    outside = kit.outside / "raster.tif"
    for name, href in (
        ("absolute", str(outside)),
        ("parents", os.path.relpath(outside, kit.folder / "parents")),
        ("file", outside.as_uri()),
        ("http", f"{URL}/b.tif"),
        ("vsicurl", f"/vsicurl/{URL}/b.tif"),
        ("escaped", "%2e%2e/" * 8 + str(outside).lstrip("/")),
        ("link", "./link.tif"),
    ):
        scene = kit.folder / name
        items = write_stac_s2(scene, product_arrays(SIDE, SIDE, 2))
        (scene / "link.tif").symlink_to(outside)
        for item in items:
            item["assets"]["B04"]["href"] = href
            item["links"] = [
                {"rel": "child", "href": f"{URL}/c.json"},
                {"rel": "self", "href": f"{URL}/s.json"},
            ]
        write_items(scene, items)
        (scene / "catalog.json").write_text(
            json.dumps({"type": "Catalog", "links": [{"rel": "child", "href": f"{URL}/c"}]})
        )
        commands += [["info", str(scene)], ["embed", str(scene), "-q", "--int8", "-o", f"stac-{name}"]]
    return commands


@kind
def product_descriptions(kit: Kit) -> Commands:
    """Bands of products that are virtual rasters, on disk and in a zip, with each suffix."""
    commands = []
    for name, pixels, zipped in (("jp2", "jp2", False), ("tif", "tif", False), ("zip", "jp2", True)):
        scene = kit.folder / name
        for product in write_safe(scene, product_arrays(SIDE, SIDE, 2), pixels=pixels):
            for n, band in enumerate(sorted(product.rglob(f"*.{pixels}"))):
                band.write_text(list(rasters(kit).values())[n % 4])
            if zipped:
                from product_files import zip_up

                zip_up(product)
        commands.append(["info", str(scene)])
    scene = kit.folder / "hyp3"
    for product in write_hyp3(scene, product_arrays(SIDE, SIDE, 2)):
        for band in product.glob("*_V?.tif"):
            band.write_text(vrt(f"/vsicurl/{URL}/vv.tif", dtype="Float32"))
    return [*commands, ["info", str(scene)]]


@kind
def product_links(kit: Kit) -> Commands:
    scene = kit.folder / "safe"
    for product in write_safe(scene, product_arrays(SIDE, SIDE, 2), pixels="tif"):
        band = next(product.rglob("*B04*"))
        band.unlink()
        band.symlink_to(kit.outside / "raster.tif")
    (scene / "more").symlink_to(kit.outside)
    return [["info", str(scene)], ["embed", str(scene), "-q", "--int8", "-o", "links"]]


@kind
def like_description(kit: Kit) -> Commands:
    write_safe(kit.folder / "safe", product_arrays(SIDE, SIDE, 2), pixels="tif")
    commands = []
    for name, text in rasters(kit).items():
        (kit.folder / f"{name}.tif").write_text(text)
        commands.append(["info", str(kit.folder / "safe"), "--like", str(kit.folder / f"{name}.tif")])
    return commands
