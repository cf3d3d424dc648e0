"""The page from a folder, without the program: it computes what the program computes."""

from __future__ import annotations

import re

import numpy as np
import pytest
import rasterio
from browsing import HEIGHT, WIDTH, run_engine

from tessera_engine.formats.opening import open_embeddings

COL, ROW = 200, 120

PLACES = [(200, 120), (206, 124), (210, 118)], [(300, 200), (306, 206), (296, 210)]


@pytest.fixture(scope="module")
def folder(outputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("sent") / "a folder"
    run_engine("view", outputs[0], "--export", out)
    return out


def test_the_folder_opens_by_itself_and_finds_what_similar_finds(open_page, outputs, folder, tmp_path):
    opened = open_page((folder / "index.html").as_uri()).ready()
    opened.tab("Similar")
    opened.click(COL, ROW)
    with rasterio.open(outputs[0] / "embeddings.tif") as file:
        crs, (x, y) = file.crs, file.xy(ROW, COL)
    (lon,), (lat,) = rasterio.warp.transform(crs, "EPSG:4326", [x], [y])
    run_engine("similar", outputs[0], "--at", lon, lat, "-o", tmp_path / "similar")
    with rasterio.open(tmp_path / "similar" / "similarity.tif") as file:
        similarity = file.read(1)
    number = opened.page.get_by_role("spinbutton")
    number.fill("0.8")
    number.press("Enter")
    text = opened.page.locator("#similar-area strong").inner_text()
    share = 100 * (similarity >= 0.8).sum() / np.isfinite(similarity).sum()
    assert float(re.search(r"\(([\d.]+) %\)", text)[1]) == pytest.approx(share, abs=0.1)


def test_classes_are_those_of_the_program(open_page, outputs, folder):
    from tessera_engine.view.classes import learn

    opened = open_page((folder / "index.html").as_uri()).ready()
    opened.tab("Label")
    for number, places in enumerate(PLACES):
        if number:
            opened.page.get_by_role("button", name="Add a class").click()
        for col, row in places:
            opened.click(col, row)
    embeddings = open_embeddings(outputs[0])
    stored = embeddings.read_stored()
    scales = stored.scales.reshape(-1)
    values = stored.values.reshape(-1, embeddings.dim)
    pixels = np.array([row * WIDTH + col for places in PLACES for col, row in places])
    directions = values[pixels] * scales[pixels, None]
    for count, method in ((5, "nearest class mean"), (6, "ridge regression")):
        if count == 5:
            opened.page.keyboard.press("Control+z")
        else:
            opened.page.keyboard.press("Control+y")
        opened.page.get_by_text(method).wait_for()
        opened.ready()
        classes = np.array([0] * 3 + [1] * 3)[:count]
        found = learn(directions[:count], classes).classify(values, scales).reshape(HEIGHT, WIDTH, 2)
        areas = [
            float(text.split(", ")[1].removesuffix(" ha").replace(",", ""))
            for text in opened.page.locator(".classes .facts").all_inner_texts()
        ]
        assert areas == pytest.approx([(found[..., 0] == number).sum() / 100 for number in (1, 2)], abs=0.51)
    # What was labelled is there when the page is opened again, and leaves it as a file that `map` reads
    opened.page.reload()
    opened.ready().tab("Label")
    opened.page.wait_for_function("() => document.querySelectorAll('.classes li').length === 2")
    with opened.page.expect_download() as download:
        opened.page.get_by_role("button", name="Save", exact=True).click()
    labels = folder.parent / "labels.geojson"
    download.value.save_as(labels)
    run_engine("map", outputs[0], "--labels", labels, "--field", "class", "-o", folder.parent / "map")
    with rasterio.open(folder.parent / "map" / "map.tif") as file:
        assert set(np.unique(file.read(1))) == {0, 1, 2}
