"""What the values of an output's item must be, before anything uses them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, TypedDict

import msgspec

from tessera_engine.files.document import Count, Damaged, Sha256, Size, Year, check_fields, checked
from tessera_engine.files.output import ITEM

Text = Annotated[str, msgspec.Meta(max_length=10_000)]
Dimensions = Annotated[int, msgspec.Meta(ge=1, le=65_536)]
Days = list[Annotated[int, msgspec.Meta(ge=1, le=366)]]

Member = TypedDict(
    "Member",
    {
        "id": str,
        "tessera:year": Year,
        "tessera:scene": Text,
        "tessera:scene_fingerprint": Sha256,
        "tessera:pixels_with_data": Count,
        "tessera:backend": Text,
        "tessera:instruction_set": Text,
    },
)
"""A scene of a grown store; it has more."""

Day = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]

PeriodFacts = TypedDict("PeriodFacts", {"start": Day, "end": Day, "tessera:pixels_with_data": Count})
"""A period of a store with several; it has more."""


class SelectionFacts(TypedDict):
    """The shapes that selected the pixels of an output; it has more."""

    kind: Literal["aoi", "points"]
    file: Text
    sha256: Sha256
    pixels: Count


EMBEDDINGS: dict[str, Any] = {
    "tessera:engine_version": Text,
    "tessera:model": Text,
    "tessera:model_sha256": Sha256,
    "tessera:generation": Text,
    "tessera:precision": Literal["fp32", "int8", "fp16", "qdq"],
    "tessera:store": Literal["int8", "float32", "vq"],
    "tessera:dim": Dimensions,
    "tessera:backend": Text,
    "tessera:backend_version": Text,
    "tessera:instruction_set": Text,
    "tessera:scene": Text,
    "tessera:scene_fingerprint": Sha256,
    "proj:shape": tuple[Size, Size],
    "tessera:pixels": Size,
    "tessera:pixels_with_data": Count,
}
"""Properties that embeddings have."""

KNOWN: dict[str, Any] = {
    "title": Text,
    "description": Text,
    "datetime": Text,
    "start_datetime": Text,
    "end_datetime": Text,
    "created": Text,
    "proj:code": Text,
    "proj:wkt2": Text,
    "proj:transform": tuple[float, float, float, float, float, float],
    "tessera:result": Text,
    "tessera:lossy": Text,
    "tessera:s2_days_of_year": Days,
    "tessera:s1_ascending_days_of_year": Days,
    "tessera:s1_descending_days_of_year": Days,
    "tessera:findings": list[dict[str, Any]],
    "tessera:selection": SelectionFacts,
    "tessera:members": list[Member],
    "tessera:season": tuple[Day, Day],
    "tessera:every": Text,
    "tessera:min_clear": Count,
    "tessera:pixels_few_clear": Count,
    "tessera:complete_years": list[Year],
    "tessera:periods": list[PeriodFacts],
    "tessera:years": dict[Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}\Z")], Count],
}
"""Properties that embeddings or results may have; null stands for none."""

YEAR: dict[str, Any] = {"tessera:year": Year}


def check_item(item: Mapping[str, Any]) -> None:
    """Make sure that what the engine uses of an item has the right types, and that its files lie in the folder.

    Raises:
        Damaged: which value is another one.
    """
    properties, assets = item["properties"], item["assets"]
    check_fields(properties, KNOWN, optional=True)
    if properties.get("tessera:result") is None:
        check_fields(properties, EMBEDDINGS)
        check_fields(properties, YEAR, optional=True)
    for key, fields in assets.items():
        try:
            href = checked(fields, dict[str, Any]).get("href")
            check_fields(fields, {"type": Text, "tessera:group": Text}, optional=True)
        except Damaged as error:
            raise Damaged(f"asset {key[:80]!r}: {error}") from None
        if not is_inside(href):
            raise Damaged(f"asset {key[:80]!r} lacks a file in the folder")


def is_inside(href: Any) -> bool:
    """Whether an href is a relative path that stays in the folder."""
    if not isinstance(href, str) or not href.isprintable() or "\\" in href or ":" in href:
        return False
    path = PurePosixPath(href)
    return not path.is_absolute() and ".." not in path.parts and path.parts not in ((), (ITEM,))
