"""Live classes, suggestions, accuracy and the final map: right on made-up land, and equal to what the commands give."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import CRS, ORIGIN
from outputs import made_up_output

from tessera_engine import cli, open_embeddings
from tessera_engine.analysis.labels.pixels import LabelSource
from tessera_engine.analysis.maps.evaluation import measure
from tessera_engine.analysis.options import EvaluateOptions
from tessera_engine.analysis.suggestions import COUNT, FEW_LABELS
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.scene import Grid, Window
from tessera_engine.view import final_map
from tessera_engine.view.classes import RIDGE_FROM, count_classes, learn, live_map
from tessera_engine.view.final_map import assess_labels, export_labels, export_map, free_names
from tessera_engine.view.label_document import Document, parse_document
from tessera_engine.view.label_import import import_labels
from tessera_engine.view.levels import ArraySource

pytest.importorskip("sklearn")
pytest.importorskip("pyogrio")

HEIGHT, WIDTH, DIM = 90, 120, 32
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2")


def land(seed=0, classes=4, height=HEIGHT, width=WIDTH, noise=0.7):
    """(height, width) true classes in fields of 10 x 10 pixels, and (height, width, DIM) embeddings of them."""
    rng = np.random.default_rng(seed)
    fields = rng.integers(0, classes, (-(-height // 10), -(-width // 10)))
    fields.flat[:classes] = np.arange(classes)
    truth = np.kron(fields, np.ones((10, 10), int))[:height, :width]
    centres = rng.normal(size=(classes, DIM))
    embedding = centres[truth] + noise * 2 * rng.normal(size=(height, width, DIM))
    embedding *= rng.uniform(0.5, 2, (height, width, 1))  # the length of a vector means nothing
    embedding[rng.random((height, width)) < 0.05] = np.nan
    return truth, embedding.astype(np.float32)


TRUTH, EMBEDDING = land()


@pytest.fixture(scope="module", params=["int8", "float32"])
def output(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("o") / "field.embeddings"
    return open_embeddings(made_up_output(folder, EMBEDDING, stored_as=request.param, year=2018))


def labelled(places, classes=4, grid=None):
    """The document with points at (col, row, class)."""
    value = {
        "revision": 0,
        "classes": [{"id": f"c{i}", "name": f"class {i}", "colour": COLOURS[i]} for i in range(classes)],
        "labels": [
            {"id": f"l{n}", "class": f"c{each}", "kind": "point", "col": int(col), "row": int(row)}
            for n, (col, row, each) in enumerate(places)
        ],
    }
    return parse_document(value, grid or Grid(WIDTH, HEIGHT, CRS, ORIGIN))


def drawn(seed, count, truth=TRUTH, embedding=EMBEDDING, classes=4):
    """`count` random pixels with data of each class."""
    rng = np.random.default_rng(seed)
    places = []
    for each in range(classes):
        rows, cols = np.nonzero((truth == each) & np.isfinite(embedding[..., 0]))
        for i in rng.choice(len(rows), count, replace=False):
            places.append((cols[i], rows[i], each))
    return places


@pytest.mark.parametrize(("count", "method"), [(1, "mean"), (RIDGE_FROM - 1, "mean"), (RIDGE_FROM, "ridge")])
def test_a_few_labels_make_a_map(output, count, method):
    made = live_map(labelled(drawn(1, count)), output, output)
    assert (made.method, made.enough) == (method, True)
    there = np.isfinite(EMBEDDING[..., 0])
    assert not made.classified[~there].any()
    right = made.classified[there, 0] == TRUTH[there] + 1
    assert right.mean() > {1: 0.5, 2: 0.65, 3: 0.7}[count]
    # Where it isn't sure, it is wrong more often
    margins = made.classified[there, 1]
    assert margins[right].mean() > margins[~right].mean() + 20
    assert made.pixels == [int((made.classified[..., 0] == i + 1).sum()) for i in range(4)]


def test_the_first_label_of_a_class_leaves_the_others_as_good_as_they_were(output):
    there = np.isfinite(EMBEDDING[..., 0]) & (TRUTH < 3)
    places = [place for place in drawn(4, 12) if place[2] < 3]
    before = live_map(labelled(places), output, output)
    after = live_map(labelled([*places, *drawn(4, 1)[3:]]), output, output)
    assert (before.method, after.method) == ("ridge", "ridge")
    right = [(made.classified[there, 0] == TRUTH[there] + 1).mean() for made in (before, after)]
    assert right[1] > right[0] - 0.05


def test_both_forms_and_parts_give_the_same_map(tmp_path, monkeypatch):
    outputs = [
        open_embeddings(made_up_output(tmp_path / kind, EMBEDDING, stored_as=kind))
        for kind in ("int8", "float32")
    ]
    found = labelled(drawn(1, 5))
    codes, floats = (live_map(found, each, each) for each in outputs)
    assert (codes.classified[..., 0] == floats.classified[..., 0]).mean() > 0.99
    monkeypatch.setattr("tessera_engine.view.classes.STRIP_PIXELS", 1000)
    told = []
    parts = live_map(found, outputs[0], outputs[0], lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(parts.classified, codes.classified)
    assert parts.next == codes.next
    assert told[-1] == (HEIGHT * WIDTH, HEIGHT * WIDTH)
    assert len(told) > 5


def test_classes_without_labels_and_orders_keep_their_numbers(output):
    places = [(col, row, {0: 4, 3: 1}[each]) for col, row, each in drawn(2, 5) if each in (0, 3)]
    made = live_map(labelled(places, classes=5), output, output)
    assert set(np.unique(made.classified[..., 0])) == {0, 2, 5}
    assert made.pixels[0] == made.pixels[2] == made.pixels[3] == 0
    at = TRUTH == 0
    assert (made.classified[at & np.isfinite(EMBEDDING[..., 0]), 0] == 5).mean() > 0.8


def test_one_class_or_no_data_is_not_enough(output):
    made = live_map(labelled(drawn(1, 3)[:3]), output, output)
    assert (made.enough, made.next, made.method) == (False, [], "mean")
    rows, cols = np.nonzero(np.isnan(EMBEDDING[..., 0]))
    for places in ([], [(cols[0], rows[0], 0)]):
        with pytest.raises(InputError, match="no label lies on a pixel with data"):
            live_map(labelled(places), output, output)


def test_an_overview_gives_the_classes_of_its_pixels(output):
    found = labelled(drawn(1, 5))
    whole = live_map(found, output, output)
    stored = output.read_stored()
    half = ArraySource(
        Grid(60, 45, CRS, ORIGIN @ Affine.scale(2)),
        np.ascontiguousarray(stored.values[::2, ::2]),
        None if stored.scales is None else np.ascontiguousarray(stored.scales[::2, ::2]),
    )
    from dataclasses import replace

    small = live_map(found, output, replace(output, source=half))
    np.testing.assert_array_equal(small.classified, whole.classified[::2, ::2])
    assert len(small.next) == COUNT
    for place in small.next:
        assert (place.col % 2, place.row % 2) == (0, 0)
        assert place.margin == whole.classified[place.row, place.col, 1]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 999),
    st.sampled_from([16, 32, 64, 128]),
    st.lists(st.integers(0, 6), min_size=1, max_size=40),
)
def test_any_labels_are_learned(seed, dim, classes):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(len(classes), dim)).astype(np.float32)
    x[rng.random(len(classes)) < 0.2] = np.nan
    x[rng.random(len(classes)) < 0.1] = 0
    twice = rng.integers(0, len(classes), len(classes))
    x[: len(classes) // 3] = x[twice[: len(classes) // 3]]  # the same pixel under several classes too
    which = np.array(classes)
    usable = np.isfinite(x[:, 0]) & x.any(axis=1)
    scorer = learn(x, which)
    if not usable.any():
        assert scorer is None
        return
    present = np.unique(which[usable])
    assert scorer.numbers.tolist() == (present + 1).tolist()
    enough = usable.sum() >= RIDGE_FROM * len(present) and len(present) > 1
    assert scorer.method == ("ridge" if enough else "mean")
    assert all(np.isfinite(each).all() for each in scorer[1:])
    found = scorer.classify(x, None)
    assert (found[np.isnan(x[:, 0])] == 0).all()
    assert set(found[usable, 0]) <= set(scorer.numbers)


def test_ridge_is_the_solution_of_its_equations():
    """Both closed forms, against a plain solution of the weighted normal equations."""
    rng = np.random.default_rng(0)
    for count in (30, 200):  # fewer and more labels than dimensions
        x = rng.normal(size=(count, 64)).astype(np.float32)
        which = rng.integers(0, 3, count)
        scorer = learn(x, which)
        u = x / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
        weight = np.array([count / (3 * (which == c).sum()) for c in which])
        design = np.column_stack([u, np.ones(count)])
        centre = (weight[:, None] * u).sum(axis=0) / weight.sum()
        spread = ((u - centre) ** 2 * weight[:, None]).sum()
        penalty = np.eye(65) * 0.01 * spread / min(count, 64)
        penalty[64, 64] = 0
        wanted = np.linalg.solve(
            design.T @ (weight[:, None] * design) + penalty,
            design.T @ (weight[:, None] * np.eye(3)[which]),
        )
        np.testing.assert_allclose(scorer.weights, wanted[:64].T, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(scorer.bias, wanted[64], rtol=1e-4, atol=1e-5)


def test_the_mean_of_a_class_is_sure_and_the_middle_of_two_is_a_tie():
    x = np.eye(16, dtype=np.float32)[:2]
    scorer = learn(x, np.array([0, 1]))
    found = scorer.classify(np.concatenate([x, x[:1] + x[1:]]), None)
    assert found.tolist() == [[1, 255], [2, 255], [1, 0]]


def test_counts_are_by_class():
    classified = np.array([[[1, 9], [3, 0]], [[0, 0], [3, 1]]], np.uint8)
    assert count_classes(classified, 4) == [1, 0, 2, 0]


def test_suggestions_are_apart_unsure_and_always_the_same(output):
    found = labelled(drawn(3, FEW_LABELS // 4))
    made = live_map(found, output, output)
    assert made.next == live_map(found, output, output).next
    assert len(made.next) == COUNT
    places = np.array([(place.col, place.row) for place in made.next])
    labels = np.array([(label.col, label.row) for label in found.labels])
    for i, place in enumerate(places):
        others = np.concatenate([np.delete(places, i, axis=0), labels])
        assert np.hypot(*(others - place).T).min() >= 0.03 * WIDTH
        assert np.isfinite(EMBEDDING[place[1], place[0], 0])
        assert made.next[i].margin == made.classified[place[1], place[0], 1]
    assert made.classified[..., 1][made.classified[..., 0] > 0].mean() > np.mean(
        [p.margin for p in made.next]
    )


def balanced(classified, truth):
    return np.mean([(classified[truth == c, 0] == c + 1).mean() for c in np.unique(truth)])


def while_labelling(seed, output, truth, embedding, choose, rounds):
    """How many labels there are and the balanced accuracy of their map, from one of each class on, in steps of `COUNT`."""
    places = drawn(seed, 1, truth, embedding, 5)
    rng = np.random.default_rng(seed)
    there = truth.copy()
    there[np.isnan(embedding[..., 0])] = -1
    for _ in range(rounds + 1):
        made = live_map(labelled(places, 5), output, output)
        yield len(places), balanced(made.classified[there >= 0], truth[there >= 0])
        if choose:
            new = [(place.col, place.row) for place in made.next]
        else:
            rows, cols = np.nonzero(there >= 0)
            picked = rng.choice(len(rows), COUNT, replace=False)
            new = list(zip(cols[picked], rows[picked], strict=True))
        places += [(col, row, truth[row, col]) for col, row in new]


def test_suggested_labels_are_worth_more_than_random_ones_from_the_first_on(tmp_path):
    """Land with a rare class and classes of several kinds, as random pixels seldom show them."""
    needed, first = {True: 0, False: 0}, {True: 0, False: 0}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        kinds = rng.choice(11, (9, 12), p=[0.14] * 6 + [0.05, 0.05, 0.03, 0.02, 0.01])
        kinds.flat[:11] = np.arange(11)
        kind = np.kron(kinds, np.ones((10, 10), int))
        truth = np.array([0, 1, 2, 0, 1, 2, 3, 0, 4, 3, 4])[kind]
        embedding = (rng.normal(size=(11, DIM))[kind] + 0.8 * rng.normal(size=(90, 120, DIM))).astype(
            np.float32
        )
        output = open_embeddings(made_up_output(tmp_path / str(seed), embedding))
        for choose in needed:
            steps = while_labelling(seed, output, truth, embedding, choose, 12)
            assert next(steps)[1] < 0.85
            labels, score = next(steps)
            first[choose] += score / 5
            while score < 0.85:
                labels, score = next(steps)
            needed[choose] += labels
    assert first[True] > first[False] + 0.03, first
    assert needed[True] < 0.8 * needed[False], needed


def test_the_accuracy_is_that_of_evaluate(output, tmp_path):
    found = labelled(drawn(5, 30))
    told = assess_labels(found, output, threads=1)
    path = export_labels(found, output, "gpkg")
    try:
        wanted = measure(
            [[output]], LabelSource(path, "class"), EvaluateOptions(method=("linear",), threads=1)
        )
    finally:
        path.unlink()
    score = wanted.rows[0].scores["balanced_accuracy"]
    assert (told["balanced"], told["low"], told["high"]) == (score.value, score.low, score.high)
    assert (told["blocks"], told["folds"]) == (wanted.facts["blocks"], wanted.facts["folds"])
    assert [each["labels"] for each in told["per_class"]] == [30] * 4
    assert np.mean([each["recall"] for each in told["per_class"]]) == pytest.approx(told["balanced"])
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize(
    ("places", "why"),
    [
        ([], "no labels"),
        (drawn(1, 9)[:9], "two classes"),
        (drawn(1, 4), "fewer than 5 labelled pixels of class 0, class 1, class 2 and 1 more"),
        (drawn(1, 9)[:12], "fewer than 5 labelled pixels of class 1"),
    ],
)
def test_an_accuracy_that_is_not_known_says_why(output, places, why):
    told = assess_labels(labelled(places), output)
    assert told["known"] is False
    assert why in told["why"]
    assert "block=" not in told["why"]
    assert "/" not in told["why"]


def test_labels_in_one_block_show_no_accuracy(tmp_path):
    truth, embedding = land(1, 2, 12, 12)
    output = open_embeddings(made_up_output(tmp_path / "small", embedding))
    at = [(c, r, truth[r, c]) for r in range(12) for c in range(12) if np.isfinite(embedding[r, c, 0])]
    told = assess_labels(labelled(at, 2, output.grid), output)
    assert told["known"] is True  # even so small an area has blocks
    value = [(0, 0, 0), (0, 0, 1)]
    told = assess_labels(labelled(value, 2, output.grid), output)
    assert (told["known"], "different labels" in told["why"]) == (False, True)


def contents(folder):
    """The files of a map; of item.json what doesn't tell the time."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    item = json.loads(files.pop("item.json"))
    for word in ("created", "tessera:item_sha256", "datetime"):
        item["properties"].pop(word, None)
    return files, item


@pytest.mark.parametrize("method", ["linear", "knn"])
def test_the_final_map_is_what_the_command_makes_of_the_exported_labels(tmp_path, monkeypatch, method):
    monkeypatch.chdir(tmp_path)
    output = open_embeddings(made_up_output(tmp_path / "field.embeddings", EMBEDDING, year=2018))
    made = export_map(labelled(drawn(5, 12)), output, method)
    assert (made.folder.name, made.labels.name) == ("field.map", "field.labels.gpkg")
    arguments = ["map", output.path.name, "--labels", made.labels.name, "--field", "class", "-o", "again"]
    monkeypatch.setattr("sys.argv", ["tessera-engine", *arguments, "--method", method, "--quiet"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    files, item = contents(made.folder)
    again, again_item = contents(tmp_path / "again")
    assert files == again
    assert item == again_item
    with rasterio.open(made.folder / "map.tif") as file:
        found = file.read(1)
    there = np.isfinite(EMBEDDING[..., 0])
    assert (found[there] == TRUTH[there] + 1).mean() > 0.9
    # Nothing is ever replaced
    second = export_map(labelled(drawn(6, 12)), output, method)
    assert (second.folder.name, second.labels.name) == ("field-2.map", "field-2.labels.gpkg")
    assert contents(made.folder) == (files, item)


def test_a_file_that_appears_where_the_labels_of_a_map_belong_stays(tmp_path, monkeypatch):
    output = open_embeddings(made_up_output(tmp_path / "field.embeddings", EMBEDDING))
    theirs, write = tmp_path / "field.labels.gpkg", final_map.write_labels

    def meanwhile(*arguments):
        write(*arguments)
        theirs.write_bytes(b"theirs")

    monkeypatch.setattr(final_map, "write_labels", meanwhile)
    with pytest.raises(InputError, match=r"field\.labels\.gpkg"):
        export_map(labelled(drawn(5, 12)), output)
    assert theirs.read_bytes() == b"theirs"
    assert sorted(os.listdir(tmp_path)) == ["field.embeddings", "field.labels.gpkg"]


def test_a_map_that_fails_or_is_stopped_leaves_nothing(tmp_path, monkeypatch):
    output = open_embeddings(made_up_output(tmp_path / "field.embeddings", EMBEDDING))
    with pytest.raises(InputError, match=r"1 class"):
        export_map(labelled(drawn(1, 9)[:9]), output)

    class Cancelled(Exception):
        pass

    def stop(done, total):
        raise Cancelled

    with pytest.raises(Cancelled):
        export_map(labelled(drawn(1, 9)), output, progress=stop)
    assert os.listdir(tmp_path) == ["field.embeddings"]


def test_labels_are_exported_beside_the_output_and_never_over_anything(tmp_path, monkeypatch):
    output = open_embeddings(made_up_output(tmp_path / "field.embeddings", EMBEDDING, year=2018))
    found = labelled(drawn(1, 2))
    (tmp_path / "field.labels.tee.json").write_text("mine")
    (tmp_path / "field-2.labels.tee.json").symlink_to("nowhere")
    paths = [export_labels(found, output, format) for format in final_map.ENDINGS]
    assert [path.name for path in paths] == [
        "field.labels.geojson",
        "field.labels.gpkg",
        "field-3.labels.tee.json",
    ]
    assert (tmp_path / "field.labels.tee.json").read_text() == "mine"
    for path in paths:
        back = import_labels(Document.none(), output.grid, path.name, path.read_bytes())
        assert back.added == 8
    assert json.loads(paths[2].read_text())["year"] == "2018"
    with pytest.raises(InputError, match="shp"):
        export_labels(found, output, "shp")
    with pytest.raises(InputError, match="no labels"):
        export_labels(Document.none(), output, "geojson")

    def fail(*arguments, **options):
        raise TesseraError("can't write: disk full")

    before = sorted(os.listdir(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(final_map, "write_labels", fail)
        with pytest.raises(TesseraError, match="disk full"):
            export_labels(found, output, "geojson")
    assert sorted(os.listdir(tmp_path)) == before
    monkeypatch.setattr(final_map, "MOST_NUMBER", 2)
    with pytest.raises(InputError, match="remove some"):
        free_names(output, [".labels.geojson"])


def test_windows_of_an_output_are_read_as_they_are_searched(output):
    """The arrays that are classified are those of the output: a pixel's class doesn't depend on the others."""
    found = labelled(drawn(1, 5))
    made = live_map(found, output, output)
    part = output.read_stored(Window(10, 20, 7, 5))
    scorer = learn(
        output.pixels(
            np.array([label.col for label in found.labels]), np.array([label.row for label in found.labels])
        ),
        np.array([int(label.class_id[1:]) for label in found.labels]),
    )
    values = part.values.reshape(-1, DIM)
    scales = None if part.scales is None else part.scales.reshape(-1)
    alone = scorer.classify(values, scales).reshape(5, 7, 2)
    different = alone[..., 0] != made.classified[20:25, 10:17, 0]
    assert not different[alone[..., 1] > 2].any()
