"""The item of a grown store: the facts of each scene that was added, and those of the whole store or of one year."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tessera_engine.geo import grid_fields
from tessera_engine.scene import Grid
from tessera_engine.stac.items import ITEM_SHA256, geometry_fields, load_item, save_item

MIN_CLEAR, PIXELS_FEW_CLEAR = "tessera:min_clear", "tessera:pixels_few_clear"
"""Properties of outputs in which pixels with few clear dates are flagged: the limit, and how many there are."""

COMPLETE = "tessera:complete_years"
"""Property of a grown store: the years of which no scene has a flagged pixel; years without a limit are not listed."""

PIXELS, PIXELS_WITH_DATA = "tessera:pixels", "tessera:pixels_with_data"
"""Properties that are counted for the whole store, and don't follow from those of its members."""

MEMBERS, YEARS = "tessera:members", "tessera:years"
"""Properties of a grown store: its scenes in the order in which they were added; and the number of pixels with data of
each year."""


def members(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The scenes of an output, each with the properties of an item; an output that never grew has one."""
    properties = item["properties"]
    if MEMBERS in properties:
        return list(properties[MEMBERS])
    own = ("start_datetime", "end_datetime", "created", "proj:shape", "proj:transform")
    return [
        {"id": item["id"]}
        | {
            key: value
            for key, value in properties.items()
            if key in own or (key.startswith("tessera:") and key != ITEM_SHA256)
        }
    ]


def years(item: Mapping[str, Any]) -> dict[int, int]:
    """Pixels with data by year; empty where the year isn't known."""
    properties = item["properties"]
    if YEARS in properties:
        return {int(year): int(pixels) for year, pixels in properties[YEARS].items()}
    year = properties.get("tessera:year")
    # What was made from embeddings of several years names them all
    return {year: int(properties.get(PIXELS_WITH_DATA, 0))} if isinstance(year, int) else {}


def complete_years(scenes: Sequence[Mapping[str, Any]]) -> list[int]:
    """The years in which every pixel of every scene has enough clear dates, by the limits that were given."""
    known = sorted({scene["tessera:year"] for scene in scenes})
    return [
        year
        for year in known
        if all(scene.get(PIXELS_FEW_CLEAR) == 0 for scene in scenes if scene["tessera:year"] == year)
    ]


def of_year(item: Mapping[str, Any], year: int) -> dict[str, Any]:
    """The item as if the output held one year only."""
    if MEMBERS not in item["properties"]:
        return dict(item)
    own = [member for member in members(item) if member["tessera:year"] == year]
    whole = (MEMBERS, YEARS, PIXELS_FEW_CLEAR, COMPLETE)
    properties = {key: value for key, value in item["properties"].items() if key not in whole}
    properties |= _joined(own)
    properties[PIXELS_WITH_DATA] = years(item)[year]
    return {**item, "properties": properties}


def write_grown_item(path: Path, before: Mapping[str, Any], grid: Grid, added_pixels: int) -> None:
    """Turn the item of the scene that was added into the item of the grown store.

    Args:
        path: of the item, which lists the grown store's files and has the facts of the new scene.
        before: the item that the store had before.
        grid: the grown store's.
        added_pixels: pixels that have data only now.
    """
    item = load_item(path.parent)
    (new,) = members(item)
    all_members = [*members(before), new]
    counts = years(before)
    counts[new["tessera:year"]] = counts.get(new["tessera:year"], 0) + added_pixels
    item |= {"id": before["id"], **geometry_fields(grid)}
    scenes = f"{len(all_members)} scenes of {', '.join(map(str, sorted(counts)))}"
    item["properties"] |= _joined(all_members) | {
        "title": f"TESSERA embeddings of {scenes}",
        "description": f"One vector of {new['tessera:dim']} dimensions a pixel and year, of {scenes}.",
        **grid_fields(grid),
        PIXELS: grid.width * grid.height,
        PIXELS_WITH_DATA: sum(counts.values()),
        YEARS: {str(year): counts[year] for year in sorted(counts)},
        MEMBERS: all_members,
    }
    save_item(path, item)


def _joined(all_members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Facts of several scenes as one: equal values once, different texts joined by commas, lists concatenated."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for member in all_members for key in member):
        if key in ("id", "created", PIXELS, PIXELS_WITH_DATA, COMPLETE) or key.startswith("proj:"):
            continue
        if key == PIXELS_FEW_CLEAR:
            found[key] = sum(member.get(key) or 0 for member in all_members)
            found[COMPLETE] = complete_years(all_members)
            continue
        values = [member.get(key) for member in all_members]
        distinct = [value for i, value in enumerate(values) if value not in values[:i]]
        if len(distinct) == 1:
            found[key] = distinct[0]
        elif key in ("start_datetime", "end_datetime"):
            found[key] = (min if key.startswith("start") else max)(value for value in distinct if value)
        elif key == "tessera:scene_fingerprint":
            found[key] = hashlib.sha256(" ".join(map(str, distinct)).encode("ascii")).hexdigest()
        elif all(isinstance(value, str) for value in distinct):
            found[key] = ", ".join(map(str, distinct))
        elif all(isinstance(value, list) for value in distinct):
            together = [each for value in distinct if value for each in value]
            unique = [each for i, each in enumerate(together) if each not in together[:i]]
            found[key] = sorted(unique) if all(isinstance(each, int) for each in unique) else unique
        else:
            found[key] = None
    return found
