"""Labelling in a browser: what is saved, what is mapped, and that the exported map is the one of `map`."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import rasterio
from browsing import AXE, HEIGHT, PHONE, WIDTH, run_engine, viewing
from rasterio.features import rasterize

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


def test_a_file_is_added_to_what_is_shown_however_slow_saving_is(open_page, outputs, served, tmp_path):
    """A class is removed, and a file added before the server knows of it."""
    opened = open_page(served.address).ready()
    opened.tab("Label")
    opened.click(200, 120)
    wait_for_labels(opened, 1)
    opened.page.get_by_role("button", name="Save", exact=True).click()
    opened.page.get_by_text(re.compile(r"^Saved as \S+\.geojson")).last.wait_for()
    (labels,) = outputs[0].parent.glob("*.labels.geojson")

    def late(route):
        if route.request.method != "GET":
            opened.page.wait_for_timeout(500)
        route.continue_()

    opened.page.route("**/labels", late)
    opened.page.get_by_role("button", name="Remove class 1").click()
    opened.page.get_by_label("Add labels from a file").set_input_files(labels)
    opened.page.get_by_text("1 label added from").first.wait_for()
    wait_for_labels(opened, 1)
    assert [each["name"] for each in saved(outputs)["classes"]] == ["class 1"]
    assert len(saved(outputs)["labels"]) == 1


@pytest.fixture(scope="module")
def fields(outputs):
    """What `tessera-engine segment` makes of the first output, and the polygons in it."""
    shapely = pytest.importorskip("shapely", reason="shapely isn't installed")
    raw = pytest.importorskip("pyogrio.raw", reason="pyogrio isn't installed")
    path = outputs[0].with_name("fields.gpkg")
    run_engine("segment", outputs[0], "-o", path, "--min-area", "1")
    return path, shapely.from_wkb(raw.read(path, columns=[])[2])


@pytest.fixture
def served_fields(outputs, fields):
    """The command with the fields, and without labels of earlier tests."""
    for found in outputs[0].parent.glob("*.labels*"):
        found.unlink()
    with viewing(outputs[0], "--segments", fields[0]) as one:
        yield one


def test_clicks_label_whole_fields_and_the_map_is_that_of_their_polygons(
    open_page, outputs, fields, served_fields, tmp_path
):
    pytest.importorskip("sklearn", reason="scikit-learn isn't installed")
    import shapely
    from pyogrio.raw import write

    polygons = fields[1]
    with rasterio.open(outputs[0] / "embeddings.tif") as file:
        crs, transform = file.crs.to_string(), file.transform
    # Those with most holes: labels have none, so that a field with holes has several
    chosen = polygons[np.argsort(-shapely.get_num_interior_rings(polygons), kind="stable")[:4]]
    assert shapely.get_num_interior_rings(chosen[0]) > 0
    opened = open_page(served_fields.address).ready()
    opened.page.get_by_role("checkbox", name="Outlines of fields.gpkg").wait_for()
    opened.tab("Label")
    opened.page.get_by_role("radio", name="Whole fields").check()
    done, names = 0, ["class 1", "class 1", "class 2", "class 2"]
    for at, (polygon, name) in enumerate(zip(chosen, names, strict=True)):
        if at == 2:
            opened.page.get_by_role("button", name="Add a class").click()
        inside = rasterize([polygon], (HEIGHT, WIDTH), transform=transform)
        row, col = np.argwhere(inside)[inside.sum() // 2]
        opened.click(col, row)
        opened.page.get_by_role("status").get_by_text(f"Field labelled {name} at column {col}").wait_for()
        opened.page.get_by_text(re.compile(r"^Saved \d")).wait_for()
        labels = saved(outputs)["labels"]
        drawn = shapely.union_all([shapely.Polygon(label["ring"]) for label in labels[done:]])
        assert drawn.equals(polygon)
        done = len(labels)
    # The final map is what `map` makes of the polygons in the file
    opened.page.get_by_role("button", name="Make the map").click()
    note = opened.page.get_by_text(re.compile(r"^Saved as \S+\.map"))
    note.last.wait_for(timeout=60_000)
    folder = outputs[0].parent / re.search(r"Saved as (\S+)", note.last.inner_text())[1]
    own = tmp_path / "own.gpkg"
    values = [np.array(names, object)]
    write(own, shapely.to_wkb(chosen), values, ["class"], driver="GPKG", geometry_type="Polygon", crs=crs)
    run_engine("map", outputs[0], "--labels", own, "--field", "class", "-o", tmp_path / "map")
    with rasterio.open(folder / "map.tif") as one, rasterio.open(tmp_path / "map" / "map.tif") as other:
        np.testing.assert_array_equal(one.read(1), other.read(1))


def test_whole_fields_come_and_go_as_one_also_by_keys_and_on_a_phone(
    open_page, outputs, fields, served_fields
):
    import shapely

    with rasterio.open(outputs[0] / "embeddings.tif") as file:
        transform = file.transform
    opened = open_page(served_fields.address, size=PHONE).ready()
    outlines = opened.page.get_by_role("checkbox", name="Outlines of fields.gpkg")
    opened.page.wait_for_selector(".ol-layer canvas")
    opened.page.wait_for_timeout(200)
    assert opened.marked() > 1000
    outlines.uncheck()
    opened.page.wait_for_timeout(200)
    assert opened.marked() == 0
    outlines.check()
    opened.tab("Label")
    opened.page.get_by_role("radio", name="Whole fields").check()
    polygons = fields[1]
    holed = polygons[shapely.get_num_interior_rings(polygons).argmax()]
    inside = rasterize([holed], (HEIGHT, WIDTH), transform=transform)
    row, col = np.argwhere(inside)[inside.sum() // 2]
    opened.click(col, row)
    opened.page.get_by_role("status").get_by_text("Field labelled class 1").wait_for()
    opened.page.get_by_text(re.compile(r"^Saved \d")).wait_for()
    pieces = len(saved(outputs)["labels"])
    assert pieces > 1
    wait_for_labels(opened, pieces)
    for take_away in (
        lambda: opened.click(col, row),
        lambda: opened.click(col, row, "Shift"),
        lambda: opened.page.keyboard.press("Delete"),
    ):
        take_away()
        wait_for_labels(opened, 0)
        opened.page.keyboard.press("Control+z")
        wait_for_labels(opened, pieces)
    opened.page.keyboard.press("Control+z")
    wait_for_labels(opened, 0)
    assert opened.small_controls() == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    if AXE.is_file():
        assert opened.violations() == []
    # At the crosshair, which begins in the middle
    opened.page.locator("#map").focus()
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("Enter")
    opened.page.get_by_role("status").get_by_text("Field labelled class 1").wait_for()
    opened.page.get_by_text(re.compile(r"^Saved \d")).wait_for()
    drawn = shapely.union_all([shapely.Polygon(label["ring"]) for label in saved(outputs)["labels"]])
    assert [polygon for polygon in polygons if polygon.equals(drawn)] != []
    assert drawn.contains(shapely.Point(*(transform @ (WIDTH // 2 + 0.5, HEIGHT // 2 + 0.5))))
