"""The report of a map: it stands alone, has every number that counts, and says what isn't known."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import rasterio
from made_up import CRS, ORIGIN
from outputs import made_up_output
from PIL import Image

from tessera_engine import apply
from tessera_engine import map as make_map
from tessera_engine.analysis.maps.classifier_file import read_classifier
from tessera_engine.analysis.maps.map_report import MOST_ACROSS, Figures, map_document
from tessera_engine.analysis.maps.numbers_figure import AXIS, DOT, MARGIN, SIDE, draw_numbers
from tessera_engine.analysis.maps.report import METHOD_TITLES
from tessera_engine.analysis.reporting.as_markdown import to_markdown
from tessera_engine.analysis.reporting.document import Table
from tessera_engine.files.checksums import path_sha256
from tessera_engine.pictures.colours import PALETTE
from tessera_engine.scene import Grid

SIZE, DIM = 40, 16
DEGREES = Grid(SIZE, SIZE, "EPSG:4326", rasterio.Affine(1e-4, 0, 4, 0, -1e-4, 51))
CROP = np.add.outer(np.arange(SIZE) // 5, np.arange(SIZE) // 5) % 3
rng = np.random.default_rng(0)
EMBEDDING = (rng.normal(size=(3, DIM))[CROP] * 2 + rng.normal(size=(SIZE, SIZE, DIM))).astype(np.float32)
EMBEDDING[:3, :3] = np.nan


def write_labels(path, values, count=90):
    kept = np.full(SIZE * SIZE, -1.0, np.float32)
    chosen = np.random.default_rng(1).permutation(np.arange(3 * SIZE, SIZE * SIZE))[:count]
    kept[chosen] = values.ravel()[chosen]
    profile = {
        "driver": "GTiff",
        "dtype": "float32",
        "count": 1,
        "crs": CRS,
        "transform": ORIGIN,
        "nodata": -1,
    }
    with rasterio.open(path, "w", height=SIZE, width=SIZE, **profile) as file:
        file.write(kept.reshape(SIZE, SIZE), 1)
    return path


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return made_up_output(tmp_path_factory.mktemp("o") / "a.embeddings", EMBEDDING, year=2023)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.figures, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.figures += [value for name, value in attributes if name == "src"]

    def handle_data(self, text):
        self.text += f"{text}\n"


def test_everything_that_counts_is_in_the_page(output, tmp_path):
    labels = write_labels(tmp_path / "crops.tif", CROP)
    made = make_map(
        output, labels, out=tmp_path / "m", method="auto", applicability=True,
        save=tmp_path / "c.model", progress=False,
    )  # fmt: skip
    report, html = made.report, (made.out / "report.html").read_text()
    page = Page(html)
    assert len(page.figures) == 2
    assert all(each.startswith("data:image/png;base64,") for each in page.figures)
    assert not {"script", "link", "a"} & set(page.tags)
    assert "http" not in html.replace("http-equiv", "")
    low, high = report["intervals"]["accuracy"]
    assert f"{100 * report['accuracy']:.1f} % ({100 * low:.1f} to {100 * high:.1f} %)" in page.text
    for name, each in report["classes"].items():
        recall = (
            f"{each['recall']:.2f} ({each['recall_interval'][0]:.2f} to {each['recall_interval'][1]:.2f})"
        )
        assert f"{name}\n" in page.text
        assert recall in page.text
    lines = (made.out / "report.md").read_text().splitlines()
    for i, counts in enumerate(report["confusion"]):
        assert f"| {i} | {' | '.join(map(str, counts))} | {sum(counts)} |" in lines
    for each in report["tried"]:
        score = each["scores"]["macro_f1"]
        text = f"{100 * score['value']:.1f} ({100 * score['low']:.1f} to {100 * score['high']:.1f})"
        assert any(line.startswith(f"| {METHOD_TITLES[each['method']]} |") and text in line for line in lines)
    assert f"{100 * report['beyond_applicability']:.1f} %" in page.text
    for fact in (path_sha256(labels), "a" * 64, "crops.tif", "2023", "nano"):
        assert fact in page.text
    # The picture is linked in Markdown, inlined in the page
    assert "](map.png)" in "\n".join(lines)
    assert json.loads((made.out / "report.json").read_text()) == report
    with rasterio.open(made.out / "map.tif") as file:
        codes = file.read(1)
    for name, each in report["mapped"].items():
        count = int((codes == int(name)).sum() if int(name) else (codes == 0).sum())
        assert each == {"pixels": count, "hectares": pytest.approx(count / 100)}
        assert f"{count:,}" in page.text
    assert report["pixels"] == SIZE * SIZE - 9 == sum(each["pixels"] for each in report["mapped"].values())
    assert "sample-design" in page.text
    # What was mapped is of this scene; the classifier doesn't keep it
    assert "mapped" not in read_classifier(made.saved).about.report
    again = apply(made.saved, output, tmp_path / "again", progress=False)
    assert again.report["mapped"] == report["mapped"]
    assert not (again.out / "report.html").exists()


def test_what_few_labels_cannot_show_is_not_known(output, tmp_path):
    values = np.where(CROP == 2, -1, CROP).astype(np.float32)
    rows, cols = np.nonzero(CROP == 2)
    labels = write_labels(tmp_path / "l.tif", values)
    with rasterio.open(labels, "r+") as file:
        found = file.read(1)
        found[rows[20:24], cols[20:24]] = 2
        file.write(found, 1)
    made = make_map(output, labels, out=tmp_path / "m", progress=False)
    lines = (made.out / "report.md").read_text().splitlines()
    assert "not known" in lines[2]
    assert "%" not in lines[2]
    assert "| 2 | not known | not known | not known | 4 |" in lines
    assert "| accuracy | not known |" in lines
    assert not made.report["accuracy_known"]


def test_numbers_have_a_report_too(output, tmp_path):
    noise = write_labels(tmp_path / "n.tif", np.random.default_rng(0).random((SIZE, SIZE)), 60)
    made = make_map(output, noise, out=tmp_path / "m", regression=True, method="knn", progress=False)
    assert made.report["r2"] < 0
    lines = (made.out / "report.md").read_text().splitlines()
    assert "Worse than the mean" in lines[2]
    low, high = made.report["intervals"]["r2"]
    assert f"| R2 | {made.report['r2']:.3g} ({low:.3g} to {high:.3g}) |" in lines
    text = "\n".join(lines)
    assert f"{SIZE * SIZE - 9:,} pixels" in text
    assert "confusion" not in text.lower()
    assert len(Page((made.out / "report.html").read_text()).figures) == 2
    assert "](predictions.png)" in text


def test_the_figure_of_numbers_has_a_dot_where_each_label_is(tmp_path):
    labels, predicted = np.array([0.0, 10, 4]), np.array([10.0, 0, 4])
    draw_numbers(tmp_path / "p.png", labels, predicted)
    picture = np.asarray(Image.open(tmp_path / "p.png"))
    rows, cols = np.nonzero((picture == PALETTE[4]).all(axis=2))
    left, right, top, bottom = MARGIN + AXIS, MARGIN + AXIS + SIDE, MARGIN, MARGIN + SIDE
    for x, y in ((left, top), (right, bottom), (left + 0.4 * SIDE, bottom - 0.4 * SIDE)):
        assert np.hypot(cols - x, rows - y).min() <= 1
    # Nowhere else
    assert len(rows) <= 3 * (2 * DOT + 1) ** 2


def test_pixels_without_an_area_have_no_hectares(tmp_path):
    output = made_up_output(tmp_path / "a.embeddings", EMBEDDING, grid=DEGREES)
    labels = tmp_path / "l.csv"
    rows, cols = np.divmod(np.random.default_rng(0).permutation(SIZE * SIZE)[:90], SIZE)
    lon, lat = DEGREES.transform @ np.stack([cols + 0.5, rows + 0.5])
    places = [f"{x},{y},c{CROP[r, c]}" for x, y, r, c in zip(lon, lat, rows, cols, strict=True)]
    labels.write_text("\n".join(["lon,lat,crop", *places]))
    made = make_map(output, labels, "crop", tmp_path / "m", progress=False)
    assert {each["hectares"] for each in made.report["mapped"].values()} == {None}
    count = made.report["mapped"]["c1"]["pixels"]
    assert re.search(rf"\| c1 \| {count:,} \| - \|", (made.out / "report.md").read_text())


def test_several_outputs_are_in_one_report(output, tmp_path, run):
    other = made_up_output(tmp_path / "b.embeddings", EMBEDDING[::-1], year=2023, scene_name="other")
    labels = write_labels(tmp_path / "l.tif", CROP)
    code, out, err = run("map", output, other, "--labels", labels, "-o", "m", "--train", output)
    assert (code, out.split()[0]) == (0, "m")
    assert "m/report.html" in err
    text = (tmp_path / "m" / "report.md").read_text()
    assert text.count("/map.png)") == 2
    for link in re.findall(r"\]\((.*)\)", text):
        assert (tmp_path / "m" / link).exists()
    report = json.loads((tmp_path / "m" / "report.json").read_text())
    assert report["pixels"] == 2 * (SIZE * SIZE - 9)


def test_many_classes_have_a_list_of_confusions(output, tmp_path):
    made = make_map(
        output,
        write_labels(tmp_path / "l.tif", CROP),
        out=tmp_path / "m",
        save=tmp_path / "c.model",
        progress=False,
    )
    about, count = read_classifier(tmp_path / "c.model").about, MOST_ACROSS + 1
    names = [f"class {i}" for i in range(count)]
    confusion = np.diag(np.full(count, 9))
    confusion[3, 5], confusion[1, 0] = 7, 2
    each = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "precision_interval": [0, 1], "recall_interval": [0, 1], "labels": 9}  # fmt: skip
    many = made.report | {"classes": dict.fromkeys(names, each), "confusion": confusion.tolist()}
    found = map_document(many, about, ["a"], Figures((), None))
    (table,) = (each for each in found.blocks if isinstance(each, Table) and "labelled pixels" in each.header)
    assert table.rows == (("class 3", "class 5", "7"), ("class 1", "class 0", "2"))
    assert "report.json" in to_markdown(found)
