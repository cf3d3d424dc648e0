"""The guard: every mistake gets its finding, and a good scene gets none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from extremes import PLACES, observe
from fake_backend import made_up_facts
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import FakeReader, made_up_arrays, write_tile
from mistakes import MISTAKES
from places import FLANDERS

from tessera_engine.errors import InputError
from tessera_engine.finding import Finding
from tessera_engine.guard import SAMPLE_PIXELS, examine, heed, plausible_shares
from tessera_engine.guard.checks import check_all
from tessera_engine.guard.coverage import check_clear_dates, check_gaps, check_modalities, clear_days
from tessera_engine.guard.optical_sample import OpticalSample
from tessera_engine.model.statistics import FLAVOURS
from tessera_engine.scene import Dates, Grid, Observations, Scene
from tessera_engine.scenes import open_scene
from tessera_engine.simulate import simulate

FACTS = made_up_facts()
GRID = Grid(10, 10)
NO_DATES = Dates((), (), ())


def sampled(path):
    scene = open_scene(path)
    return scene.reader.sample(scene.grid.window, SAMPLE_PIXELS), scene.reader.dates, scene.grid


def simulated(folder, seed, size=40):
    simulate(folder / str(seed), size, seed)
    return sampled(folder / str(seed))


def names(findings):
    return [finding.name for finding in findings]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return [simulated(folder, 1, 32), simulated(folder, 2, (48, 20))]


@pytest.fixture(scope="module")
def flanders():
    if not FLANDERS.exists():
        pytest.skip("needs the real scene in ../shared/data, which is not there")
    return sampled(FLANDERS)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_its_finding_and_no_other(scenes, mistake):
    expected, make = MISTAKES[mistake]
    for scene in scenes:
        assert [(f.name, f.sure) for f in check_all(*make(*scene), FACTS)] == [(expected, "certain")]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_in_the_real_scene_too(flanders, mistake):
    expected, make = MISTAKES[mistake]
    found = set(names(check_all(*make(*flanders), FACTS)))
    # It has no descending orbit to begin with
    assert found - {"s1-orbit-missing"} == {expected} - {"s1-orbit-missing"}


def test_the_real_scene_lacks_an_orbit_and_nothing_else(flanders):
    assert names(check_all(*flanders, FACTS)) == ["s1-orbit-missing"]


@pytest.mark.parametrize("seed", range(100, 103))
def test_a_good_scene_has_no_finding(tmp_path, seed):
    assert check_all(*simulated(tmp_path, seed, (20 + seed % 3 * 20, 24)), FACTS) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 220))
def test_each_mistake_in_each_of_twenty_scenes(tmp_path, seed):
    scene = simulated(tmp_path, seed, (64 + seed % 4 * 32, 64))
    assert check_all(*scene, FACTS) == []
    for mistake, (expected, make) in MISTAKES.items():
        found = [(f.name, f.sure) for f in check_all(*make(*scene), FACTS)]
        assert found == [(expected, "certain")], mistake


@pytest.mark.parametrize("place", PLACES)
def test_an_unusual_place_has_no_finding(place):
    assert check_all(*observe(PLACES[place], 1), FACTS) == []


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_twenty_unusual_places_have_no_certain_finding(place):
    for seed in range(2, 22):
        certain = {f.name for f in check_all(*observe(PLACES[place], seed), FACTS) if f.sure == "certain"}
        # Months of cloud are real there
        assert certain <= {"s2-gap"}


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_mistake_in_an_unusual_place_gets_the_right_finding_or_none(place):
    scene = observe(PLACES[place], 3)
    for mistake, (expected, make) in MISTAKES.items():
        certain = {f.name for f in check_all(*make(*scene), FACTS) if f.sure == "certain"}
        # Where there are no clouds an inverted mask is an empty one; zeros count as missing data
        allowed = {expected, "mask-empty", "s2-few-clear"}
        assert certain <= allowed, mistake


def test_a_mistake_on_a_disk(tmp_path):
    simulate(tmp_path / "scene", 32, 5)
    values = np.load(tmp_path / "scene" / "bands.npy")
    np.save(tmp_path / "scene" / "bands.npy", values + np.uint16(1000))
    scene = open_scene(tmp_path / "scene")
    (finding,) = examine(scene, FACTS)
    assert (finding.name, finding.sure) == ("s2-offset", "certain")
    assert "on 70 of" not in finding.found  # overcast dates can't be checked
    assert "subtract 1000" in finding.fix


def test_warnings_of_the_reader_come_first(tmp_path):
    scene = open_scene(write_tile(tmp_path / "scene", made_up_arrays(), transform=None))
    first = examine(scene, FACTS)[0]
    assert first == Finding("reader", "certain", scene.reader.warnings[0])
    assert first.line == scene.reader.warnings[0]


def test_findings_are_reported_or_refused():
    findings = [
        Finding("reader", "certain", "a file is gone"),
        Finding("s2-x", "likely", "odd", "bad", "mend it"),
    ]
    lines = []
    heed(findings, False, lines.append)
    assert lines == ["warning: a file is gone", "warning: odd [s2-x, likely]; bad; mend it"]
    heed([], True, lines.append)
    with pytest.raises(InputError, match=r"a file is gone; odd .*strict=True"):
        heed(findings, True, lines.append)


def test_missing_sensors_and_orbits_are_found():
    assert names(check_modalities(NO_DATES)) == ["s1-missing", "s2-missing"]
    assert names(check_modalities(Dates((1,), (), (1,)))) == ["s1-orbit-missing"]
    assert "ascending" in check_modalities(Dates((1,), (), (1,)))[0].found
    assert check_modalities(Dates((1,), (1,), (1,))) == []


def dates_with(days):
    return replace(NO_DATES, s1_ascending=tuple(sorted(days)))


@given(st.sets(st.integers(1, 365), min_size=1, max_size=40))
def test_a_gap_is_the_longest_run_of_days_without_a_date(days):
    empty = 0
    longest = 0
    for day in [*range(1, 366), *range(1, 366)]:  # twice, because a gap may reach over the new year
        empty = 0 if day in days else min(empty + 1, 364)
        longest = max(longest, empty)
    findings = check_gaps([], dates_with(days), GRID)
    assert (names(findings) == ["s1-gap-ascending"]) == (longest + 1 > 60)
    if findings:
        assert f"for {longest + 1} days" in findings[0].found


@pytest.mark.parametrize(
    ("latitude", "summer", "told"), [(70, False, False), (70, True, True), (45, False, True)]
)
def test_the_polar_night_is_no_gap(latitude, summer, told):
    from affine import Affine

    grid = Grid(10, 10, "EPSG:32633", Affine(10, 0, 500_000, 0, -10, latitude * 111_000))
    days = [*range(1, 120, 5), *range(240, 366, 5)] if summer else list(range(60, 290, 5))
    assert names(check_gaps(days, NO_DATES, grid)) == (["s2-gap"] if told else [])


def test_values_far_from_the_model_are_reported_by_band(scenes):
    observations, dates, grid = scenes[0]
    shares = plausible_shares(observations, FACTS)
    assert min(shares.values()) > 0.98
    assert set(shares) == {f"S2 {band}" for band in FACTS.s2_bands} | {
        f"S1 {orbit} {band}" for orbit in ("ascending", "descending") for band in ("VV", "VH")
    }
    odd = made_up_facts(s2_mean=(*FACTS.s2_mean[:9], 30_000.0))
    (finding,) = check_all(observations, dates, grid, odd)
    assert (finding.name, finding.sure) == ("model-range", "likely")
    assert "S2 B12 0%" in finding.found
    assert "B11" not in finding.found


def arrays(dtype, shape, values):
    return st.binary(min_size=1, max_size=8).map(
        lambda seed: np.random.default_rng(list(seed)).choice(values, shape).astype(dtype)
    )


@settings(max_examples=30)
@given(
    arrays(np.uint16, (14, 9, 9, 10), [0, 1, 999, 1000, 65535]),
    arrays(np.uint8, (14, 9, 9), [0, 1, 255]),
    arrays(np.int16, (9, 9, 9, 2), [-32768, 0, 1, 32767]),
    st.integers(0, 14),
    st.integers(0, 9),
)
def test_any_values_can_be_checked(s2, valid, s1, s2_dates, s1_dates):
    doys = np.arange(1, 15, dtype=np.int32)
    observations = Observations(
        s2[:s2_dates], valid[:s2_dates], doys[:s2_dates], s1[:s1_dates], doys[:s1_dates], s1[:0], doys[:0]
    )
    dates = Dates(tuple(range(1, s2_dates + 1)), tuple(range(1, s1_dates + 1)), ())
    with np.errstate(all="raise", under="ignore"):
        for finding in check_all(observations, dates, GRID, FACTS):
            assert finding.line
            assert "nan" not in finding.line


@pytest.mark.parametrize(
    ("layout", "generation", "flavour", "told"),
    [
        ("safe+opera", "v1.1", "mpc", ["model-source"]),
        ("safe+opera", "v1.1", "aws", []),
        ("safe+stac", "v1.1", "mpc", []),
        ("opera", "v2", "", []),
    ],
)
def test_a_v1_1_model_of_the_other_source_is_found(layout, generation, flavour, told):
    reader = FakeReader(made_up_arrays())
    reader.layout = layout
    found = examine(Scene("x", "x", reader), FLAVOURS[generation][flavour])
    assert [finding.name for finding in found if finding.name == "model-source"] == told


@pytest.mark.parametrize("radar_beside", [False, True])
@pytest.mark.parametrize("dates", [5, 30])
def test_clear_dates_count_where_pixels_are_embedded(dates, radar_beside):
    """The swath's edge: most of the tile has no data on any date."""
    clear = np.zeros((40, 100), bool)
    clear[:dates, :30] = True
    values = np.where(clear[..., None], 500, 0).repeat(10, 2).astype(np.uint16)
    sample = OpticalSample(values, clear, clear, clear, np.arange(1, 41, dtype=np.int32))
    embedded = np.ones(100, bool) if radar_beside else np.arange(100) < 30
    found = check_clear_dates(sample, embedded)
    assert [finding.name for finding in found] == (
        [] if dates == 30 and not radar_beside else ["s2-few-clear"]
    )
    if found:
        assert f"has {0 if radar_beside else dates} clear" in found[0].found
    assert len(clear_days(sample)) == dates
