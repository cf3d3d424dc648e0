"""Writers of STAC items with local assets for tests: Planetary Computer's and Earth Search's Sentinel-2, and RTC."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
from affine import Affine
from made_up import ORIGIN
from mosaic_files import day_of
from numpy.typing import NDArray
from product_files import METADATA, radar, s2_rasters, safe_name, write_raster

from tessera_engine.scenes.metadata.band_names import COMMON_NAMES


def write_stac_s2(
    folder: Path, arrays: dict[str, NDArray], coarse: NDArray | None = None, *, kind: str = "pc", offset: int = 0,
    real: bool = False,
) -> list[dict]:  # fmt: skip
    """Write rasters of Sentinel-2 into subfolders; returns the items that describe them, with hrefs from `folder`.

    Args:
        kind: `pc` Planetary Computer, `earthsearch` its present form, `earthsearch-v0` its first.
    """
    items = []
    for _, when, images in s2_rasters(arrays, coarse, offset):
        item = s2_item(kind, when, offset, real)
        wanted = {}
        for band, (image, step) in images.items():
            key = COMMON_NAMES[band] if kind == "earthsearch" else band
            asset = item["assets"].get(key, {"roles": ["data"]})
            path = Path("s2") / item["id"] / f"{band}.tif"
            write_raster(
                folder / path, image, ORIGIN @ Affine.scale(step), nodata=0 if band != "SCL" else None
            )
            wanted[key] = {**asset, "href": f"./{path.as_posix()}"}
            if kind == "earthsearch" and band != "SCL":
                wanted[key]["raster:bands"] = [{"scale": 0.0001, "offset": -0.1}]
        item["assets"] = wanted
        items.append(item)
    return items


def s2_item(kind: str, when: date, offset: int, real: bool) -> dict:
    """A Sentinel-2 item of a date: a real one with another date and offset, or a small made-up one."""
    name = safe_name(when, "0500" if offset else "0214")
    item: dict = {"type": "Feature", "stac_version": "1.0.0", "properties": {}, "assets": {}, "links": []}
    if real:
        found = {"pc": "S2B_MSIL2A_*", "earthsearch-v0": "S2A_28QCH_*", "earthsearch": "S2A_T07HFE_*"}[kind]
        item = json.loads(next(METADATA.rglob(f"{found}.json")).read_text())
    item["id"] = f"S2A_31UES_{when:%Y%m%d}_0_L2A" if "earth" in kind else name
    properties = item["properties"]
    properties |= {"datetime": f"{when}T10:50:31.024000Z", "platform": "sentinel-2a"}
    if kind == "pc":
        properties |= {
            "s2:processing_baseline": "05.00" if offset else "02.14",
            "s2:product_uri": f"{name}.SAFE",
        }
    elif kind == "earthsearch":
        properties |= {"earthsearch:boa_offset_applied": not offset, "s2:processing_baseline": "05.00"}
    else:
        properties |= {"sentinel:product_id": name}
    return item


def write_stac_s1(folder: Path, arrays: dict[str, NDArray]) -> list[dict]:
    """Write rasters of Sentinel-1 like those of Planetary Computer's RTC; returns their items."""
    items = []
    for orbit in ("ascending", "descending"):
        for t, doy in enumerate(arrays[f"sar_{orbit}_doy"]):
            name = f"S1A_IW_GRDH_1SDV_{day_of(doy):%Y%m%d}T172305_{orbit}_rtc"
            assets = {}
            for i, channel in enumerate(("vv", "vh")):
                path = Path("s1") / name / f"iw-{channel}.rtc.tiff"
                values = np.nan_to_num(radar(arrays[f"sar_{orbit}"][t, ..., i], "power"), nan=-32768)
                write_raster(folder / path, values, nodata=-32768)
                assets[channel] = {"href": path.as_posix(), "roles": ["data"]}
            properties = {
                "datetime": f"{day_of(doy)}T17:23:05.5Z",
                "constellation": "Sentinel-1",
                "sat:orbit_state": orbit,
                "sar:product_type": "GRD",
            }
            items.append(
                {"type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "sentinel-1-rtc",
                 "properties": properties, "assets": assets, "links": []}
            )  # fmt: skip
    return items


def write_items(folder: Path, items: list[dict], form: str = "files") -> None:
    """Write items as single files, as one ItemCollection, or as a static catalogue with a collection."""
    if form == "collection":
        (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
        return
    below = "" if form == "files" else "collection/items/"
    for item in items:
        moved = json.loads(json.dumps(item))
        for asset in moved["assets"].values():
            asset["href"] = "../" * below.count("/") + asset["href"].removeprefix("./")
        path = folder / below / f"{item['id']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(moved))
    if form == "catalogue":
        up = {"rel": "root", "href": "../catalog.json"}
        links = [{"rel": "item", "href": f"./items/{item['id']}.json"} for item in items]
        write_json(
            folder / "catalog.json", "Catalog", [{"rel": "child", "href": "./collection/collection.json"}]
        )
        # a link back up: code that follows links without remembering them would never end
        loop = {"rel": "child", "href": "../catalog.json"}
        write_json(folder / "collection" / "collection.json", "Collection", [up, loop, *links])


def write_json(path: Path, kind: str, links: list[dict]) -> None:
    path.write_text(json.dumps({"type": kind, "id": path.stem, "stac_version": "1.0.0", "links": links}))
