"""What the guard says of a season: gaps within it, fewer dates for a shorter time, and the order for v1 models."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from fake_backend import made_up_facts
from made_up import FakeReader, SeasonReader, made_up_arrays

from tessera_engine.guard import examine
from tessera_engine.guard.coverage import check_clear_dates, check_gaps
from tessera_engine.guard.optical_sample import OpticalSample
from tessera_engine.guard.season import check_order, note_on, season_of
from tessera_engine.scene import Dates, Grid, Scene

GRID = Grid(10, 10)
WINTER = date(2023, 11, 1), date(2024, 2, 29)
SPRING = date(2024, 3, 1), date(2024, 6, 30)


def names(findings):
    return [finding.name for finding in findings]


def test_only_gaps_within_the_season_count():
    every_week = list(range(62, 182, 7))
    assert names(check_gaps(every_week, Dates((), (), ()), GRID)) == ["s2-gap"]
    assert check_gaps(every_week, Dates((), (), ()), GRID, SPRING) == []
    radar = Dates((), (*range(1, 60, 6), *range(305, 366, 6)), (1, 10, 20, 30, 59))
    (found,) = check_gaps([], radar, GRID, WINTER)
    assert found.name == "s1-gap-descending"
    assert "2023-10-31 and 2024-01-01" in found.found
    (found,) = check_gaps([], Dates((), tuple(range(305, 335)), ()), GRID, WINTER)
    assert "92 days" in found.found
    assert "2023-11-30 and 2024-03-01" in found.found


@pytest.mark.parametrize(
    ("dates", "season", "few"), [(9, None, True), (4, SPRING, False), (3, SPRING, True), (10, None, False)]
)
def test_a_shorter_time_needs_fewer_clear_dates(dates, season, few):
    arrays = made_up_arrays(4, 4, dates)
    arrays["masks"][:] = 1
    sample = OpticalSample.of(FakeReader(arrays).read(Grid(4, 4).window))
    found = check_clear_dates(sample, np.ones(16, bool), season)
    assert names(found) == (["s2-few-clear"] if few else [])


def test_new_year_matters_to_v1_models_only():
    for generation, season, told in (
        ("v1.1", WINTER, ["season-order"]), ("v1.0", WINTER, ["season-order"]), ("v2", WINTER, []),
        ("v1.1", SPRING, []), ("v1.1", None, []),
    ):  # fmt: skip
        assert names(check_order(season, made_up_facts(generation=generation))) == told
    reader = SeasonReader(made_up_arrays(), *WINTER)
    assert "season-order" in names(examine(Scene("a", "a", reader), made_up_facts(generation="v1.1")))


def test_a_note_says_what_a_season_can_be_compared_with():
    reader = SeasonReader(made_up_arrays(), *WINTER)
    assert season_of(reader) == WINTER
    assert "2023-11-01 to 2024-02-29" in note_on(season_of(reader))
    year = SeasonReader(made_up_arrays(), date(2024, 1, 1), date(2024, 12, 31))
    assert season_of(year) is season_of(FakeReader(made_up_arrays())) is note_on(None) is None
