"""What stored forms are worth: scores and intervals are what they say, validation is spatial, reports can be read."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import CRS, ORIGIN
from outputs import made_up_output
from PIL import Image
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    mean_squared_error,
    r2_score,
)

from tessera_engine import open_embeddings
from tessera_engine.analysis.maps import intervals
from tessera_engine.analysis.maps.compare import Comparison
from tessera_engine.analysis.maps.evaluate import evaluate
from tessera_engine.analysis.maps.forms import Form, forms, quantised, read_back
from tessera_engine.analysis.maps.intervals import draw_blocks, interval
from tessera_engine.analysis.maps.scores import class_scores, confusions, moments, number_scores
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.staging import RasterFile
from tessera_engine.running.convert import convert

HEIGHT, WIDTH, DIM = 40, 50, 32
rng = np.random.default_rng(0)
TRUTH = np.add.outer(np.arange(HEIGHT) // 5, np.arange(WIDTH) // 5) % 3
EMBEDDING = (rng.normal(size=(3, DIM)) * 2)[TRUTH] + 0.3 * rng.normal(size=(HEIGHT, WIDTH, DIM))
EMBEDDING[:2, :2] = np.nan
EMBEDDING = EMBEDDING.astype(np.float32)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return made_up_output(tmp_path_factory.mktemp("o") / "a.embeddings", EMBEDDING, stored_as="float32")


def write_labels(path, values):
    profile = {"driver": "GTiff", "dtype": values.dtype.name, "count": 1, "crs": CRS, "transform": ORIGIN}
    with rasterio.open(path, "w", height=HEIGHT, width=WIDTH, **profile) as file:
        file.write(values, 1)
    return path


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return write_labels(tmp_path_factory.mktemp("l") / "crops.tif", (TRUTH + 1).astype(np.uint8))


@pytest.mark.filterwarnings("ignore:A single label")
@settings(max_examples=30)
@given(st.data())
def test_class_scores_are_sklearns(data):
    names = ["a", "b", "c", "d"]
    count = data.draw(st.integers(1, 40))
    y = np.array(data.draw(st.lists(st.sampled_from(names), min_size=count, max_size=count)), object)
    there = sorted(set(y))
    predicted = np.array(data.draw(st.lists(st.sampled_from(there), min_size=count, max_size=count)), object)
    groups = np.array(data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
    scores = class_scores(confusions(y, predicted, groups, names).sum(axis=0))
    assert scores["accuracy"] == pytest.approx(accuracy_score(y, predicted))
    assert scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, predicted))
    assert scores["macro_f1"] == pytest.approx(f1_score(y, predicted, average="macro"))


def test_number_scores_are_sklearns():
    y, predicted = rng.normal(5, 2, (2, 50))
    scores = number_scores(moments(y, predicted, rng.integers(0, 4, 50)).sum(axis=0))
    assert scores["r2"] == pytest.approx(r2_score(y, predicted))
    assert scores["rmse"] == pytest.approx(mean_squared_error(y, predicted) ** 0.5)
    same = number_scores(moments(np.full(4, 0.1), np.zeros(4), np.zeros(4, int)).sum(axis=0))
    assert same["r2"] == 0


def test_draws_are_weightings_of_whole_blocks(monkeypatch):
    """Each draw's scores are those of the labels with the weights of their blocks."""
    monkeypatch.setattr(intervals, "DRAWS", 20)
    y = np.array(list("aabbccab" * 6), object)
    groups = np.repeat(np.arange(6), 8) * 7
    x = np.eye(3, dtype=np.float32)[[ord(name) - ord("a") for name in y]]
    x += rng.normal(0, 0.7, x.shape).astype(np.float32)
    comparison = Comparison(y, groups)
    outcome = comparison.measure(x, "linear")
    predicted = comparison.hold_out(x, "linear").predicted
    assert comparison.draws.sum(axis=1) == pytest.approx(6)
    assert comparison.draws.min() > 0
    for draw, weights in enumerate(draw_blocks(6)):
        expected = f1_score(y, predicted, average="macro", sample_weight=weights[groups // 7])
        assert outcome.drawn["macro_f1"][draw] == pytest.approx(expected)
    assert outcome.less(outcome, "macro_f1") == intervals.Interval(0, 0, 0)


def test_an_interval_holds_95_of_100_draws():
    found = interval(500.0, np.arange(1001.0))
    assert (found.value, found.low, found.high) == (500.0, 25.0, 975.0)


def test_intervals_are_wider_where_labels_of_a_block_are_alike():
    """That is what a bootstrap over pixels would miss."""
    groups = np.repeat(np.arange(30), 40)
    y = np.array(["a", "b"], object)[np.arange(1200) % 2]
    alike = np.where(np.isin(groups % 3, 1), -1, 1)  # a third of the blocks is predicted wrongly
    mixed = np.where(np.random.default_rng(0).permutation(alike) > 0, 1, -1)
    widths = []
    for right in (alike, mixed):
        predicted = np.where(right > 0, y, np.where(y == "a", "b", "a"))
        drawn = class_scores(np.tensordot(draw_blocks(30), confusions(y, predicted, groups, ["a", "b"]), 1))
        found = interval(drawn["macro_f1"].mean(), drawn["macro_f1"])
        widths.append(found.high - found.low)
    assert widths[0] > 3 * widths[1]


def test_forms_are_what_is_stored_and_its_prefixes():
    assert [(form.stored_as, form.dim) for form in forms("float32", 64)] == [
        ("float32", 64), ("float32", 32), ("float32", 16), ("int8", 64), ("int8", 32), ("int8", 16), ("vq", 64),
    ]  # fmt: skip
    assert [(form.stored_as, form.dim) for form in forms("int8", 32)] == [
        ("int8", 32), ("int8", 16), ("vq", 32),
    ]  # fmt: skip
    assert [(form.stored_as, form.dim) for form in forms("vq", 32)] == [("vq", 32), ("vq", 16)]
    assert (Form("float32", 128).bytes_per_pixel, Form("int8", 128).bytes_per_pixel) == (512, 132)
    # Four numbers a pixel; codebooks of 1,023 words and four ranges of two float32 each in a tile of 512 x 512
    assert Form("vq", 128).bytes_per_pixel == pytest.approx(4 + (1023 * 128 + 4 * 128 * 2 * 4) / 512**2)
    assert Form("int8", 16).km2_per_gb == pytest.approx(5000)


@pytest.mark.parametrize("dim", [32, 16])
def test_a_form_is_read_back_as_a_reader_of_that_output_gets_it(tmp_path, dim):
    """From float32, int8 is what embed --dim K --int8 would have written, bit for bit."""
    cut = np.ascontiguousarray(EMBEDDING[..., :dim])
    written = open_embeddings(made_up_output(tmp_path / "i", cut, stored_as="int8")).read()
    pixels = EMBEDDING.reshape(-1, DIM)
    found = {
        (form.stored_as, form.dim): back
        for form, back in read_back(pixels, "float32", forms("float32", DIM)[:-1])
    }
    np.testing.assert_array_equal(found["int8", dim].reshape(HEIGHT, WIDTH, dim), written)
    np.testing.assert_array_equal(found["float32", dim], pixels[:, :dim])
    whole = open_embeddings(made_up_output(tmp_path / "w", EMBEDDING, stored_as="int8"))
    codes = whole.read().reshape(-1, DIM)
    for form, back in read_back(codes, "int8", forms("int8", DIM)[:-1]):
        kept = open_embeddings(whole.path, form.dim).read()
        np.testing.assert_array_equal(back.reshape(HEIGHT, WIDTH, form.dim), kept)


def test_an_evaluation_of_classes(output, labels):
    found = evaluate(open_embeddings(output), labels, block=100, method=("linear", "knn"))
    assert [(row.method, row.form.stored_as, row.form.dim) for row in found.rows] == [
        (method, store, dim)
        for method in ("linear", "knn")
        for store, dim in (("float32", 32), ("float32", 16), ("int8", 32), ("int8", 16), ("vq", 32))
    ]
    for row in found.rows:
        score = row.scores["macro_f1"]
        assert score.low <= score.value <= score.high
        assert score.value > 0.95
        assert abs(row.difference.value) < 0.05
    assert found.rows[0].difference.value == 0
    assert found.facts["blocks"] == 20
    assert found.facts["labelled_pixels"] == HEIGHT * WIDTH - 4
    (note,) = found.notes
    assert "4 pixels without an embedding" in note


def test_what_vq_would_give_is_what_it_gives(tmp_path, output, labels):
    whole = open_embeddings(output)
    made = open_embeddings(convert(whole, tmp_path / "v", "vq"))
    rows, cols = np.divmod(np.arange(4, HEIGHT * WIDTH, 7), WIDTH)
    valid = np.isfinite(EMBEDDING[rows, cols, 0])
    rows, cols = rows[valid], cols[valid]
    np.testing.assert_array_equal(quantised(whole, cols, rows), made.pixels(cols, rows))
    found = evaluate(made, labels, block=100, method="linear")
    assert [(row.form.stored_as, row.form.dim) for row in found.rows] == [("vq", 32), ("vq", 16)]
    assert found.rows[0].scores["macro_f1"].value > 0.95


def test_a_folder_for_temporary_files_without_room_is_named(monkeypatch, output):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RasterFile, "write", full)
    with pytest.raises(TesseraError, match=r"temporary files in .*No space left.* room for \d+ MB.*TMPDIR"):
        quantised(open_embeddings(output), np.array([3]), np.array([2]))


def test_an_evaluation_of_numbers(output, tmp_path):
    height = np.nan_to_num(EMBEDDING[..., :3].sum(axis=2))
    path = write_labels(tmp_path / "height.tif", height.astype(np.float32))
    found = evaluate(open_embeddings(output), path, regression=True, method=("linear",))
    assert found.main == "r2"
    assert all(row.scores["r2"].value > 0.9 for row in found.rows)
    assert all(row.scores["rmse"].value < 1.5 for row in found.rows)


def test_embeddings_that_only_identify_places_predict_nothing(tmp_path):
    """Each block has a vector of its own and a class of its own: split at random, that would look perfect."""
    generator = np.random.default_rng(3)
    block = np.add.outer(np.arange(HEIGHT) // 5 * 10, np.arange(WIDTH) // 5)
    vectors = generator.normal(size=(80, DIM)).astype(np.float32)[block]
    path = write_labels(tmp_path / "l.tif", generator.integers(1, 4, 80).astype(np.uint8)[block])
    opened = open_embeddings(made_up_output(tmp_path / "e", vectors, stored_as="float32"))
    found = evaluate(opened, path, block=50, method=("linear", "knn"))
    assert max(row.scores["macro_f1"].value for row in found.rows) < 0.6


def test_the_command_prints_writes_and_repeats_itself(run, output, labels):
    asked = ("evaluate", output, "--labels", labels, "--method", "linear", "--threads", 1)
    code, out, _ = run(*asked, "-q")
    assert code == 0
    assert out.startswith("# How well field_nano_float32_32 predicts crops.tif\n")
    assert "| int8, 16 dims | 20 | 5,000 |" in out
    code, printed, _ = run(*asked, "-q", "--json", "-o", "found")
    assert code == 0
    values = json.loads(printed)
    assert values.pop("out") == "found"
    # The same, and the figure
    written = Path("found/report.md").read_text().split("\n\n")
    assert [part for part in written if "(report.png)" not in part] == out.split("\n\n")
    assert len(written) == len(out.split("\n\n")) + 1
    page = Path("found/report.html").read_text()
    assert "data:image/png;base64," in page
    assert '<th scope="row">int8, 16 dims</th><td>20</td><td>5,000</td>' in page
    assert json.loads(Path("found/report.json").read_text()) == values
    assert values["rows"][0]["bytes_per_pixel"] == 128
    assert values["rows"][0]["scores"]["macro_f1"]["value"] > 0.95
    assert pystac.Item.from_file("found/item.json").properties["tessera:result"] == "evaluation"
    picture = np.asarray(Image.open("found/report.png"))
    assert picture.shape[2] == 3
    assert (picture == (0, 114, 178)).all(axis=2).any()
    assert (picture == (213, 94, 0)).all(axis=2).any()
    code, _, err = run(*asked, "-o", "found")
    assert (code, "give --overwrite" in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": ("magic",)}, "method=magic.*linear, knn, forest"),
        ({"block": 5000}, "5000 m"),
    ],
)
def test_a_mistake_is_one_line(output, labels, options, message):
    with pytest.raises(InputError, match=message):
        evaluate(open_embeddings(output), labels, **options)


def test_one_class_is_refused(output, tmp_path):
    path = write_labels(tmp_path / "one.tif", np.ones((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(InputError, match="one class"):
        evaluate(open_embeddings(output), path)
