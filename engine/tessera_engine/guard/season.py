"""What a time that is not a calendar year means for the models, which learnt from calendar years."""

from __future__ import annotations

from tessera_engine.finding import Finding
from tessera_engine.scene import Reader
from tessera_engine.scenes.period import Period, calendar_year
from tessera_engine.tokens import Statistics


def season_of(reader: Reader) -> Period | None:
    """First and last day that were asked for; None where that is a calendar year, or all observations are used."""
    bounds = reader.bounds
    return None if bounds is None or calendar_year(bounds) is not None else bounds


def check_order(season: Period | None, model: Statistics) -> list[Finding]:
    """Find a season across New Year for a model whose result depends on the order of the observations.

    The published code takes observations in the order of time, each with its day of year. v2 networks don't know the
    order, only the days. In v1 networks a recurrent unit follows the order, and it learnt from 1 January on.
    """
    if season is None or model.generation == "v2" or season[0].year == season[1].year:
        return []
    return [
        Finding(
            "season-order",
            "certain",
            f"the season from {season[0]} to {season[1]} crosses New Year, and {model.generation} models learnt from "
            "calendar years in the order of their days",
            "after 31 December the days of year begin again, which these models have never seen",
            "use a v2 model, whose result doesn't depend on the order, or a season within one year",
        )
    ]


def note_on(season: Period | None) -> str | None:
    """What a user of a season should know, in one line; None without a season."""
    if season is None:
        return None
    return (
        f"note: the season is {season[0]} to {season[1]}; the published models learnt from whole calendar years, so "
        "compare these embeddings with those of the same months only"
    )
