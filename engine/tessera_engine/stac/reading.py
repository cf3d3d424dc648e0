"""Reading an output's `item.json` back, without trusting it: `provenance` writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tessera_engine.errors import CheckFailed, InputError
from tessera_engine.files.output import ITEM
from tessera_engine.model.facts import PRECISIONS
from tessera_engine.stac.writing import QUANTIZATION, item_sha256

MAX_BYTES = 16 << 20
"""An item has some ten kilobytes; one of a product with a thousand files has less than a megabyte."""

SHA256 = re.compile(r"[0-9a-f]{64}")

TEXTS = ("engine_version", "model", "backend", "backend_version", "instruction_set", "scene")
"""Facts that are words, after `tessera:`."""


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
        properties: all of them; of embeddings, those that `fact` gives have their right types.
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
        CheckFailed: the item is damaged: what of it, and what was expected.
    """
    path = folder / ITEM
    if not path.is_file():
        raise InputError(f"{folder} has no {ITEM}, so it is no output of tessera-engine")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CheckFailed(f"{path} has {path.stat().st_size:,} bytes, an item at most {MAX_BYTES:,}")
        item = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except OSError as error:
        raise CheckFailed(f"{path} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise CheckFailed(f"{path} is damaged, not JSON: {str(error)[:100]}; embed again") from None
    if not isinstance(item, dict) or item.get("type") != "Feature":
        raise CheckFailed(f"{path} is no STAC item; embed again")
    properties, assets = item.get("properties"), item.get("assets")
    if (
        not isinstance(properties, dict)
        or not isinstance(assets, dict)
        or not isinstance(item.get("id"), str)
    ):
        raise CheckFailed(f"{path} lacks id, properties or assets; embed again")
    if properties.get("tessera:item_sha256") != item_sha256(item):
        raise CheckFailed(
            f"{path} is damaged: what it says has another sha256 than when it was written; embed again"
        )
    if _result(properties) is None:
        _check_properties(properties, path)
    found = Item(item["id"], properties, {key: _asset(key, value, path) for key, value in assets.items()})
    hrefs = [asset.href for asset in found.assets.values()]
    if not hrefs or len(set(hrefs)) != len(hrefs):
        raise CheckFailed(f"{path} lists no file, or one twice; embed again")
    return found


def _result(properties: Mapping[str, Any]) -> str | None:
    made = properties.get("tessera:result")
    return made if isinstance(made, str) else None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


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
