"""STAC items with local assets: every form is found, offsets follow metadata, and the newest processing counts."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from product_files import YEAR, needs_metadata
from stac_files import write_items, write_stac_s1, write_stac_s2
from stac_scenes import ARRAYS, DAYS, change, find, first_asset


@pytest.mark.parametrize("form", ["files", "collection", "catalogue"])
@pytest.mark.parametrize("real", [False, pytest.param(True, marks=needs_metadata)])
@pytest.mark.parametrize("kind", ["pc", "earthsearch", "earthsearch-v0"])
@pytest.mark.parametrize("offset", [0, 1000])
def test_items_are_found(tmp_path, kind, form, real, offset):
    items = write_stac_s2(tmp_path, ARRAYS, kind=kind, offset=offset, real=real)
    write_items(tmp_path, items + write_stac_s1(tmp_path, ARRAYS), form)
    found = find(tmp_path)
    assert not found.problems
    assert not found.warnings
    assert [product.name for product in found.s2] == [item["id"] for item in items]
    assert [product.date for product in found.s2] == DAYS
    assert {(product.offset, product.offset_known) for product in found.s2} == {(offset, True)}
    assert {(product.units, product.date.year) for product in found.s1} == {("power", YEAR)}
    assert sorted(product.orbit for product in found.s1) == ["ascending"] * 3 + ["descending"] * 3


OLD, NEW = "2021-06-01T10:50:31Z", "2023-06-01T10:50:31Z"
OFFSET_RULES = [
    ("applied", NEW, {"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.09"}, None, (0, True)),
    ("applied, raster still says", NEW, {"earthsearch:boa_offset_applied": True}, (0.0001, -0.1), (0, True)),
    ("first version, applied", NEW, {"sentinel:boa_offset_applied": True, "sentinel:processing_baseline": "04.00"}, None, (0, True)),
    ("raw", NEW, {"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "05.09"}, None, (1000, True)),
    ("raw, raster says none", NEW, {"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "05.09"}, (0.0001, 0), (1000, True)),
    ("raw, before", OLD, {"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "03.00"}, None, (0, True)),
    ("raster", OLD, {}, (0.0001, -0.1), (1000, True)),
    ("raster says none", NEW, {}, (0.0001, 0), (0, True)),
    ("raster, but too early", OLD, {"s2:processing_baseline": "03.00"}, (0.0001, -0.1), (0, True)),
    ("baseline removed", NEW, {"s2:processing_baseline": "05.09"}, (0.0001, 0), (0, True)),
    ("baseline", OLD, {"s2:processing_baseline": "05.00"}, None, (1000, True)),
    ("baseline before", OLD, {"s2:processing_baseline": "02.12"}, None, (0, True)),
    ("name", NEW, {"s2:product_uri": "S2A_MSIL2A_20230601T105031_N0509_R051_T31UES_20230601T140000.SAFE"}, None, (1000, True)),
    *[(f"baseline {form!r}", OLD, {"s2:processing_baseline": form}, None, (1000, True)) for form in ("0500", "N0500", "V05.00", "5.0", 5.0, 500, "5.11")],
    ("baseline 3", NEW, {"s2:processing_baseline": 3.01}, None, (0, True)),
    ("baseline of a program", NEW, {"processing:version": "1.2.3"}, None, (1000, False)),
    ("applied, as a text", NEW, {"earthsearch:boa_offset_applied": "True", "s2:processing_baseline": "05.09"}, (0.0001, -0.1), (0, True)),
    ("raw, as a number", NEW, {"earthsearch:boa_offset_applied": 0, "s2:processing_baseline": "05.09"}, (0.0001, 0), (1000, True)),
    ("raster, as texts", OLD, {}, ("0.0001", "-0.1"), (1000, True)),
    ("date", NEW, {}, None, (1000, False)),
    ("date before", OLD, {"s2:processing_baseline": "next"}, None, (0, False)),
]  # fmt: skip


@pytest.mark.parametrize(("when", "properties", "raster", "wanted"), [rule[1:] for rule in OFFSET_RULES], ids=[rule[0] for rule in OFFSET_RULES])  # fmt: skip
def test_the_offset_follows_from_metadata(tmp_path, when, properties, raster, wanted):
    (item, _) = write_stac_s2(tmp_path, ARRAYS)
    item["properties"] = {"datetime": when, "platform": "sentinel-2b", **properties}
    if raster:
        for asset in item["assets"].values():
            asset["raster:bands"] = [{"scale": raster[0], "offset": raster[1]}]
    write_items(tmp_path, [item])
    (product,) = find(tmp_path).s2
    assert (product.offset, product.offset_known) == wanted


def other_offset(item):
    item["properties"]["s2:processing_baseline"] = "05.09"
    item["assets"]["B02"]["raster:bands"] = [{"scale": 0.0001, "offset": -0.2}]


ITEM_MISTAKES = {
    "http": (first_asset("https://localhost:1/B02.tif"), r"points to https://localhost:1/B02\.tif, which is not read"),
    "s3": (first_asset("s3://bucket/B02.tif"), "s3://bucket.* not read"),
    "file url": (first_asset("file:///etc/passwd"), "points to file:///etc/passwd, which is outside"),
    "absolute": (first_asset("/etc/passwd"), "points to /etc/passwd, which is outside"),
    "upwards": (first_asset("../../../../../../etc/passwd"), "is outside the scene folder"),
    "upwards, hidden": (first_asset("s2/%2e%2e/%2e%2e/%2e%2e/x"), "is outside the scene folder"),
    "gdal": (first_asset("/vsicurl/http://localhost:1/x.tif"), "is outside the scene folder"),
    "gdal, relative": (first_asset("vsicurl/http://localhost:1/x.tif"), "which is missing"),
    "zero": (first_asset("a\0b"), "which is missing"),
    "missing": (first_asset("./nothing.tif"), r"points to \./nothing\.tif, which is missing"),
    "folder": (first_asset("./s2"), "which is missing"),
    "no href": (lambda item: item["assets"]["B02"].pop("href"), "without an href"),
    "href no text": (first_asset(["x"]), "without an href"),
    "no band": (lambda item: item["assets"].pop("B05"), r"lacks the assets B05 \(rededge1\)"),
    "no mask": (lambda item: item["assets"].pop("SCL"), r"lacks the assets SCL \(scl\)"),
    "named level 1": (lambda item: item.update(collection="sentinel-2-l1c"), "Level-1C"),
    "type of level 1": (change(**{"product:type": "S2MSI1C"}), "Level-1C"),
    "level 1": (lambda item: item.update(assets={}), "expected those of Sentinel-2 Level-2A"),
    "date": (change(datetime="soon"), "has the datetime 'soon'"),
    "a date before the year 1 in UTC": (change(datetime="0001-01-01T00:00:00+02:00"), "has the datetime '0001"),
    "no date": (change(datetime=None), "has the datetime None"),
    "offsets": (other_offset, r"offsets \[2000\]"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", ITEM_MISTAKES)
def test_a_bad_item_is_named_and_the_others_used(tmp_path, mistake):
    bad, good = write_stac_s2(tmp_path, ARRAYS)
    spoil, reason = ITEM_MISTAKES[mistake]
    spoil(bad)
    for item in (bad, good):
        (tmp_path / f"{item['id']}.json").write_text(json.dumps(item))
    found = find(tmp_path)
    assert [product.name for product in found.s2] == [good["id"]]
    (problem,) = found.problems
    assert problem.source.name == f"{bad['id']}.json"
    assert re.search(reason, problem.reason), problem.reason


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"type": "Feature", "assets": {', "\xff\xfe"])
def test_invalid_json_is_named(tmp_path, text):
    write_items(tmp_path, write_stac_s2(tmp_path, ARRAYS))
    (tmp_path / "bad.json").write_text(text, encoding="latin1")
    found = find(tmp_path)
    assert len(found.s2) == 2
    assert [(p.source.name, "JSON" in p.reason) for p in found.problems] == [("bad.json", True)]


@pytest.mark.parametrize(
    "content",
    [[], 1, "x", {}, {"type": "Feature", "geometry": None}, {"type": "FeatureCollection", "features": 3},
     {"type": "Feature", "assets": [], "properties": 4}, {"type": "Feature", "assets": [], "properties": {"platform": "landsat-8"}},
     {"type": "Catalog", "links": "no"}, {"type": "Catalog", "links": [3]}],
)  # fmt: skip
def test_other_json_is_ignored(tmp_path, content):
    (tmp_path / "other.json").write_text(json.dumps(content))
    found = find(tmp_path)
    assert not found.problems
    assert not found.s2
    assert not found.s1


def test_an_item_twice_is_named(tmp_path):
    items = write_stac_s2(tmp_path, ARRAYS)
    write_items(tmp_path, items, "files")
    write_items(tmp_path, items[:1], "collection")
    found = find(tmp_path)
    assert len(found.s2) == 2
    assert [problem.source.name for problem in found.problems] == ["items.json"]
    assert "is a copy of" in found.problems[0].reason


def spoiled_radar(tmp_path, spoil):
    items = write_stac_s1(tmp_path, ARRAYS)
    spoil(items[0])
    write_items(tmp_path, items)
    return find(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (change(**{"sat:orbit_state": "geostationary"}), "expected ascending or descending"),
        (
            lambda item: item.update(collection="sentinel-1-grd"),
            "is Sentinel-1 GRD, expected terrain-corrected",
        ),
        (lambda item: item.update(assets={"hh": item["assets"]["vv"]}), "no asset vv and no asset vh"),
    ],
)
def test_a_bad_radar_item_is_named(tmp_path, spoil, reason):
    found = spoiled_radar(tmp_path, spoil)
    assert len(found.s1) == 5
    assert [reason in problem.reason for problem in found.problems] == [True]


def test_a_radar_item_with_one_channel_is_used_with_a_warning(tmp_path):
    found = spoiled_radar(tmp_path, lambda item: item["assets"].pop("vh"))
    assert sum(product.vh is None for product in found.s1) == 1
    assert "has no VH" in found.warnings[0]


def test_the_units_of_other_collections_are_unknown(tmp_path):
    def as_indigo(item):
        item["collection"] = "sentinel1-rtc-aws"
        item["assets"] = {f"gamma0_{key}": asset for key, asset in item["assets"].items()}

    found = spoiled_radar(tmp_path, as_indigo)
    assert sorted(str(product.units) for product in found.s1) == ["None"] + ["power"] * 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def with_rasters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("items")
    return folder, [write_stac_s2(folder, ARRAYS, kind="earthsearch")[0], write_stac_s1(folder, ARRAYS)[0]]


def places(value, path=()):
    """The paths to all parts of a JSON value."""
    yield path
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(inner, (*path, key))


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_in_an_item_is_used_named_or_ignored(with_rasters, data):
    folder, items = with_rasters
    item = json.loads(json.dumps(data.draw(st.sampled_from(items))))
    path = data.draw(st.sampled_from(list(places(item))))
    value = data.draw(JSON)
    if path:
        inner = item
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
    else:
        item = value
    (folder / "item.json").write_text(json.dumps(item))
    found = find(folder)
    assert len(found.s2) + len(found.s1) + len(found.problems) <= 1
    assert not [problem for problem in found.problems if "\n" in problem.reason]


# The newest processing


TIME = f"{DAYS[0]}T10:57:31.024000Z"
DAY = f"{DAYS[0]:%Y%m%d}"
REPROCESSED = {
    "Planetary Computer": (
        (f"S2A_MSIL2A_{DAY}T105031_R051_T31UES_{DAY}T214000", {"s2:processing_baseline": "02.14", "s2:mgrs_tile": "31UES"}),
        (f"S2A_MSIL2A_{DAY}T105031_R051_T31UES_20230211T040506", {"s2:processing_baseline": "05.00", "s2:mgrs_tile": "31UES"}),
    ),
    "Planetary Computer, one baseline": (
        (f"S2A_MSIL2A_{DAY}T105031_R051_T31UES_20230111T040506", {"s2:generation_time": "2023-01-11T04:05:06Z"}),
        (f"S2A_MSIL2A_{DAY}T105031_R051_T31UES_20220211T040506", {"s2:generation_time": "2023-02-11T04:05:06Z"}),
    ),
    "Earth Search": (
        (f"S2A_31UES_{DAY}_1_L2A", {"s2:processing_baseline": "02.14", "grid:code": "MGRS-31UES", "created": "2024-01-01T00:00:00Z"}),
        (f"S2A_31UES_{DAY}_0_L2A", {"s2:processing_baseline": "05.00", "grid:code": "MGRS-31UES", "created": "2023-01-01T00:00:00Z"}),
    ),
    "Earth Search, first version": (
        (f"S2A_31UES_{DAY}_0_L2A", {"sentinel:product_id": f"S2A_MSIL2A_{DAY}T105031_N0213_R051_T31UES_{DAY}T140000"}),
        (f"S2A_31UES_{DAY}_1_L2A", {"sentinel:product_id": f"S2A_MSIL2A_{DAY}T105031_N0500_R051_T31UES_20230211T040506"}),
    ),
    "Element84 collection 1": (
        (f"S2A_T31UES_{DAY}T105031_L2A_a", {"mgrs:utm_zone": 31, "mgrs:latitude_band": "U", "mgrs:grid_square": "ES", "s2:processing_baseline": "05.00", "s2:generation_time": "2023-01-01T00:00:00Z"}),
        (f"S2A_T31UES_{DAY}T105031_L2A", {"mgrs:utm_zone": 31, "mgrs:latitude_band": "U", "mgrs:grid_square": "ES", "s2:processing_baseline": "05.10", "s2:generation_time": "2022-01-01T00:00:00Z"}),
    ),
    "Copernicus Data Space": (
        (f"S2A_MSIL2A_{DAY}T105031_N0500_R051_T31UES_20230211T040506", {"processing:version": "05.00"}),
        (f"S2A_MSIL2A_{DAY}T105031_N0511_R051_T31UES_20230101T000000", {"processing:version": "05.11"}),
    ),
    "Digital Earth": (
        ("b7f1", {"odc:region_code": "31UES", "odc:processing_datetime": "2022-01-01T00:00:00Z"}),
        ("a7f1", {"odc:region_code": "31UES", "odc:processing_datetime": "2023-01-01T00:00:00Z"}),
    ),
    "two catalogues": (
        (f"S2A_31UES_{DAY}_0_L2A", {"grid:code": "MGRS-31UES", "s2:processing_baseline": "02.14"}),
        (f"S2A_MSIL2A_{DAY}T105031_N0500_R051_T31UES_20230211T040506", {}),
    ),
    "nothing but ids": (
        (f"S2A_31UES_{DAY}_9_L2A", {"grid:code": "MGRS-31UES"}),
        (f"S2A_31UES_{DAY}_10_L2A", {"grid:code": "MGRS-31UES"}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("catalogue", REPROCESSED)
@pytest.mark.parametrize("newest_first", [False, True])
def test_the_newest_processing_counts(tmp_path, catalogue, newest_first):
    items = []
    for (name, properties), item in zip(REPROCESSED[catalogue], write_stac_s2(tmp_path, ARRAYS), strict=True):
        time = {"datetime": TIME, "platform": "sentinel-2a"}
        items.append({**item, "id": name, "properties": {**time, **properties}})
    write_items(tmp_path, items[::-1] if newest_first else items, "collection")
    found = find(tmp_path)
    assert [product.name for product in found.s2] == [items[1]["id"]]
    (problem,) = found.problems
    assert items[1]["id"] in problem.reason


def test_parts_of_one_acquisition_are_kept(tmp_path):
    """Where two datastrips meet in a tile, Earth Search has an item for each; their times are seconds apart."""
    items = write_stac_s2(tmp_path, ARRAYS, kind="earthsearch")
    for n, item in enumerate(items):
        item["id"] = f"S2A_31UES_{DAY}_{n}_L2A"
        item["properties"] |= {"datetime": f"{DAYS[0]}T10:57:{31 + 14 * n}Z", "grid:code": "MGRS-31UES"}
    write_items(tmp_path, items)
    found = find(tmp_path)
    assert len(found.s2) == 2
    assert not found.problems


def test_a_raster_of_another_date_is_not_used(tmp_path):
    bad, good = write_stac_s2(tmp_path, ARRAYS)
    path = tmp_path / bad["assets"]["B02"]["href"]
    path.rename(path.with_name("T31UES_20210203T105031_B02_10m.tif"))
    bad["assets"]["B02"]["href"] = bad["assets"]["B02"]["href"].replace(
        "B02.tif", "T31UES_20210203T105031_B02_10m.tif"
    )
    write_items(tmp_path, [bad, good])
    found = find(tmp_path)
    assert [product.name for product in found.s2] == [good["id"]]
    assert "2021-02-03" in found.problems[0].reason


@pytest.mark.parametrize("name", ["LC08_L2SP_199024_20210101_02_T1", "x"])
def test_items_of_other_satellites_are_named(tmp_path, name):
    bad, good = write_stac_s2(tmp_path, ARRAYS)
    bad |= {"id": name, "properties": {"datetime": TIME, "platform": "landsat-8"}}
    write_items(tmp_path, [bad, good])
    found = find(tmp_path)
    assert [product.name for product in found.s2] == [good["id"]]
    assert "andsat" in found.problems[0].reason
