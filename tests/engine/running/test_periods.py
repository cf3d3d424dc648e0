"""Periods that grow: one reading of the scene gives what separate runs give, in a store that says when."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray
from fake_backend import FakeBackend
from hypothesis import given
from hypothesis import strategies as st
from made_up import FakeReader, SeasonReader, made_up_arrays, write_tile
from mosaic_files import CLEAR, write_s2_mosaic

from tessera_engine.errors import InputError
from tessera_engine.formats.opening import open_embeddings, stored_periods, stored_years
from tessera_engine.running.convert import convert
from tessera_engine.running.options import RunOptions
from tessera_engine.running.periods import growing_periods, parse_every
from tessera_engine.running.plan import make_plan
from tessera_engine.running.run import run
from tessera_engine.scene import Scene
from tessera_engine.scenes import open_scene
from tessera_engine.stac.reading import read_item
from tessera_engine.verification.output import check_files

ARRAYS = made_up_arrays(11, 9, 40)
FIRST, LAST = date(2023, 11, 1), date(2024, 6, 30)
"""Across New Year, and of a leap year."""


class Exact(FakeBackend):
    """A backend whose bits don't depend on other pixels, as the fused one's."""

    piece_pixels = 7


class Counting(SeasonReader):
    """Counts readings, and may stop before one of them."""

    stop = None

    def read(self, window):
        if len(self.windows_read) == self.stop:
            raise KeyboardInterrupt
        return super().read(window)

    def fingerprint(self):
        return "a" * 64


def reader_of(first=FIRST, last=LAST):
    return Counting(ARRAYS, first, last)


def embed(out, reader, backend=None, **options):
    backend = backend or Exact()
    chosen = RunOptions.given({"memory": "1GB", "stored_as": "int8", **options})
    plan = make_plan(Scene("place", "place", reader), backend.model, out, chosen)
    told = []
    statistics = run(plan.__class__(**{**vars(plan), "window_pixels": 20}), backend, None, told.append)
    return statistics, told


def contents(out):
    """The bytes of the files of an output, and its item without the time of writing."""
    item = json.loads((out / "item.json").read_text())
    for word in ("created", "tessera:item_sha256"):
        item["properties"].pop(word)
    return item, {
        path.relative_to(out): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name != "item.json"
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    out = tmp_path_factory.mktemp("store") / "season"
    reader = reader_of()
    embed(out, reader, every="month")
    assert len(reader.windows_read) == len(set(reader.windows_read)) == 6
    return out


class TestSteps:
    def periods(self, every, first=FIRST, last=LAST):
        return growing_periods(reader_of(first, last), every)

    def test_months_of_the_calendar(self):
        ends = ["2023-11-30", "2023-12-31", "2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31",
                "2024-06-30"]  # fmt: skip
        assert [(first, str(end)) for first, end in self.periods("month")] == [(FIRST, end) for end in ends]
        assert [str(end) for _, end in self.periods("month", date(2023, 11, 15), date(2024, 1, 2))] == [
            "2023-11-30", "2023-12-31", "2024-01-02"
        ]  # fmt: skip

    @given(st.integers(1, 400), st.dates(date(2016, 1, 1), date(2025, 1, 1)), st.integers(0, 364))
    def test_days_count_the_first_and_the_last(self, step, first, longer):
        class Bounds:
            bounds = first, first + timedelta(days=longer)

        found = growing_periods(Bounds, f"{step}d")
        lengths = [(end - begin).days + 1 for begin, end in found]
        assert {begin for begin, _ in found} == {first}
        assert lengths[:-1] == [step * n for n in range(1, len(found))]
        assert found[-1][1] == first + timedelta(days=longer)
        assert 0 < lengths[-1] - step * (len(found) - 1) <= step

    @pytest.mark.parametrize(
        ("text", "step"), [("14d", "14d"), ("14 days", "14d"), ("Month", "month"), ("1d", "1d")]
    )
    def test_words_for_a_step(self, text, step):
        assert parse_every(text) == step

    @pytest.mark.parametrize("text", ["", "0d", "-3d", "1.5d", "2 months", "fortnight", "14", "1000d"])
    def test_what_is_no_step(self, text):
        with pytest.raises(InputError, match=r"14d.* month"):
            parse_every(text)

    def test_a_scene_without_a_first_day_is_refused(self):
        with pytest.raises(InputError, match=r"every=14d.*season=.*year="):
            growing_periods(FakeReader(ARRAYS), "14d")


@pytest.mark.parametrize("backend", [Exact, FakeBackend])
def test_each_period_is_what_a_run_of_its_own_gives(tmp_path, store, backend):
    found = store
    if backend is FakeBackend:
        found = tmp_path / "season"
        embed(found, reader_of(), backend(), every="month")
    for first, last in stored_periods(found):
        embed(tmp_path / f"{last}", reader_of(first, last), backend())
        alone, period = open_embeddings(tmp_path / f"{last}"), open_embeddings(found, until=last)
        for one, other in zip(alone.read_stored(), period.read_stored(), strict=True):
            np.testing.assert_array_equal(one, other)
        window = alone.grid.window
        np.testing.assert_array_equal(alone.read_observations(window), period.read_observations(window))
        for fact in ("season", "pixels_with_data", "s2_days_of_year", "s1_ascending_days_of_year"):
            if not fact.endswith("days_of_year"):
                assert alone.provenance[fact] == period.provenance[fact], fact
            else:  # sorted in the item of one run
                assert sorted(alone.provenance[fact]) == sorted(period.provenance[fact])
        for key in ("start_datetime", "end_datetime"):
            assert alone.item["properties"][key] == period.item["properties"][key]
        assert alone.item["properties"]["start_datetime"] == "2023-11-01T00:00:00Z"


def test_pixels_without_new_observations_are_not_computed_again(tmp_path):
    arrays = {name: array.copy() for name, array in ARRAYS.items()}
    for name in ("masks", "sar_ascending", "sar_descending"):
        arrays[name][1:, 5:] = 0  # one observation of each sensor, early in the year
    reader = SeasonReader(arrays, date(2024, 1, 1), date(2024, 12, 31))
    every, exact = FakeBackend(), Exact()
    for backend in (every, exact):
        embed(tmp_path / backend.__class__.__name__, reader, backend, every="month")
    assert contents(tmp_path / "Exact")[1] == contents(tmp_path / "FakeBackend")[1]
    late = max(
        int(arrays[f"{name}doy{end}"][0])
        for name, end in (("", "s"), ("sar_ascending_", ""), ("sar_descending_", ""))
    )
    months = sum(end.timetuple().tm_yday > late for _, end in growing_periods(reader, "month"))
    assert months > 3
    assert sum(every.pixels_run) - sum(exact.pixels_run) >= (months - 1) * 30


def test_xarray_sees_the_bounds_of_time(store):
    periods = stored_periods(store)
    with xarray.open_zarr(store / "embeddings.zarr", group="utm31", chunks=None) as zone:
        assert zone.time.attrs["bounds"] == "time_bnds"
        assert zone.time.values.astype("M8[D]").tolist() == [last for _, last in periods]
        bounds = zone.time_bnds.values.astype("M8[D]").tolist()
        assert bounds == [[first, last + timedelta(days=1)] for first, last in periods]
        june = zone.embeddings.sel(time="2024-06-30").transpose("y", "x", "band").values
    np.testing.assert_array_equal(june, np.maximum(open_embeddings(store, until=LAST).read_stored().values, -127)
                                  * (june != 0))  # fmt: skip


def test_the_item_has_the_whole_time_and_each_period(store):
    item = read_item(store)
    check_files(store, item)
    about = item.properties
    assert (about["start_datetime"], about["end_datetime"]) == (
        "2023-11-01T00:00:00Z",
        "2024-06-30T23:59:59Z",
    )
    assert about["tessera:year"] is None
    assert (about["tessera:season"], about["tessera:every"]) == (["2023-11-01", "2024-06-30"], "month")
    assert [each["end"] for each in about["tessera:periods"]] == [
        str(last) for _, last in stored_periods(store)
    ]
    assert about["tessera:periods"][-1]["tessera:pixels_with_data"] == about["tessera:pixels_with_data"] > 0
    assert stored_years(store) == []


def test_a_period_is_chosen_by_its_last_day(store):
    for wrong, words in (
        ({}, r"8 periods from 2023-11-01.*2023-11-30.*until="),
        ({"until": "2024-03-30"}, r"2024-03-30.*2024-03-31"),
        ({"year": 2024}, r"2023-11-01 to 2024-06-30.*year=2024"),
        ({"until": "March"}, r"until='March'.*2024-03-31"),
    ):
        with pytest.raises(InputError, match=words):
            open_embeddings(store, **wrong)
    assert open_embeddings(store, until="2024-02-29", dim=16).provenance["season"] == [
        "2023-11-01",
        "2024-02-29",
    ]


@pytest.mark.parametrize("stop", [2, 5])
def test_an_interrupted_run_of_periods_gives_equal_bytes(tmp_path, store, stop):
    out = tmp_path / "season"
    reader = reader_of()
    reader.stop = stop
    with pytest.raises(KeyboardInterrupt):
        embed(out, reader, every="month")
    assert [path.name for path in tmp_path.iterdir()] == ["season.partial"]
    for changed, words in (
        ({"every": "14d"}, "every .was month, now 14d"),
        ({}, "every .was month, now none"),
    ):
        with pytest.raises(InputError, match=words):
            embed(out, reader_of(), format="zarr", **changed)
    with pytest.raises(InputError, match=r"time .was 2023-11-01 to 2024-06-30, now 2023-11-01 to 2024-05-31"):
        embed(out, reader_of(last=date(2024, 5, 31)), every="month")
    again = reader_of()
    _, told = embed(out, again, every="month")
    assert any("resuming" in line for line in told)
    assert contents(out) == contents(store)
    with pytest.raises(InputError, match="exists already"):
        embed(out, reader_of(), every="14d")


def test_a_damaged_staged_period_is_computed_again(tmp_path, store):
    out = tmp_path / "season"
    reader = reader_of()
    reader.stop = 5
    with pytest.raises(KeyboardInterrupt):
        embed(out, reader, every="month")
    staged = out.with_name("season.partial") / "staging" / "2024-01-31.embeddings.npy"
    with staged.open("r+b") as file:
        file.seek(300)
        byte = file.read(1)[0] ^ 1
        file.seek(300)
        file.write(bytes([byte]))
    _, told = embed(out, reader_of(), every="month")
    assert any("damaged" in line for line in told)
    assert contents(out) == contents(store)


def test_a_season_is_filed_under_no_year(tmp_path, store):
    july = date(2023, 7, 1), date(2024, 6, 30)
    for season in (july, (date(2024, 3, 1), date(2024, 6, 30))):
        with pytest.raises(InputError, match=rf"geotessera.*{season[0]} to {season[1]}"):
            embed(tmp_path / "tree", reader_of(*season), format="geotessera", dim=None)
    embed(tmp_path / "zarr", reader_of(*july), format="zarr")
    assert stored_periods(tmp_path / "zarr") == [july]
    embed(tmp_path / "cog", reader_of(*july))
    assert open_embeddings(tmp_path / "cog", until=july[1]).provenance["year"] is None
    with pytest.raises(InputError, match=r"2024-06-30.*year=2024"):
        convert(tmp_path / "cog", tmp_path / "other", "zarr", year=2024)
    again = open_embeddings(convert(tmp_path / "cog", tmp_path / "again", "zarr"))
    np.testing.assert_array_equal(
        again.read_stored().values, open_embeddings(tmp_path / "zarr").read_stored().values
    )
    with pytest.raises(InputError, match="append=True"):
        embed(tmp_path / "zarr", reader_of(*july), format="zarr", append=True)
    with pytest.raises(InputError, match="holds a season"):
        embed(tmp_path / "zarr", reader_of(date(2024, 1, 1), date(2024, 12, 31)), format="zarr", append=True)
    last = stored_periods(store)[-1][1]
    one = convert(open_embeddings(store, until=last), tmp_path / "one", "cog")
    assert read_item(one).properties["tessera:season"] == ["2023-11-01", "2024-06-30"]
    assert "tessera:periods" not in read_item(one).properties


def test_a_whole_year_is_filed_under_it(tmp_path):
    embed(tmp_path / "zarr", reader_of(date(2024, 1, 1), date(2024, 12, 31)), format="zarr")
    assert stored_years(tmp_path / "zarr") == [2024]
    with xarray.open_zarr(tmp_path / "zarr" / "embeddings.zarr", group="utm31", chunks=None) as zone:
        assert zone.time.values.tolist() == [2024]
        assert zone.time_bnds.values.astype("M8[D]").tolist() == [[date(2024, 1, 1), date(2025, 1, 1)]]
    with pytest.raises(InputError, match=r"holds no season.*until=2024-12-31"):
        open_embeddings(tmp_path / "zarr", until="2024-12-31")


def test_options_that_contradict_each_other(tmp_path):
    for options, words in (
        ({"format": "cog"}, "format=cog.*every=14d.*zarr"),
        ({"append": True}, "append=True.*every="),
    ):
        with pytest.raises(InputError, match=words):
            RunOptions.given({"every": "14d", **options})
    with pytest.raises(InputError, match="float32"):
        embed(tmp_path / "out", reader_of(), every="14d", stored_as="float32")


def test_evaluate_shows_how_early(store, tmp_path):
    from tessera_engine.analysis.maps.evaluate import evaluate

    # Classes that differ in what was seen from May on only
    labels = tmp_path / "labels.tif"
    write_labels(labels, store)
    found = evaluate(store, labels, method="knn", block=20.0, out=tmp_path / "report")
    rows = found.methods["knn"]
    assert [row.period.until for row in rows] == [str(last) for _, last in stored_periods(store)]
    assert rows[-1].difference.value == 0
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    assert written["periods"][3]["until"] == "2024-02-29"
    assert written["earliest"] == {"knn": found.earliest("knn").period.until}
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "item.json", "report.html", "report.json", "report.md", "report.png"
    ]  # fmt: skip
    assert evaluate(store, labels, method="knn", block=20.0, until="2024-06-30").rows[0].scores[
        "accuracy"
    ].value == pytest.approx(rows[-1].scores["accuracy"].value)


def test_a_period_is_segmented(store, tmp_path):
    from tessera_engine import segment

    options = {"min_area": 0, "scale": 1.0, "progress": False}
    with pytest.raises(InputError, match=r"2024-06-30.*until="):
        segment(store, tmp_path / "f.parquet", **options)
    found = segment(store, tmp_path / "f.parquet", until="2024-02-29", **options)
    opened = open_embeddings(store, until="2024-02-29")
    assert found.hectares[0] == pytest.approx(np.isfinite(opened.read()[..., 0]).sum() * 0.01)


def write_labels(path: Path, store: Path) -> None:
    import rasterio

    grid = open_embeddings(store, until=LAST).grid
    codes = (np.add.outer(np.arange(grid.height), np.arange(grid.width)) % 2 + 1).astype(np.uint8)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": grid.width, "height": grid.height}
    with rasterio.open(path, "w", **profile, crs=grid.crs, transform=grid.transform) as file:
        file.write(codes, 1)


def test_products_across_new_year(tmp_path):
    """The dates of satellite products decide, and each period is what a run of its own gives."""
    rng = np.random.default_rng(0)
    days = [date(2023, 11, 10), date(2023, 12, 20), date(2024, 1, 15), date(2024, 2, 29), date(2024, 3, 1)]
    for day in days:
        classes = rng.choice([CLEAR, 9], (4, 4)).astype(np.uint8)
        write_s2_mosaic(
            tmp_path / "scene", day, rng.integers(200, 6000, (4, 4, 10)).astype(np.uint16), classes
        )
    whole = open_scene(tmp_path / "scene", season="2023-11:2024-04")
    backend = Exact()
    plan = make_plan(
        whole, backend.model, tmp_path / "all", RunOptions.given({"every": "month", "memory": "1GB"})
    )
    run(plan, backend, None, lambda line: None)
    counts = []
    for first, last in stored_periods(tmp_path / "all"):
        scene = open_scene(tmp_path / "scene", start=first, end=last)
        options = RunOptions.given({"stored_as": "int8", "memory": "1GB"})
        plan = make_plan(scene, backend.model, tmp_path / f"{last}", options)
        run(plan, backend, None, lambda line: None)
        alone, period = open_embeddings(tmp_path / f"{last}"), open_embeddings(tmp_path / "all", until=last)
        for one, other in zip(alone.read_stored(), period.read_stored(), strict=True):
            np.testing.assert_array_equal(one, other)
        counts.append(len(period.provenance["s2_days_of_year"]))
        np.testing.assert_array_equal(
            alone.read_quality(alone.grid.window), period.read_quality(period.grid.window)
        )
    assert counts == [1, 2, 3, 4, 5, 5]


def test_verify_opens_the_scene_with_its_season(tmp_path):
    import tessera_engine as te

    write_tile(tmp_path / "tile", made_up_arrays(20, 20, 30))
    scene = te.open_scene(tmp_path / "tile", year=2024, season="2024-03:2024-08")
    te.embed(
        scene, te.load_model("demo", "int8"), tmp_path / "out", progress=False, announce=lambda line: None
    )
    found = te.verify(tmp_path / "out", tmp_path / "tile", pixels=400)
    assert found.reembedded.pixels == 400
    assert found.reembedded.differs == ()
