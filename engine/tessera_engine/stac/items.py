"""The one way to write an `item.json`, and to load one: begun for a grid, given its files, sealed by a checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tessera_engine.errors import CheckFailed, InputError, plain
from tessera_engine.files import document
from tessera_engine.files.checksums import file_sha256, folder_sha256
from tessera_engine.files.output import ITEM, read_json_item
from tessera_engine.files.text import write_text
from tessera_engine.geo import bounding_box, footprint
from tessera_engine.scene import Grid
from tessera_engine.stac.facts import check_item

STAC_VERSION = "1.1.0"
EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
)

ITSELF: dict[str, Any] = {
    "type": Literal["Feature"],
    "id": str,
    "assets": dict[str, Any],
}
"""What an item has, whatever it describes."""

ITEM_SHA256 = "tessera:item_sha256"
"""Property with the checksum of the item itself."""


@dataclass(frozen=True)
class Asset:
    """One file of the output.

    Attributes:
        key: its name among the item's assets.
        file_name: in the output folder.
        media_type: MIME type.
        title: what it is, for people.
        roles: STAC roles.
        fields: more STAC fields of the asset, as JSON values.
        sha256: hex, of a folder; None: its files are read.
    """

    key: str
    file_name: str
    media_type: str
    title: str
    roles: tuple[str, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)
    sha256: str | None = None


def begin_item(id: str, grid: Grid) -> dict[str, Any]:
    """An item without properties and assets: its id, and where its grid lies."""
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": id,
        **geometry_fields(grid),
        "properties": {},
        "links": [],
        "assets": {},
    }


def geometry_fields(grid: Grid) -> dict[str, Any]:
    """An item's geometry and bbox; STAC forbids the bbox beside a null geometry."""
    geometry = footprint(grid)
    return {"geometry": geometry} | ({} if geometry is None else {"bbox": bounding_box(geometry)})


def geometry_fields_of(grids: Sequence[Grid]) -> dict[str, Any]:
    """The same for an item of several grids: all their polygons; the bbox is that of all, west of east."""
    footprints = [found for found in map(footprint, grids) if found is not None]
    if not footprints:
        return {"geometry": None}
    boxes = [bounding_box(each) for each in footprints]
    polygons = [
        polygon
        for each in footprints
        for polygon in (each["coordinates"] if each["type"] == "MultiPolygon" else [each["coordinates"]])
    ]
    crossing = any(west > east for west, _, east, _ in boxes)
    west, south, east, north = zip(*boxes, strict=True)
    bbox = [-180.0 if crossing else min(west), min(south), 180.0 if crossing else max(east), max(north)]
    return {"geometry": {"type": "MultiPolygon", "coordinates": polygons}, "bbox": bbox}


def save_item(path: Path, item: Mapping[str, Any], assets: Sequence[Asset] | None = None) -> None:
    """Write an item with the checksums of its files and of itself.

    Args:
        path: of the item.json; the files lie beside it.
        item: all but its assets.
        assets: the output's files; each is read once for its checksum. None: the item has them already.
    """
    saved = dict(item)
    if assets is not None:
        saved["assets"] = {asset.key: _described(path.parent, asset) for asset in assets}
    saved = _plain_texts(saved)
    saved["properties"][ITEM_SHA256] = item_sha256(saved)
    text = json.dumps(saved, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def item_sha256(item: Mapping[str, Any]) -> str:
    """Hex sha256 of an item's id, geometry, bbox, properties and assets, without this checksum itself.

    Of the values, not of the text; and not of links and collection, which catalogues add.
    """
    content = {key: item.get(key) for key in ("id", "geometry", "bbox", "assets")}
    content["properties"] = {key: value for key, value in item["properties"].items() if key != ITEM_SHA256}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()


def load_item(folder: Path) -> dict[str, Any]:
    """The item of an output folder, in which every value that the engine uses has the type that it must have.

    Whether it is as it was written is another question: see `tessera_engine.stac.reading.read_item`.

    Raises:
        InputError: the folder has no item.json, so it is no output.
        CheckFailed: the file is damaged: what was found and what was expected.
    """
    path = folder / ITEM
    if not path.is_file():
        raise InputError(f"{folder} has no {ITEM}, so it is no output of tessera-engine")
    try:
        item = read_json_item(folder)
        document.check_fields(item, ITSELF)
        check_item(item)
    except OSError as error:
        raise CheckFailed(f"{path} can't be read: {error.strerror}") from None
    except document.Damaged as error:
        raise CheckFailed(f"{path} is damaged: {error}; embed again") from None
    return item


def _plain_texts(value: Any) -> Any:
    """A JSON value with all its texts plain. Names of scenes may not be UTF-8, which STAC requires."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Mapping):
        return {plain(key): _plain_texts(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_texts(each) for each in value]
    return value


def _described(folder: Path, asset: Asset) -> dict[str, Any]:
    file = folder / asset.file_name
    fields = {
        "href": f"./{asset.file_name}",
        "type": asset.media_type,
        "title": asset.title,
        "roles": list(asset.roles),
        **asset.fields,
    }
    if file.is_dir():
        return fields | {"tessera:sha256": asset.sha256 or folder_sha256(file)}
    sha256 = file_sha256(file)
    return fields | {
        "file:size": file.stat().st_size,
        # A multihash: 0x12 is sha2-256, 0x20 its length in bytes
        "file:checksum": f"1220{sha256}",
        "tessera:sha256": sha256,
    }
