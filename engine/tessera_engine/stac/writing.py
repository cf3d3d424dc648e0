"""What outputs record about themselves: the properties of the items of runs, conversions and results."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timezone
from pathlib import Path
from typing import Any

from tessera_engine.finding import Finding
from tessera_engine.geo import grid_fields
from tessera_engine.scene import Dates, Grid
from tessera_engine.scenes.period import Period, filed_under
from tessera_engine.stac.items import Asset, begin_item, geometry_fields_of, save_item
from tessera_engine.stac.members import COMPLETE, MIN_CLEAR, PIXELS_FEW_CLEAR

QUANTIZATION = {
    "int8": (
        "embedding = code * scale; scale = max|embedding| / 127 over the pixel's vector, "
        "code = embedding / scale rounded half to even, -127..127"
    ),
    "float32": "none: float32 values as the model gave them",
    "vq": (
        "with losses: embedding = codebook1[number1] + codebook2[number2] + codebook3[number3] + codebook4[number4] of "
        "the pixel's tile; value of a codebook = low + step / 255 * (high - low)"
    ),
}
"""How embeddings were stored -> how to read them, in words."""

NODATA_RULE = {
    "int8": "a pixel without any observation has code -128 in every band and scale NaN",
    "float32": "a pixel without any observation has NaN in every band",
    "vq": "a pixel without any observation has the first number 255",
}

FIRST_OBSERVATION = datetime(2014, 4, 3, tzinfo=timezone.utc)
"""Launch of Sentinel-1A, the first of the satellites: no scene can be older."""

LOSSY = "tessera:lossy"
"""Property of embeddings of which some was lost, and of what is made of them: how, for people."""

MODEL_FACTS = ("tessera:model", "tessera:model_sha256", "tessera:generation", LOSSY)
"""Properties of embeddings that their results repeat."""


@dataclass(frozen=True)
class RunFacts:
    """What the run knows and the files don't show.

    Attributes:
        scene_name: the scene's name; with the model's it makes the item's id.
        scene_layout: the layout that it was read as.
        scene_fingerprint: hex sha256 of its content.
        dates: days of year that the scene has, per modality and orbit.
        findings: what was worth saying about the scene.
        model_name: `nano`, `demo`, ...
        model_sha256: hex sha256 of the model file.
        generation: `v2`.
        precision: `fp32` or `int8`, of the network.
        stored_as: `int8`, `float32` or `vq`, of the embeddings.
        lossy: see `LOSSY`; empty where nothing was lost.
        dim: length of the stored embedding.
        backend: what ran the model.
        backend_version: of the library behind it.
        instruction_set: what of the CPU or GPU it used, in the backend's words.
        engine_version: of this package.
        pixels_with_data: pixels that have an embedding.
        period: first and last day of the observations; None where the scene gives days of year only.
        bounds: first and last day that were asked for; None where all observations were used.
        every: the step by which the periods of a store grow; empty where it has one.
        min_clear: pixels with fewer clear dates are flagged; None: none are.
        few_clear: pixels that are flagged.
        periods: facts of these periods, see `tessera_engine.stac.facts.PeriodFacts`.
        other_cells: parts of the output, as windows, that something else computed than `backend` says.
        selection: the shapes that select pixels, see `tessera_engine.places.selecting.Selection`; None: all pixels.
    """

    scene_name: str
    scene_layout: str
    scene_fingerprint: str
    dates: Dates
    findings: Sequence[Finding]
    model_name: str
    model_sha256: str
    generation: str
    precision: str
    stored_as: str
    dim: int
    backend: str
    backend_version: str
    instruction_set: str
    engine_version: str
    pixels_with_data: int
    period: Period | None = None
    bounds: Period | None = None
    every: str = ""
    min_clear: int | None = None
    few_clear: int | None = None
    periods: Sequence[Mapping[str, Any]] = ()
    other_cells: Sequence[Mapping[str, Any]] = ()
    selection: Mapping[str, Any] | None = None
    lossy: str = ""


def write_item(
    path: Path, grid: Grid, assets: Sequence[Asset], facts: RunFacts, created: datetime | None = None
) -> None:
    """Write the item of an output of `embed`.

    Args:
        path: of the item.json; the assets' files lie beside it.
        grid: the output's grid.
        assets: the output's files; each is read once for its checksum.
        facts: what the run knows.
        created: when the output was made, with its time zone; None: now.
    """
    created = (created or datetime.now(timezone.utc)).astimezone(timezone.utc)
    name = f"{facts.scene_name}_{facts.model_name}_{facts.stored_as}_{facts.dim}"
    item = begin_item(re.sub(r"[^\w.-]+", "-", name), grid)
    item["properties"] = {**_times(facts, created), **projection(grid), **_facts(grid, facts)}
    save_item(path, item, assets)


def write_converted_item(
    path: Path, item: Mapping[str, Any], assets: Sequence[Asset], changes: Mapping[str, Any]
) -> None:
    """Write the item of an output that was made from another output: its facts, with other files.

    Args:
        path: of the item.json; the assets' files lie beside it.
        item: the other output's item.
        assets: the new output's files; each is read once for its checksum.
        changes: properties that differ from the other item's.
    """
    save_item(path, {**item, "properties": item["properties"] | changes}, assets)


@dataclass(frozen=True)
class Result:
    """What was made from embeddings.

    Attributes:
        name: `similar`, `map`, ...
        title: what it is, for people.
        dim: dimensions of the embeddings that were used.
        facts: what was asked for, by name.
    """

    name: str
    title: str
    dim: int
    facts: Mapping[str, Any]


def write_result_item(
    path: Path,
    grids: Sequence[Grid],
    sources: Sequence[Mapping[str, Any]],
    assets: Sequence[Asset],
    result: Result,
) -> None:
    """Write the item of a result: what was made, from which embeddings of which model.

    Args:
        path: of the item.json; the assets' files lie beside it.
        grids: those of the result; of several, each asset has its own.
        sources: items of the embeddings that it was made from, by one model; the first gives the model's facts.
        assets: the result's files; each is read once for its checksum.
        result: what it is.
    """
    now = _rfc3339(datetime.now(timezone.utc))
    first, several = sources[0]["properties"], len(sources) > 1
    ids = [str(item["id"]) for item in sources]
    years = [item["properties"].get("tessera:year") for item in sources]
    item = begin_item(f"{ids[0]}_{result.name}", grids[0])
    if len(grids) > 1:
        item |= geometry_fields_of(grids)
    place = (
        {} if len(grids) > 1 else {"proj:code": first.get("proj:code", grids[0].crs)} | grid_fields(grids[0])
    )
    item["properties"] = {
        "title": result.title,
        **_times_of_all(sources, now),
        "created": now,
        **place,
        "tessera:result": result.name,
        "tessera:embeddings": ids if several else ids[0],
        "tessera:year": years if several else years[0],
        **{key: first[key] for key in MODEL_FACTS if key in first},
        "tessera:dim": result.dim,
        **{f"tessera:{key}": value for key, value in result.facts.items()},
    }
    save_item(path, item, assets)


def _times_of_all(sources: Sequence[Mapping[str, Any]], now: str) -> dict[str, Any]:
    """From when to when the observations are, in STAC's words; now where that isn't known of all sources."""
    spans = [[item["properties"].get(key) for key in ("start_datetime", "end_datetime")] for item in sources]
    if not all(all(span) for span in spans):
        return {"datetime": now}
    # RFC 3339 in UTC sorts as text
    return {
        "datetime": None,
        "start_datetime": min(start for start, _ in spans),
        "end_datetime": max(end for _, end in spans),
    }


def _times(facts: RunFacts, created: datetime) -> dict[str, Any]:
    if facts.period is None:
        # STAC wants an interval. This one is true of every scene; that nothing narrower is known is said in words.
        start, end = FIRST_OBSERVATION, created
        when = (
            "The scene gives days of year without a year: start_datetime (the first Sentinel launch) and end_datetime "
            "(when this was made) only bound the year of the observations."
        )
    else:
        first, last = filed_under(facts.bounds, facts.period)[1] or facts.period
        start = datetime.combine(first, time.min, timezone.utc)
        end = datetime.combine(last, time(23, 59, 59), timezone.utc)
        when = f"The observations are from {facts.period[0]} to {facts.period[1]}."
    return {
        "title": f"TESSERA embeddings of {facts.scene_name}",
        "description": (
            f"One vector of {facts.dim} dimensions a pixel, from Sentinel-2 and Sentinel-1, by model "
            f"{facts.model_name} ({facts.generation}, {facts.precision}). {when}"
        ),
        "datetime": None,
        "start_datetime": _rfc3339(start),
        "end_datetime": _rfc3339(end),
        "created": _rfc3339(created),
    }


def _filed(facts: RunFacts) -> dict[str, Any]:
    """The calendar year of the observations, or their season."""
    year, season = filed_under(facts.bounds, facts.period)
    found: dict[str, Any] = {"tessera:year": year}
    if season is not None:
        found["tessera:season"] = season_fact(season)
    if facts.periods:
        first, last = facts.periods[0]["start"], facts.periods[-1]["end"]
        found |= {
            "tessera:year": None,
            "tessera:season": [first, last],
            "tessera:every": facts.every,
            "tessera:periods": list(facts.periods),
        }
    return found


def season_fact(season: Period) -> list[str]:
    """A season as items record it."""
    return [day.isoformat() for day in season]


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def projection(grid: Grid) -> dict[str, Any]:
    """A grid as fields of STAC's projection extension, with its CRS."""
    if grid.crs is None:
        return {"proj:code": None} | grid_fields(grid)
    from rasterio.crs import CRS
    from rasterio.enums import WktVersion

    crs = CRS.from_user_input(grid.crs)
    authority = crs.to_authority()
    if authority is not None:
        return {"proj:code": ":".join(authority)} | grid_fields(grid)
    return {"proj:code": None, "proj:wkt2": crs.to_wkt(version=WktVersion.WKT2_2019)} | grid_fields(grid)


def _facts(grid: Grid, facts: RunFacts) -> dict[str, Any]:
    year = _filed(facts)["tessera:year"]
    return {
        "processing:software": {
            "tessera-engine": facts.engine_version,
            facts.backend: facts.backend_version,
        },
        "tessera:engine_version": facts.engine_version,
        "tessera:model": facts.model_name,
        "tessera:model_sha256": facts.model_sha256,
        "tessera:generation": facts.generation,
        "tessera:precision": facts.precision,
        "tessera:store": facts.stored_as,
        "tessera:dim": facts.dim,
        "tessera:quantization": QUANTIZATION[facts.stored_as],
        "tessera:nodata": NODATA_RULE[facts.stored_as],
        **({LOSSY: facts.lossy} if facts.lossy else {}),
        "tessera:backend": facts.backend,
        "tessera:backend_version": facts.backend_version,
        "tessera:instruction_set": facts.instruction_set,
        **({"tessera:other_cells": list(facts.other_cells)} if facts.other_cells else {}),
        "tessera:scene": facts.scene_name,
        "tessera:scene_layout": facts.scene_layout,
        "tessera:scene_fingerprint": facts.scene_fingerprint,
        **_filed(facts),
        "tessera:s2_days_of_year": list(facts.dates.s2),
        "tessera:s1_ascending_days_of_year": list(facts.dates.s1_ascending),
        "tessera:s1_descending_days_of_year": list(facts.dates.s1_descending),
        **({} if facts.selection is None else {"tessera:selection": dict(facts.selection)}),
        "tessera:pixels": grid.width * grid.height,
        "tessera:pixels_with_data": facts.pixels_with_data,
        **(
            {
                MIN_CLEAR: facts.min_clear,
                PIXELS_FEW_CLEAR: facts.few_clear,
                COMPLETE: [year] if year is not None and facts.few_clear == 0 else [],
            }
            if facts.min_clear is not None
            else {}
        ),
        "tessera:findings": [finding.to_dict() for finding in facts.findings],
    }
