"""Where a STAC item's assets lie: every form and spelling is found, and no href leads anywhere else."""

from __future__ import annotations

import json
import re

import pytest
from product_files import METADATA, needs_metadata
from stac_files import write_items, write_stac_s2
from stac_scenes import ARRAYS, DAYS, find, first_asset

from tessera_engine.scenes.metadata.listing import list_folder


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


# What people have


def respelled(keys):
    def change(item):
        item["assets"] = {keys(key): asset for key, asset in item["assets"].items()}

    return change


def cdse(key):
    return f"{key}_{10 if key in ('B02', 'B03', 'B04', 'B08') else 20}m"


def absolute(folder, form):
    def change(item):
        for asset in item["assets"].values():
            path = (folder / asset["href"]).resolve()
            asset["href"] = {
                "path": str(path),
                "url": path.as_uri(),
                "one slash": path.as_uri().replace("file:///", "file:/"),
                "localhost": f"file://localhost{path.as_posix()}",
            }[form]

    return change


@pytest.mark.parametrize(
    "form", ["files", "collection", "lines", "lines in .json", "sequence", "array", "a folder an item"]
)
@pytest.mark.parametrize("keys", [str, cdse, str.lower, lambda key: re.sub("^B0", "B", key)])
def test_every_form_and_spelling_is_read(tmp_path, form, keys):
    items = write_stac_s2(tmp_path, ARRAYS)
    for item in items:
        respelled(keys)(item)
    if form in ("files", "collection"):
        write_items(tmp_path, items, form)
    elif form == "a folder an item":
        for item in items:
            for asset in item["assets"].values():
                asset["href"] = asset["href"].rsplit("/", 1)[1]
            (tmp_path / "s2" / item["id"] / "item.json").write_text(json.dumps(item))
    elif form == "lines":
        (tmp_path / "items.ndjson").write_text("\n".join(map(json.dumps, items)) + "\n")
    elif form == "lines in .json":
        (tmp_path / "items.json").write_text("\n".join(map(json.dumps, items)) + "\n")
    elif form == "sequence":
        (tmp_path / "items.geojsons").write_text(
            "".join(f"\x1e{json.dumps(item, indent=1)}\n" for item in items)
        )
    else:
        (tmp_path / "items.json").write_text(json.dumps(items))
    found = find(tmp_path)
    assert not found.problems
    assert [product.date for product in found.s2] == DAYS
    assert all("B8A" in product.bands["B8A"].path for product in found.s2)


@pytest.mark.parametrize("key", ["eo:bands", "bands"])
def test_bands_say_what_an_asset_is_where_its_key_does_not(tmp_path, key):
    items = write_stac_s2(tmp_path, ARRAYS)
    for item in items:
        named = {f"asset {i}": {**each, key: [{"name": band}]} for i, (band, each) in enumerate(item["assets"].items())}  # fmt: skip
        item["assets"] = {**named, "visual": {"href": "./no.tif", key: [{"name": "B04"}, {"name": "B03"}]}}
    write_items(tmp_path, items)
    found = find(tmp_path)
    assert not found.problems
    assert all("B8A" in product.bands["B8A"].path for product in found.s2)
    for item in items:
        item["assets"]["B04 again"] = item["assets"]["asset 0"]
    write_items(tmp_path, items)
    assert all("lacks the assets B04 (red)" in problem.reason for problem in find(tmp_path).problems)


def test_hrefs_written_on_windows_are_read(tmp_path):
    items = write_stac_s2(tmp_path, ARRAYS)
    for item in items:
        for asset in item["assets"].values():
            asset["href"] = asset["href"].replace("/", "\\")
    write_items(tmp_path, items)
    found = find(tmp_path)
    assert not found.problems
    assert len(found.s2) == 2


@pytest.mark.parametrize("form", ["path", "url", "one slash", "localhost"])
@pytest.mark.parametrize("folder", ["farm", "my farm (ä%20)"])
def test_absolute_hrefs_within_the_folder_are_read(tmp_path, form, folder):
    scene = tmp_path / folder
    items = write_stac_s2(scene, ARRAYS)
    for item in items:
        absolute(scene, form)(item)
    write_items(scene, items, "collection")
    link = tmp_path / "link"
    link.symlink_to(scene)
    for each in (scene, link):
        found = find(each)
        assert not found.problems
        assert len(found.s2) == 2


@pytest.mark.parametrize(
    "href", ["file:///C:/data/B02.tif", "file://server/share/B02.tif", "file:///etc/passwd"]
)
def test_file_urls_elsewhere_are_named(tmp_path, href):
    bad, good = write_stac_s2(tmp_path, ARRAYS)
    first_asset(href)(bad)
    write_items(tmp_path, [bad, good])
    found = find(tmp_path)
    assert [product.name for product in found.s2] == [good["id"]]
    (problem,) = found.problems
    assert href in problem.reason
