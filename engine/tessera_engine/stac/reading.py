"""Reading an output's `item.json` without trusting it: every value that the engine uses is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tessera_engine.errors import CheckFailed
from tessera_engine.files.output import ITEM, is_output
from tessera_engine.model.facts import PRECISIONS
from tessera_engine.stac.items import ITEM_SHA256, item_sha256, load_item
from tessera_engine.stac.writing import QUANTIZATION

SHA256 = re.compile(r"[0-9a-f]{64}")

TEXTS = ("engine_version", "model", "backend", "backend_version", "instruction_set", "scene")
"""Facts that are texts; each is the property `tessera:<name>`."""

MOST_LEVELS = 8
"""Folders between an output and its innermost file, at most: a shard of a Zarr array lies 8 below."""


@dataclass(frozen=True)
class ItemAsset:
    """One file of the output, as the item describes it.

    Attributes:
        href: its path within the output folder, with `/`.
        size: bytes; None for a folder of files.
        sha256: hex.
        fields: all STAC fields.
    """

    href: str
    size: int | None
    sha256: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Item:
    """An item whose structure was checked.

    Attributes:
        id: of the item.
        properties: all of them; those of embeddings that `_check_properties` names have their right types.
        assets: by key.
    """

    id: str
    properties: Mapping[str, Any]
    assets: Mapping[str, ItemAsset]

    def fact(self, name: str) -> Any:
        """The property `tessera:<name>`."""
        return self.properties[f"tessera:{name}"]

    @property
    def result(self) -> str | None:
        """What was made from embeddings: `similar`, `change`, `map`, ...; None where it is embeddings itself."""
        return _result(self.properties)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the output's grid."""
        height, width = self.properties["proj:shape"]
        return height, width


def read_item(folder: Path) -> Item:
    """Read and check the item of an output folder.

    Raises:
        InputError: the folder has no item.json, so it is no output.
        CheckFailed: the item is damaged: which part, and what was expected.
    """
    path = folder / ITEM
    item = load_item(folder)
    properties, assets = item["properties"], item["assets"]
    if properties.get(ITEM_SHA256) != item_sha256(item):
        raise CheckFailed(
            f"{path} is damaged: its content has another sha256 than when it was written; embed again"
        )
    if _result(properties) is None:
        _check_properties(properties, path)
    found = Item(item["id"], properties, {key: _asset(key, value, path) for key, value in assets.items()})
    hrefs = [asset.href for asset in found.assets.values()]
    if not hrefs or len(set(hrefs)) != len(hrefs):
        raise CheckFailed(f"{path} lists no file, or one file twice; embed again")
    return found


def output_of(path: Path) -> Path | None:
    """The output folder that a file or folder lies in, for messages; None if it lies in none.

    `info embeddings.tif` and `open_embeddings("field.embeddings/embeddings.zarr")` name a part of an output.
    """
    for folder in path.absolute().parents[:MOST_LEVELS]:
        if (folder / ITEM).is_file() and is_output(folder):
            return folder
    return None


def _result(properties: Mapping[str, Any]) -> str | None:
    made = properties.get("tessera:result")
    return made if isinstance(made, str) else None


def _check_properties(properties: Mapping[str, Any], path: Path) -> None:
    def fact(name: str) -> Any:
        return properties.get(f"tessera:{name}")

    shape: Any = properties.get("proj:shape")
    is_shape = isinstance(shape, list) and len(shape) == 2 and all(_is_count(n, 1) for n in shape)
    right = {f"tessera:{name}": isinstance(fact(name), str) for name in TEXTS}
    right |= {
        "tessera:model_sha256": _is_sha256(fact("model_sha256")),
        "tessera:scene_fingerprint": _is_sha256(fact("scene_fingerprint")),
        "tessera:precision": fact("precision") in PRECISIONS,
        "tessera:store": isinstance(fact("store"), str) and fact("store") in QUANTIZATION,
        "tessera:dim": _is_count(fact("dim"), 1),
        "proj:shape": is_shape,
        "tessera:pixels": is_shape and _is_count(fact("pixels"), 1) and fact("pixels") == shape[0] * shape[1],
        "tessera:pixels_with_data": _is_count(fact("pixels_with_data"), 0),
    }
    for name, is_right in right.items():
        if not is_right:
            raise CheckFailed(
                f"{path} is damaged: '{name}' is {repr(properties.get(name))[:80]}; embed again"
            )


def _asset(key: str, fields: Any, path: Path) -> ItemAsset:
    if isinstance(fields, dict):
        href, size, sha256 = (fields.get(name) for name in ("href", "file:size", "tessera:sha256"))
        whole = _is_inside(href) and _is_count(size, 0) and _is_sha256(sha256)
        if whole and fields.get("file:checksum") == f"1220{sha256}":
            return ItemAsset(str(PurePosixPath(str(href))), int(str(size)), str(sha256), fields)
        if _is_inside(href) and _is_sha256(sha256) and not {"file:size", "file:checksum"} & fields.keys():
            return ItemAsset(str(PurePosixPath(str(href))), None, str(sha256), fields)
    raise CheckFailed(
        f"{path} is damaged: asset {key[:80]!r} lacks a file in the folder, its size or its checksums; embed again"
    )


def _is_inside(href: Any) -> bool:
    """A relative path that stays in the folder."""
    if not isinstance(href, str) or not href.isprintable() or "\\" in href or ":" in href:
        return False
    path = PurePosixPath(href)
    return not path.is_absolute() and ".." not in path.parts and path.parts not in ((), (ITEM,))


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and least <= value < 1 << 53


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and SHA256.fullmatch(value) is not None
