"""Reading an output's `item.json` without trusting it: every value that the engine uses is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tessera_engine.errors import CheckFailed
from tessera_engine.files.document import Count, Damaged, Sha256, check_fields
from tessera_engine.files.output import ITEM, is_output
from tessera_engine.stac.items import ITEM_SHA256, item_sha256, load_item

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
        properties: all of them; those that `tessera_engine.stac.facts` names have their types.
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
        height, width = properties["proj:shape"]
        if properties["tessera:pixels"] != height * width:
            raise CheckFailed(
                f"{path} is damaged: 'tessera:pixels' is {properties['tessera:pixels']}, expected {height} x {width}; "
                "embed again"
            )
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


def _asset(key: str, fields: Mapping[str, Any], path: Path) -> ItemAsset:
    href, folder = str(PurePosixPath(fields["href"])), not {"file:size", "file:checksum"} & fields.keys()
    try:
        check_fields(dict(fields), {"tessera:sha256": Sha256} | ({} if folder else {"file:size": Count}))
        sha256: str = fields["tessera:sha256"]
    except Damaged as error:
        raise CheckFailed(f"{path} is damaged: asset {key[:80]!r}: {error}; embed again") from None
    if not folder and fields.get("file:checksum") != f"1220{sha256}":
        raise CheckFailed(
            f"{path} is damaged: asset {key[:80]!r} lacks equal checksums in file:checksum and tessera:sha256; "
            "embed again"
        )
    return ItemAsset(href, None if folder else fields["file:size"], sha256, fields)
