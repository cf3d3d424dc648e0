"""STAC items with local assets: every form is found, offsets follow metadata, and no href leads anywhere else."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mosaic_files import day_of
from product_files import METADATA, YEAR, product_arrays
from stac_files import write_items, write_stac_s1, write_stac_s2

from tessera_engine.scenes.metadata.listing import list_folder
from tessera_engine.scenes.search import find_products

ARRAYS = product_arrays(4, 6, steps=2)
DAYS = [day_of(doy) for doy in ARRAYS["doys"]]
needs_metadata = pytest.mark.skipif(not METADATA.exists(), reason="needs ../shared/data/product-metadata")


def find(folder):
    return find_products(list_folder(folder), "stac")[1]


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


@needs_metadata
def test_real_items_with_remote_assets_are_named(tmp_path):
    """As downloaded, without their rasters: nothing is used or fetched, and each item has a reason."""
    for path in METADATA.rglob("*.json"):
        if json.loads(path.read_text()).get("type") == "Feature":
            (tmp_path / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    found = find(tmp_path)
    assert not found.s2
    assert not found.s1
    assert len(found.problems) == len({problem.source for problem in found.problems}) == 10
    said = " ".join(problem.reason for problem in found.problems)
    for part in (
        "https://sentinel2l2a01",
        "https://sentinel-cogs",
        "https://sentinel-s1-rtc-indigo",
        "is Sentinel-1 GRD",
    ):
        assert part in said


def first_asset(href):
    return lambda item: item["assets"]["B02"].update(href=href)


def change(**properties):
    return lambda item: item["properties"].update(properties)


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
    "level 1": (lambda item: item.update(assets={}), "expected those of Sentinel-2 Level-2A"),
    "date": (change(datetime="soon"), "has the datetime 'soon'"),
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


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    scene = tmp_path / "scene"
    scene.mkdir()
    bad, good = write_stac_s2(scene, ARRAYS)
    secret = tmp_path / "secret.tif"
    (scene / bad["assets"]["B02"]["href"]).rename(secret)
    (scene / bad["assets"]["B02"]["href"]).symlink_to(secret)
    write_items(scene, [bad, good])
    found = find(scene)
    assert [product.name for product in found.s2] == [good["id"]]
    assert any("is missing" in problem.reason for problem in found.problems)
    assert "out of the scene folder" in list_folder(scene).problems[0].reason


@pytest.mark.parametrize(
    "href", ["https://localhost:1/item.json", "/etc/passwd", "../../item.json", "./no.json"]
)
def test_a_catalogue_link_elsewhere_is_named(tmp_path, href):
    write_items(tmp_path, write_stac_s2(tmp_path, ARRAYS), "catalogue")
    catalogue = json.loads((tmp_path / "catalog.json").read_text())
    catalogue["links"].append({"rel": "child", "href": href})
    (tmp_path / "catalog.json").write_text(json.dumps(catalogue))
    found = find(tmp_path)
    assert len(found.s2) == 2
    assert [problem.source.name for problem in found.problems] == ["catalog.json"]


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
