"""Labelling in a browser: what is saved, what is mapped, and that the exported map is the one of `map`."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import rasterio
from browsing import run_engine, viewing

PLACES = {
    "class 1": [(200, 120), (206, 124), (210, 118), (20, 280)],
    "class 2": [(300, 200), (306, 206), (296, 210), (100, 200)],
    "class 3": [(150, 40), (156, 44), (146, 48), (320, 60)],
}
"""Columns and rows of pixels with data."""


def label_file(outputs):
    return outputs[0].with_name(f"{outputs[0].name}.labels.json")


def saved(outputs):
    return json.loads(label_file(outputs).read_text(encoding="utf-8"))


def wait_for_labels(opened, count):
    opened.page.wait_for_function(
        f"""() => [...document.querySelectorAll(".classes .facts")]
          .reduce((sum, one) => sum + parseInt(one.textContent), 0) === {count}"""
    )
    opened.page.get_by_text(re.compile(r"^Saved \d")).wait_for()


def draw_labels(opened):
    opened.tab("Label")
    done = 0
    for number, (name, places) in enumerate(PLACES.items()):
        if number:
            opened.page.get_by_role("button", name="Add a class").click()
        for col, row in places:
            opened.click(col, row)
        wait_for_labels(opened, done := done + len(places))
        opened.page.locator(".chip", has_text=name).wait_for()


def test_labels_outlive_the_page_and_the_program(open_page, outputs, served):
    opened = open_page(served.address).ready()
    draw_labels(opened)
    opened.page.reload()
    opened.ready().tab("Label")
    wait = "() => document.querySelectorAll('.classes li').length === 3"
    opened.page.wait_for_function(wait)
    on_disk = saved(outputs)
    assert [one["name"] for one in on_disk["classes"]] == list(PLACES)
    found = {}
    names = {one["id"]: one["name"] for one in on_disk["classes"]}
    for label in on_disk["labels"]:
        found.setdefault(names[label["class"]], []).append((label["col"], label["row"]))
    assert found == PLACES
    # Undone and done again, by keys
    opened.page.locator("#map").focus()
    opened.click(60, 260)
    wait_for_labels(opened, 13)
    opened.page.keyboard.press("Control+z")
    wait_for_labels(opened, 12)
    opened.page.keyboard.press("Control+y")
    wait_for_labels(opened, 13)
    served.process.kill()
    with viewing(outputs[0]) as again:
        other = open_page(again.address).ready()
        other.tab("Label")
        other.page.wait_for_function(wait)
        assert len(saved(outputs)["labels"]) == 13
    opened.wrong.clear()  # its program is gone


def test_keys_choose_classes_and_enter_labels(open_page, outputs, served):
    opened = open_page(served.address).ready()
    opened.tab("Label")
    for _ in range(2):
        opened.page.get_by_role("button", name="Add a class").click()
        opened.page.keyboard.press("Enter")
    opened.page.locator("#map").focus()
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("1")
    opened.page.locator(".chip", has_text="class 1").wait_for()
    opened.page.keyboard.press("Enter")
    wait_for_labels(opened, 1)
    # A polygon by the keyboard
    opened.page.get_by_role("radio", name="Polygons").check()
    opened.page.locator("#map").focus()
    opened.page.keyboard.press("2")
    opened.page.locator(".chip", has_text="class 2").wait_for()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft"):
        opened.page.keyboard.press(f"Shift+{key}")
        opened.page.keyboard.press("Enter")
    opened.page.keyboard.press("c")
    wait_for_labels(opened, 2)
    point, polygon = saved(outputs)["labels"]
    assert point["kind"] == "point"
    assert polygon["kind"] == "polygon"
    assert polygon["class"] != point["class"]
    with rasterio.open(outputs[0] / "embeddings.tif") as file:
        left, bottom, right, top = file.bounds
    assert all(left <= x <= right and bottom <= y <= top for x, y in polygon["ring"])
    # Erased by a click into it
    opened.page.get_by_role("radio", name="Erase").check()
    (x, y), *_ = [np.mean(polygon["ring"][:3], axis=0)]
    opened.click((x - left) / 10, (top - y) / 10)
    wait_for_labels(opened, 1)


def test_the_live_map_follows_and_the_exported_map_is_that_of_map(open_page, outputs, served, tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn isn't installed")
    opened = open_page(served.address).ready()
    draw_labels(opened)
    opened.page.get_by_text("By ridge regression").wait_for()
    opened.ready()
    # Every label has the class that was drawn, and its pixel the class's colour
    colours = {"class 1": (230, 159, 0), "class 2": (86, 180, 233), "class 3": (0, 158, 115)}
    for name, places in PLACES.items():
        col, row = places[-1]
        opened.page.mouse.move(*opened.at(col, row))
        opened.page.wait_for_function(
            f"() => document.querySelector('.readout').textContent.includes('mapped as {name}')"
        )
        assert opened.colour("overlay", col, row) == [*colours[name], 255]
    assert opened.colour("overlay", 10, 10)[3] == 0
    areas = [
        float(text.split(", ")[1].removesuffix(" ha").replace(",", ""))
        for text in opened.page.locator(".classes .facts").all_inner_texts()
    ]
    with rasterio.open(outputs[0] / "scales.tif") as file:
        assert sum(areas) == pytest.approx(np.isfinite(file.read(1)).sum() / 100, abs=2)
    # Pixels to label next
    opened.page.get_by_role("button", name=re.compile("Label these next")).click()
    opened.page.get_by_role("status").get_by_text("Pixel 1 of").wait_for()
    opened.page.keyboard.press("Enter")
    wait_for_labels(opened, 13)
    opened.page.get_by_text("Not known").wait_for()
    # The final map
    opened.page.get_by_role("button", name="Make the map").click()
    note = opened.page.get_by_text(re.compile(r"^Saved as \S+\.map"))
    note.last.wait_for(timeout=60_000)
    name = re.search(r"Saved as (\S+)", note.last.inner_text())[1]
    folder = outputs[0].parent / name
    with rasterio.open(folder / "map.tif") as file:
        exported = file.read(1)
    opened.page.get_by_label("Labels as").select_option("geojson")
    opened.page.get_by_role("button", name="Save", exact=True).click()
    opened.page.get_by_text(re.compile(r"^Saved as \S+\.geojson")).last.wait_for()
    (labels,) = outputs[0].parent.glob("*.labels.geojson")
    run_engine("map", outputs[0], "--labels", labels, "--field", "class", "-o", tmp_path / "map")
    with rasterio.open(tmp_path / "map" / "map.tif") as file:
        np.testing.assert_array_equal(exported, file.read(1))


def test_another_window_is_not_overwritten(open_page, outputs, served):
    first = open_page(served.address).ready()
    first.tab("Label")
    first.click(200, 120)
    wait_for_labels(first, 1)
    second = open_page(f"{served.origin}/", state=first.page.context.storage_state()).ready()
    second.tab("Label")
    second.click(300, 200)
    wait_for_labels(second, 2)
    first.click(100, 200)
    first.page.get_by_role("alert").get_by_role("button", name="The other window's").click()
    wait_for_labels(first, 2)
    assert len(saved(outputs)["labels"]) == 2
    assert any("409" in said for said in first.wrong)
    first.wrong.clear()


def test_labels_come_from_a_file_and_names_are_kept(open_page, outputs, served, tmp_path):
    opened = open_page(served.address).ready()
    opened.tab("Label")
    opened.click(200, 120)
    name = opened.page.get_by_label("Name of the class")
    name.fill("maize <b>& co</b>")
    name.press("Enter")
    opened.page.get_by_text("maize <b>& co</b>").first.wait_for()
    wait_for_labels(opened, 1)
    assert saved(outputs)["classes"][0]["name"] == "maize <b>& co</b>"
    opened.page.get_by_role("button", name="Save", exact=True).click()
    opened.page.get_by_text(re.compile(r"^Saved as \S+\.geojson")).last.wait_for()
    (labels,) = outputs[0].parent.glob("*.labels.geojson")
    opened.page.get_by_role("button", name="Remove maize").click()
    opened.page.wait_for_function("() => document.querySelectorAll('.classes li').length === 0")
    opened.page.get_by_label("Add labels from a file").set_input_files(labels)
    wait_for_labels(opened, 1)
    assert saved(outputs)["classes"][0]["name"] == "maize <b>& co</b>"
