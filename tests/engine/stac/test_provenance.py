"""item.json is a valid STAC item, says nothing that isn't known, and matches the files beside it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise

import pystac
import pytest
from affine import Affine
from made_up import CRS, ORIGIN
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from staged import landscape, stage

from tessera_engine.files.output import is_output
from tessera_engine.finding import Finding
from tessera_engine.formats.writing import write
from tessera_engine.geo import footprint
from tessera_engine.pictures.caption import Caption
from tessera_engine.pictures.quicklook import write_quicklook
from tessera_engine.scene import Dates, Grid
from tessera_engine.stac.writing import EXTENSIONS, Asset, RunFacts, write_item

CREATED = datetime(2026, 2, 3, 4, 5, 6, tzinfo=timezone.utc)

FACTS = RunFacts(
    scene_name="field 7/north",
    scene_layout="d-pixel",
    scene_fingerprint="ab" * 32,
    dates=Dates((12, 30, 200), (5, 17), (9, 361)),
    findings=(Finding("reader", "certain", "2 of 30 dates have no clear pixel"),),
    model_name="nano",
    model_sha256="cd" * 32,
    generation="v2",
    precision="int8",
    stored_as="int8",
    dim=16,
    backend="fused",
    backend_version="0.1.0",
    instruction_set="AVX512-VNNI",
    engine_version="0.1.0",
    pixels_with_data=1234,
)


def item_of(folder, grid, assets=(), facts=FACTS, created=CREATED):
    path = folder / "item.json"
    write_item(path, grid, assets, facts, created)
    item = json.loads(path.read_text(encoding="utf-8"))
    # The core alone: schemas of extensions would come from the network.
    validator = JsonSchemaSTACValidator()
    assert validator.validate_core(item, pystac.STACObjectType.ITEM, item["stac_version"])
    assert pystac.Item.from_file(str(path)).id == item["id"]
    return item


@pytest.mark.parametrize("format", ["cog", "npy"])
@pytest.mark.parametrize("stored_as", ["int8", "float32"])
def test_an_output_with_its_files(tmp_path, format, stored_as):
    staging = stage(tmp_path / "staging", landscape(40, 50), stored_as)
    assets = [
        *write(format, staging, tmp_path, "field"),
        write_quicklook(staging, tmp_path / "quicklook.png", Caption("field", "", "")),
    ]
    item = item_of(tmp_path, staging.grid, assets, replace(FACTS, stored_as=stored_as))
    assert item["stac_extensions"] == list(EXTENSIONS)
    keys = {"embeddings", "observations", "quicklook"} | ({"scales"} if stored_as == "int8" else set())
    assert item["assets"].keys() == keys
    hrefs = set()
    for key, asset in item["assets"].items():
        assert asset["href"].startswith("./")
        content = (tmp_path / asset["href"]).read_bytes()
        hrefs.add(asset["href"])
        assert asset["file:size"] == len(content)
        assert asset["tessera:sha256"] == hashlib.sha256(content).hexdigest()
        assert asset["file:checksum"] == "1220" + asset["tessera:sha256"]
        assert asset["title"]
        assert asset["roles"]
        assert asset["proj:shape"] == ([551, 580] if key == "quicklook" else [40, 50])
    assert len(hrefs) == len(keys)
    embeddings = item["assets"]["embeddings"]
    assert (embeddings["data_type"], embeddings["nodata"]) == (
        ("int8", -128) if stored_as == "int8" else ("float32", "nan")
    )
    assert [band["name"] for band in embeddings["bands"]] == [f"embedding {k:03d}" for k in range(1, 17)]
    assert is_output(tmp_path)


def test_the_facts_are_all_there(tmp_path):
    properties = item_of(tmp_path, Grid(50, 40, CRS, ORIGIN))["properties"]
    assert {key: value for key, value in properties.items() if key.startswith("tessera:")} == {
        "tessera:engine_version": "0.1.0",
        "tessera:model": "nano",
        "tessera:model_sha256": "cd" * 32,
        "tessera:generation": "v2",
        "tessera:precision": "int8",
        "tessera:store": "int8",
        "tessera:dim": 16,
        "tessera:quantization": properties["tessera:quantization"],
        "tessera:nodata": properties["tessera:nodata"],
        "tessera:backend": "fused",
        "tessera:backend_version": "0.1.0",
        "tessera:instruction_set": "AVX512-VNNI",
        "tessera:scene": "field 7/north",
        "tessera:scene_layout": "d-pixel",
        "tessera:scene_fingerprint": "ab" * 32,
        "tessera:year": None,
        "tessera:s2_days_of_year": [12, 30, 200],
        "tessera:s1_ascending_days_of_year": [5, 17],
        "tessera:s1_descending_days_of_year": [9, 361],
        "tessera:pixels": 2000,
        "tessera:pixels_with_data": 1234,
        "tessera:findings": [
            {
                "name": "reader",
                "sure": "certain",
                "found": "2 of 30 dates have no clear pixel",
                "effect": "",
                "fix": "",
            }
        ],
        "tessera:item_sha256": properties["tessera:item_sha256"],
    }
    assert "embedding = code * scale" in properties["tessera:quantization"]
    assert "code -128" in properties["tessera:nodata"]
    assert properties["processing:software"] == {"tessera-engine": "0.1.0", "fused": "0.1.0"}


def test_the_id_is_safe_in_a_path(tmp_path):
    assert item_of(tmp_path, Grid(5, 4))["id"] == "field-7-north_nano_int8_16"


def test_only_created_differs_between_two_runs(tmp_path):
    grid = Grid(50, 40, CRS, ORIGIN)
    facts = replace(FACTS, period=(date(2024, 1, 5), date(2024, 12, 26)))
    first = item_of(tmp_path, grid, facts=facts)
    later = item_of(tmp_path, grid, facts=facts, created=CREATED + timedelta(days=1))
    assert first["properties"].pop("created") == "2026-02-03T04:05:06Z"
    assert later["properties"].pop("created") == "2026-02-04T04:05:06Z"
    # `created` is one of the things that the item says
    assert first["properties"].pop("tessera:item_sha256") != later["properties"].pop("tessera:item_sha256")
    assert first == later


def test_created_is_told_in_utc_and_is_now_by_default(tmp_path):
    east = CREATED.astimezone(timezone(timedelta(hours=5)))
    assert item_of(tmp_path, Grid(5, 4), created=east)["properties"]["created"] == "2026-02-03T04:05:06Z"
    before = datetime.now(timezone.utc).replace(microsecond=0)
    now = item_of(tmp_path, Grid(5, 4), created=None)["properties"]["created"]
    assert before <= datetime.fromisoformat(now.replace("Z", "+00:00")) <= datetime.now(timezone.utc)


def test_a_known_period_is_the_interval(tmp_path):
    facts = replace(FACTS, period=(date(2024, 1, 5), date(2024, 12, 26)))
    properties = item_of(tmp_path, Grid(5, 4), facts=facts)["properties"]
    assert properties["datetime"] is None
    assert properties["start_datetime"] == "2024-01-05T00:00:00Z"
    assert properties["end_datetime"] == "2024-12-26T23:59:59Z"
    assert properties["tessera:year"] == 2024
    assert "from 2024-01-05 to 2024-12-26" in properties["description"]
    facts = replace(FACTS, period=(date(2023, 12, 5), date(2024, 11, 26)))
    assert item_of(tmp_path, Grid(5, 4), facts=facts)["properties"]["tessera:year"] is None


def test_an_unknown_year_is_bounded_and_said_to_be_unknown(tmp_path):
    properties = item_of(tmp_path, Grid(5, 4))["properties"]
    assert properties["datetime"] is None
    assert properties["start_datetime"] == "2014-04-03T00:00:00Z"
    assert properties["end_datetime"] == properties["created"]
    assert "without a year" in properties["description"]


def test_footprint_and_projection(tmp_path):
    item = item_of(tmp_path, Grid(10_980, 5_490, "EPSG:32631", Affine(10, 0, 500_000, 0, -10, 5_700_000)))
    properties = item["properties"]
    assert properties["proj:code"] == "EPSG:32631"
    assert properties["proj:shape"] == [5_490, 10_980]
    assert properties["proj:transform"] == [10, 0, 500_000, 0, -10, 5_700_000]
    ring = item["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert len(ring) == 33
    # 500 km east is a zone's central meridian, 3 degrees east in zone 31; the grid begins there.
    assert [point[0] for point in ring[:9]] == [3.0] * 9
    assert 51 < ring[0][1] < 52
    longitudes, latitudes = zip(*ring, strict=True)
    assert item["bbox"] == [min(longitudes), min(latitudes), max(longitudes), max(latitudes)]
    # The lower edge is a curve: in the middle it lies north of the straight line between its ends.
    assert latitudes[12] > (latitudes[8] + latitudes[16]) / 2 + 1e-3
    assert signed_area(ring) > 0


def test_a_grid_that_runs_northwards_has_a_counterclockwise_footprint():
    geometry = footprint(Grid(100, 100, "EPSG:32734", Affine(10, 0, 500_000, 0, 10, 6_000_000)))
    assert signed_area(geometry["coordinates"][0]) > 0


def signed_area(ring):
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))


def test_a_footprint_across_the_antimeridian_is_cut(tmp_path):
    item = item_of(tmp_path, Grid(2_000, 1_000, "EPSG:32660", Affine(10, 0, 810_000, 0, -10, 1_900_000)))
    assert item["geometry"]["type"] == "MultiPolygon"
    west, south, east, north = item["bbox"]
    assert 179.8 < west < 180
    assert -180 < east < -179.8
    assert 16 < south < north < 18
    assert len(item["geometry"]["coordinates"]) == 2
    for (ring,) in item["geometry"]["coordinates"]:
        longitudes = [point[0] for point in ring]
        assert max(longitudes) - min(longitudes) < 1
        assert signed_area(ring) > 0


def test_no_georeference_is_null_not_invented(tmp_path):
    item = item_of(tmp_path, Grid(5, 4))
    assert item["geometry"] is None
    assert "bbox" not in item
    assert item["properties"]["proj:code"] is None
    assert item["properties"]["proj:shape"] == [4, 5]
    assert "proj:transform" not in item["properties"]


ALBERS = "+proj=aea +lat_0=40 +lon_0=-96 +lat_1=20 +lat_2=60 +datum=WGS84 +units=m"
LOCAL = 'LOCAL_CS["a field",UNIT["metre",1]]'


@pytest.mark.parametrize(("crs", "on_earth"), [(ALBERS, True), (LOCAL, False)])
def test_a_crs_without_a_code_is_written_out(tmp_path, crs, on_earth):
    item = item_of(tmp_path, Grid(5, 4, crs, Affine(10, 0, 300_000, 0, -10, 200_000)))
    assert item["properties"]["proj:code"] is None
    assert item["properties"]["proj:wkt2"].startswith("PROJCRS[" if on_earth else "ENGCRS[")
    assert (item["geometry"] is not None) == on_earth


def test_a_file_larger_than_a_chunk_has_its_checksum(tmp_path):
    content = bytes(range(256)) * 10_000
    (tmp_path / "big.bin").write_bytes(content)
    asset = Asset("big", "big.bin", "application/octet-stream", "big", ("data",))
    found = item_of(tmp_path, Grid(5, 4), [asset])["assets"]["big"]
    assert found["tessera:sha256"] == hashlib.sha256(content).hexdigest()
