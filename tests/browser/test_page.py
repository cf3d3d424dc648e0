"""The page in a browser, beside the commands that compute the same."""

from __future__ import annotations

import json
import re
import threading

import numpy as np
import pytest
import rasterio
from browsing import AXE, PHONE, run_engine, viewing
from rasterio.warp import transform

from tessera_engine.formats.opening import open_embeddings

COL, ROW = 200, 120
"""A pixel with data."""


def shown_area(opened, name="similar"):
    """Hectares that the page says."""
    return float(opened.page.locator(f"#{name}-area strong").inner_text().split(" ha")[0].replace(",", ""))


def threshold(opened):
    return opened.page.get_by_role("spinbutton")


def degrees_of(output, col, row):
    with rasterio.open(output / "embeddings.tif") as file:
        x, y = file.xy(row, col)
        (lon,), (lat,) = transform(file.crs, "EPSG:4326", [x], [y])
    return lon, lat


@pytest.fixture(scope="module")
def similarity(outputs, tmp_path_factory):
    """What `tessera-engine similar` says: (height, width) float32."""
    out = tmp_path_factory.mktemp("similar") / "out"
    run_engine("similar", outputs[0], "--at", *degrees_of(outputs[0], COL, ROW), "-o", out)
    with rasterio.open(out / "similarity.tif") as file:
        return file.read(1)


def test_a_click_finds_what_similar_finds(open_page, served, similarity):
    opened = open_page(served.address).ready()
    opened.tab("Similar")
    opened.click(COL, ROW)
    opened.page.wait_for_selector("#similar-area strong")
    opened.ready()
    requests = []
    opened.page.on("request", lambda asked: requests.append(asked.url))
    for value in (0.5, 0.8, 0.95):
        threshold(opened).fill(str(value))
        threshold(opened).press("Enter")
        pixels = int((similarity >= np.float32(value)).sum())
        # Tiles and histogram have 65,535 steps; a pixel this near to the threshold may be on either side
        near = int((np.abs(similarity - value) < 2 / 65_534).sum())
        assert abs(shown_area(opened) - pixels / 100) <= near / 100 + 0.51
        share = re.search(r"\(([\d.]+) %\)", opened.page.locator("#similar-area").inner_text())[1]
        assert float(share) == pytest.approx(100 * pixels / np.isfinite(similarity).sum(), abs=0.1)
    opened.page.wait_for_timeout(100)
    painted = 0
    for col, row in [
        (COL, ROW),
        (10, 10),
        (100, 30),
        (20, 280),
        (300, 200),
        (150, 150),
        (260, 40),
        (330, 290),
    ]:
        alpha = opened.colour("overlay", col, row)[3]
        assert (alpha > 0) == bool(similarity[row, col] >= 0.95), (col, row)
        painted += alpha > 0
    assert painted
    assert requests == []
    # With a lower threshold all is painted but what has no data
    threshold(opened).fill("-1")
    threshold(opened).press("Enter")
    opened.page.wait_for_timeout(100)
    assert opened.colour("overlay", 300, 200)[3] > 0
    assert opened.colour("overlay", 10, 10)[3] == 0
    assert "grey" in opened.page.locator("canvas.base").get_attribute("class")


def test_a_negative_takes_away_what_is_more_like_it(open_page, served, similarity):
    opened = open_page(served.address).ready()
    opened.tab("Similar")
    opened.click(COL, ROW)
    opened.page.wait_for_selector("#similar-area strong")
    threshold(opened).fill("0")
    threshold(opened).press("Enter")
    before = shown_area(opened)
    opened.click(300, 200, "Shift")
    opened.page.get_by_role("button", name="300, 200: not like").wait_for()
    opened.page.wait_for_function(
        f"() => !document.querySelector('#similar-area strong').textContent.startsWith('{before:.0f} ')"
    )
    opened.ready()
    assert 0 < shown_area(opened) < before
    opened.page.mouse.move(*opened.at(300, 200))
    opened.page.wait_for_function("() => document.querySelector('.readout').textContent.includes('no match')")
    # Other tools show neither points nor matches
    opened.tab("Look")
    opened.page.wait_for_timeout(200)
    assert opened.colour("overlay", COL, ROW)[3] == 0
    assert opened.marked() == 0
    opened.tab("Similar")
    opened.page.wait_for_timeout(200)
    assert opened.marked() > 0
    # The same by the buttons: both points are removed, and nothing is shown
    opened.page.get_by_role("button", name="Remove all").click()
    assert not opened.page.locator("#similar-area").is_visible()
    assert "grey" not in opened.page.locator("canvas.base").get_attribute("class")


def test_what_is_shown_of_a_pixel(open_page, served, outputs):
    opened = open_page(served.address).ready()
    opened.page.mouse.move(*opened.at(COL, ROW))
    facts = opened.page.locator("dl.facts")
    facts.get_by_text(f"{COL}, {ROW}").wait_for()
    with rasterio.open(outputs[0] / "observations.tif") as file:
        clear, valid = file.read((1, 2))[:, ROW, COL]
    text = facts.inner_text().replace("\n", " ")
    lon, lat = degrees_of(outputs[0], COL, ROW)
    assert f"{lat:.5f} N" in text
    assert f"{lon:.5f} E" in text
    assert f"Clear Sentinel-2 dates {clear} " in text + " "
    assert f"Valid Sentinel-1 dates {valid} " in text + " "
    opened.page.mouse.move(*opened.at(10, 10))
    facts.get_by_text("no data").wait_for()


def test_all_by_keyboard(open_page, served):
    opened = open_page(served.address, size=PHONE).ready()
    page = opened.page
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement.getAttribute('role')") != "tab":
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "Similar"
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")  # shows the crosshair
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#similar-area strong")
    assert re.search(r"\d ha", page.locator("[role=status]").inner_text())
    slider = page.get_by_role("slider", name="Least similarity")
    slider.focus()
    before = float(threshold(opened).input_value())
    page.keyboard.press("ArrowLeft")
    assert float(threshold(opened).input_value()) == pytest.approx(before - 0.001)
    page.wait_for_function(
        "() => document.querySelector('[aria-live=polite]').textContent.includes('Column')"
    )


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(open_page, served, dark):
    if not AXE.is_file():
        pytest.skip("axe-core isn't installed: make web")
    opened = open_page(served.address, size=PHONE if dark else (1280, 800), dark=dark).ready()
    found = {}
    for tab in ("Look", "Similar", "Label"):
        opened.tab(tab)
        if tab != "Look":
            opened.click(COL, ROW)
            opened.page.wait_for_timeout(200)
        opened.ready()
        found[tab] = opened.violations()
    assert found == {"Look": [], "Similar": [], "Label": []}


def test_a_phone_has_all_controls_in_reach(open_page, served):
    opened = open_page(served.address, size=PHONE).ready()
    for tab in ("Look", "Similar", "Label"):
        opened.tab(tab)
        opened.click(COL, ROW)
        opened.page.wait_for_timeout(200)
        assert opened.page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
        assert opened.small_controls() == [], tab


def test_two_years_with_a_swipe_and_change(open_page, outputs, tmp_path):
    run_engine("change", outputs[0], outputs[1], "-o", tmp_path / "change")
    with rasterio.open(tmp_path / "change" / "change.tif") as file:
        change = file.read(1)
    with viewing(*outputs) as two:
        opened = open_page(two.address).ready()
        opened.tab("Compare")
        opened.ready()
        assert opened.colour("second", 250, 150)[3] == 255
        assert opened.colour("second", 100, 150)[3] == 0
        opened.page.get_by_role("slider", name="Border").fill("0.9")
        opened.page.wait_for_timeout(100)
        assert opened.colour("second", 250, 150)[3] == 0
        opened.page.get_by_label("Show what changed").check()
        opened.page.wait_for_selector("#change-area strong")
        opened.ready()
        threshold(opened).fill("0.5")
        threshold(opened).press("Enter")
        pixels = int((change >= np.float32(0.5)).sum())
        assert pixels
        assert shown_area(opened, "change") == pytest.approx(pixels / 100, abs=0.02)
        opened.page.wait_for_timeout(100)
        for col, row in [(130, 220), (250, 150), (20, 280)]:
            assert (opened.colour("overlay", col, row)[3] > 0) == bool(change[row, col] >= 0.5)


def test_the_page_says_that_the_program_has_ended(open_page, outputs):
    with viewing(outputs[0]) as one:
        opened = open_page(one.address).ready()
    opened.page.get_by_role("alert").get_by_text("tessera-engine view").wait_for()
    assert opened.wrong
    assert all("ERR_" in said for said in opened.wrong)
    opened.wrong.clear()


def test_nothing_is_shown_without_the_token(browser, served):
    context = browser.new_context()
    page = context.new_page()
    response = page.goto(f"{served.origin}/")
    assert response.status == 403
    assert page.locator("#page").count() == 0
    context.close()


def test_an_answer_of_the_overview_is_said_to_be_one(open_page, served):
    opened = open_page(served.address).ready()

    def thin(route):
        """What the program answers before it has unpacked a large output."""
        answer = route.fetch().json()
        counts = [0] * 2000
        counts[1950] = 100
        counts[1000] = 25_400
        route.fulfill(
            json=answer | {"z": 1, "pixels": 25_500, "histogram": {"from": -1, "to": 1, "counts": counts}}
        )

    opened.page.route("**/api/similar", thin)
    opened.tab("Similar")
    opened.click(COL, ROW)
    opened.page.get_by_text("From the overview, refining").wait_for()
    threshold(opened).fill("0.9")
    threshold(opened).press("Enter")
    # A pixel of this level stands for 2 x 2
    assert shown_area(opened) == 4.0


def test_a_search_is_saved_as_similar_writes_it(open_page, served, outputs, similarity):
    opened = open_page(served.address).ready()
    opened.tab("Similar")
    opened.click(COL, ROW)
    opened.page.wait_for_selector("#similar-area strong")
    threshold(opened).fill("0.8")
    threshold(opened).press("Enter")
    names = []
    for _ in range(2):  # the second one is never written over the first
        opened.page.get_by_role("button", name="Save as GeoTIFF and GeoJSON").click()
        note = opened.page.get_by_text(re.compile(rf"^Saved as \S+ in {outputs[0].parent.name}"))
        note.first.wait_for()
        opened.page.wait_for_function(
            "(names) => !names.some((name) => document.body.textContent.includes(`Saved as ${name} in`))",
            arg=names,
        )
        names.append(re.search(r"Saved as (\S+)", note.first.inner_text())[1])
    for name in names:
        with rasterio.open(outputs[0].parent / name / "similarity.tif") as file:
            np.testing.assert_array_equal(file.read(1), similarity)
        regions = json.loads((outputs[0].parent / name / "regions.geojson").read_text(encoding="utf-8"))
        assert regions["features"]
        assert all(each["properties"]["max_similarity"] >= 0.8 for each in regions["features"])


def test_unpacking_is_cancelled_and_the_answer_of_the_overview_stays(
    open_page, outputs, tmp_path, monkeypatch
):
    from tessera_engine.view import cache, levels, session
    from tessera_engine.view.server import Server

    home, go_on, put = tmp_path / "home", threading.Event(), cache._put
    monkeypatch.setenv("TESSERA_ENGINE_HOME", str(home))
    monkeypatch.setattr(levels, "BASE_BYTES", 1)
    monkeypatch.setattr(session, "UNASKED_BYTES", 0)

    written = []

    def slow(*given):
        written.append(given)
        if len(written) > 2:  # the codes and scales of one block
            go_on.wait(20)
        put(*given)

    monkeypatch.setattr(cache, "_put", slow)
    server = Server([open_embeddings(outputs[0])])
    server.start()
    try:
        opened = open_page(server.address).ready()
        opened.tab("Similar")
        opened.click(COL, ROW)
        opened.page.get_by_text("From the overview, refining").wait_for()
        area = shown_area(opened)
        opened.page.get_by_text("Unpacking the embeddings").wait_for()
        opened.page.get_by_role("button", name="Cancel", exact=True).click()
        go_on.set()
        opened.page.get_by_role("status").get_by_text("Cancelled").wait_for()
        opened.page.locator(".progress").wait_for(state="hidden")
        assert shown_area(opened) == area
        assert not opened.page.get_by_text("refining").is_visible()
        assert list((home / "unpacked").iterdir()) == []
    finally:
        go_on.set()
        server.close()
    opened.wrong.clear()  # its program is gone
