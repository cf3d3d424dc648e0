"""The caption below a picture: scene, period and model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tessera_engine.stac.writing import FIRST_OBSERVATION, RunFacts

NO_YEAR = "Year not known"


class Caption(NamedTuple):
    """The facts of a picture's caption, a line each.

    Attributes:
        scene: its name.
        period: first and last date of the observations, or `NO_YEAR`.
        model: name and precision, and the length of the embeddings; empty where unknown.
    """

    scene: str
    period: str
    model: str


def caption_of_run(facts: RunFacts) -> Caption:
    """The caption of a run's pictures."""
    period = NO_YEAR if facts.period is None else _period(*map(str, facts.period))
    return Caption(facts.scene_name, period, _model(facts.model_name, facts.precision, facts.dim))


def caption_of_item(item: Mapping[str, Any], name: str, dim: int) -> Caption:
    """The caption of pictures of a finished output.

    Args:
        item: its item.json. Without the facts of a run, the caption has only a name.
        name: the folder's name, used if the item names no scene.
        dim: length of the embeddings that are shown.
    """
    properties = item["properties"]
    start, end = (str(properties.get(f"{key}_datetime", ""))[:10] for key in ("start", "end"))
    # If the scene has no year, its item begins at the launch of the satellites
    known = start and start != str(FIRST_OBSERVATION.date())
    model = properties.get("tessera:model")
    return Caption(
        str(properties.get("tessera:scene", name)),
        _period(start, end) if known else NO_YEAR,
        _model(model, properties["tessera:precision"], dim) if model else "",
    )


def _period(first: str, last: str) -> str:
    return f"{first} to {last}"


def _model(name: str, precision: str, dim: int) -> str:
    return f"TESSERA model {name} ({precision}), {dim} dimensions"
