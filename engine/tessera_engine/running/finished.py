"""Whether an output that stands already is what a run would make: then many scenes are not embedded again."""

from __future__ import annotations

import os
from typing import Any

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.output import is_output
from tessera_engine.formats.registry import format_named
from tessera_engine.formats.writing import stored_form
from tessera_engine.running.plan import Plan
from tessera_engine.stac.items import load_item
from tessera_engine.stac.members import MIN_CLEAR
from tessera_engine.stac.periods import EVERY, SEASON
from tessera_engine.stac.writing import season_fact


def is_finished(plan: Plan) -> bool:
    """Whether the output of a plan stands there, made from the same scene by the same model with the same options.

    The options are those that decide what is stored and where: not the backend, the picture or the memory.

    Args:
        plan: what would be done.

    Raises:
        InputError: another output stands there; the message says in what it differs.
    """
    if not os.path.lexists(plan.out) or not is_output(plan.out):
        return False
    try:
        item = load_item(plan.out)
    except TesseraError:
        return False
    found, wanted = item["properties"], _facts(plan)
    stored = {
        **{key: found.get(key) for key in wanted},
        "format": item["assets"].get("embeddings", {}).get("type"),
    }
    differing = [key.split(":")[-1] for key, value in wanted.items() if stored[key] != value]
    if differing:
        raise InputError(
            f"{plan.out} exists already and differs in {', '.join(differing)}; give overwrite=True to replace it, or "
            "choose another out="
        )
    return True


def _facts(plan: Plan) -> dict[str, Any]:
    """Properties of the item that the plan's run would write, and the format."""
    facts, grid, season = plan.model.facts, plan.grid, plan.origin.season
    return {
        "tessera:model_sha256": plan.model.sha256,
        "tessera:precision": facts.precision,
        "tessera:store": stored_form(plan.options.format, plan.stored_as),
        "tessera:dim": plan.dim,
        "tessera:scene_fingerprint": plan.scene.reader.fingerprint(),
        "tessera:year": plan.origin.year,
        SEASON: None if season is None else season_fact(season),
        EVERY: plan.options.every,
        MIN_CLEAR: plan.options.min_clear,
        "tessera:selection": None if plan.selection is None else plan.selection.facts(),
        "proj:shape": [grid.height, grid.width],
        "format": format_named(plan.options.format).media_type,
    }
