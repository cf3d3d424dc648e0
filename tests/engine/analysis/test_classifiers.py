"""Classifiers: learned, calibrated, saved and applied again: the same bits, and nothing that they weren't learned for."""

from __future__ import annotations

import errno
import json

import numpy as np
import pystac
import pytest
import rasterio
from made_up import CRS, ORIGIN
from outputs import made_up_output

from tessera_engine import apply, open_embeddings
from tessera_engine import map as make_map
from tessera_engine.analysis.maps import mapping
from tessera_engine.analysis.maps.classifier import FORMAT
from tessera_engine.analysis.maps.classifier_file import read_classifier
from tessera_engine.analysis.maps.learn import METHODS, learn
from tessera_engine.analysis.maps.learners.base import Task, Vectors, balanced_rows
from tessera_engine.analysis.maps.quality import quality
from tessera_engine.analysis.maps.training import SEVERAL_TRIED
from tessera_engine.errors import InputError, ModelError
from tessera_engine.files.arrays import pack, unpack
from tessera_engine.files.output import PartialOutput
from tessera_engine.scene import Grid

SIZE, DIM = 40, 16
CENTRES = np.random.default_rng(1).normal(size=(3, DIM)) * 2
NAMES = ["maize", "meadow", "wheat"]
NEXT_ZONE = Grid(SIZE, SIZE, "EPSG:32632", ORIGIN)
REPORT = {"report.html", "report.md", "report.json", "reliability.png"}


def land(seed, noise=0.6):
    """(embedding, class): fields of three crops."""
    rng = np.random.default_rng(seed)
    crop = (np.add.outer(np.arange(SIZE) // 5, np.arange(SIZE) // 5) + seed) % 3
    values = CENTRES[crop] + rng.normal(size=(SIZE, SIZE, DIM)) * noise
    values[:3, :3] = np.nan
    return values.astype(np.float32), crop


def write_labels(path, values):
    profile = {
        "driver": "GTiff",
        "dtype": "float32",
        "count": 1,
        "crs": CRS,
        "transform": ORIGIN,
        "nodata": -1,
    }
    with rasterio.open(path, "w", height=SIZE, width=SIZE, **profile) as file:
        file.write(values.astype(np.float32), 1)
    return path


def some(values, count, seed=2):
    """The values of some pixels, -1 elsewhere."""
    chosen = np.random.default_rng(seed).permutation(np.arange(3 * SIZE, SIZE * SIZE))[:count]
    kept = np.full(SIZE * SIZE, -1.0)
    kept[chosen] = values.ravel()[chosen]
    return kept.reshape(SIZE, SIZE)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Outputs of two years, one in the next zone, and labels: classes, classes of other pixels, and numbers."""
    folder = tmp_path_factory.mktemp("places")
    first, crop = land(0)
    made_up_output(folder / "a.embeddings", first, year=2023)
    made_up_output(folder / "b.embeddings", land(1)[0], grid=NEXT_ZONE, year=2024)
    write_labels(folder / "crops.tif", some(crop, 120))
    write_labels(folder / "test.tif", some(crop, 150, seed=9))
    write_labels(folder / "height.tif", some(np.nan_to_num(first[..., :3].sum(axis=2)), 90))
    return folder


def raster(path):
    with rasterio.open(path) as file:
        return file.read()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("regression", [False, True])
def test_what_is_learned_predicts_as_scikit_learn_does(method, regression, monkeypatch):
    """The arrays that were taken from scikit-learn's estimator are all of it."""
    import sklearn.ensemble as ensemble
    import sklearn.linear_model as linear_model
    import sklearn.neural_network as neural

    rng = np.random.default_rng(3)
    fitted = []
    for count in (3, 2):
        fitted.clear()
        number = rng.integers(0, count, 80)
        x = (CENTRES[number] + rng.normal(size=(80, DIM))).astype(np.float32)
        y = x[:, :2].sum(axis=1) if regression else np.array(NAMES, object)[number]
        for module in (ensemble, linear_model, neural):
            for name in ("RandomForest", "HistGradientBoosting", "LogisticRegression", "RidgeCV", "MLP"):
                for kind in (name, f"{name}Classifier", f"{name}Regressor"):
                    estimator = getattr(module, kind, None)
                    if estimator is not None:
                        monkeypatch.setattr(
                            module,
                            kind,
                            lambda *a, e=estimator, **k: (fitted.append(e(*a, **k)), fitted[-1])[1],
                        )
        model = learn(method, x, y, Task(regression, fewest=60))
        monkeypatch.undo()
        new = (CENTRES[rng.integers(0, count, 200)] + rng.normal(size=(200, DIM))).astype(np.float32)
        found = model.scores(Vectors(new))
        shares = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
        if method == "knn":
            from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

            unit, known = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (new, x))
            kind = KNeighborsRegressor if regression else KNeighborsClassifier
            expected = kind(5, weights="distance").fit(known, y)
            new = unit
        else:
            (expected,) = fitted
        if method in ("linear", "mlp"):
            from sklearn.preprocessing import StandardScaler

            new = StandardScaler().fit(x).transform(new)
        if regression:
            middle, spread = (y.mean(), y.std()) if method == "mlp" else (0, 1)
            np.testing.assert_allclose(
                found[:, 0], expected.predict(new) * spread + middle, rtol=1e-4, atol=1e-4
            )
        else:
            np.testing.assert_allclose(shares, expected.predict_proba(new), atol=1e-4)
            assert model.names == tuple(NAMES[:count])
        assert model.importance.shape == (DIM,)
        again = type(model.fitted).of_arrays(model.fitted.arrays(), DIM, 1 if regression else count)
        np.testing.assert_array_equal(again.scores(Vectors(new)), model.scores(Vectors(new)))


@pytest.mark.parametrize(
    ("method", "context"), [(each, 0) for each in METHODS] + [("linear", 3), ("boosting", 5)]
)
def test_a_saved_classifier_makes_the_same_map(places, tmp_path, method, context):
    made = make_map(
        places / "a.embeddings", places / "crops.tif", out=tmp_path / "one", method=method, context=context,
        save=tmp_path / "crops.model", applicability=True, probabilities=True, threads=1, progress=False,
    )  # fmt: skip
    assert made.saved == tmp_path / "crops.model"
    applied = apply(made.saved, places / "a.embeddings", tmp_path / "two", probabilities=True, progress=False)
    names = {path.name for path in (tmp_path / "two").iterdir()}
    assert names == {path.name for path in (tmp_path / "one").iterdir()} - REPORT
    # QGIS has a style for each raster
    assert {name.replace(".tif", ".qml") for name in names if name.endswith(".tif")} <= names
    for name in names - {"item.json"}:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert applied.report["beyond_applicability"] == made.report["beyond_applicability"]
    assert applied.report["quality"] == quality(made.report)
    right = (raster(tmp_path / "two" / "map.tif")[0] == land(0)[1])[np.isfinite(land(0)[0][..., 0])]
    assert right.mean() > 0.9
    shares = raster(tmp_path / "two" / "probabilities.tif").astype(int)
    assert (np.abs(shares[:, 5:].sum(axis=0) - 100) <= 2).all()
    again = read_classifier(made.saved)
    assert again.to_bytes() == made.saved.read_bytes()
    assert again.about.report["accuracy"] == made.report["accuracy"]
    assert again.about.labelled_pixels == 120


def test_a_regression_is_saved_too(places, tmp_path):
    for method in ("linear", "boosting"):
        made = make_map(
            places / "a.embeddings", places / "height.tif", out=tmp_path / method, method=method, regression=True,
            save=tmp_path / f"{method}.model", progress=False,
        )  # fmt: skip
        apply(made.saved, places / "a.embeddings", tmp_path / f"{method}2", progress=False)
        one, two = (raster(tmp_path / each / "map.tif") for each in (method, f"{method}2"))
        np.testing.assert_array_equal(one, two)


def test_other_years_and_zones(places, tmp_path):
    make_map(
        places / "a.embeddings",
        places / "crops.tif",
        out=tmp_path / "one",
        save=tmp_path / "m.model",
        progress=False,
    )
    both = [places / "a.embeddings", places / "b.embeddings"]
    made = apply(tmp_path / "m.model", both, tmp_path / "two", progress=False)
    found = raster(tmp_path / "two" / "b" / "map.tif")[0]
    assert (found == land(1)[1])[4:].mean() > 0.9
    item = pystac.Item.from_file(str(made.out / "item.json"))
    assert item.assets["map-b"].extra_fields["proj:code"] == "EPSG:32632"


def test_only_embeddings_that_it_was_learned_for(places, tmp_path):
    make_map(
        places / "a.embeddings",
        places / "crops.tif",
        out=tmp_path / "one",
        save=tmp_path / "m.model",
        progress=False,
    )
    wide = np.concatenate([land(0)[0], np.zeros((SIZE, SIZE, 16), np.float32)], axis=2)
    other = made_up_output(tmp_path / "other", land(0)[0], model_sha256="b" * 64)
    short = made_up_output(tmp_path / "short", land(0)[0][..., :8])
    with pytest.raises(InputError, match=r"bbbbbbbbbbbb.*aaaaaaaaaaaa"):
        apply(tmp_path / "m.model", other, tmp_path / "x")
    with pytest.raises(InputError, match=r"8 dimensions.*16"):
        apply(tmp_path / "m.model", short, tmp_path / "x")
    unknown = open_embeddings(other)
    del unknown.item["properties"]["tessera:model_sha256"]
    with pytest.raises(InputError, match="doesn't record"):
        apply(tmp_path / "m.model", unknown, tmp_path / "x")
    with pytest.raises(InputError, match=r"save=.*never be applied"):
        make_map(unknown, places / "crops.tif", out=tmp_path / "x", save=tmp_path / "m2.model")
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "m2").exists()
    # More dimensions are fine: the first ones are the same prefix
    apply(tmp_path / "m.model", made_up_output(tmp_path / "wide", wide, stored_as="float32"), tmp_path / "x")
    assert (raster(tmp_path / "x" / "map.tif")[0] == land(0)[1])[4:].mean() > 0.9


def test_a_file_that_was_changed_is_refused(places, tmp_path):
    path = tmp_path / "m.model"
    make_map(places / "a.embeddings", places / "crops.tif", out=tmp_path / "o", save=path, progress=False)
    content = path.read_bytes()
    facts, arrays = unpack(FORMAT, content)
    wrong = {
        "cut": content[:-1],
        "longer": content + b"\0",
        "a bit": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        "empty": b"",
        "pickle": b"\x80\x04K\x01.",
        "another format": pack("tessera-classifier 9", facts, arrays),
        "an unknown fact": pack(FORMAT, facts | {"x": 1}, arrays),
        "an unknown method": pack(FORMAT, facts | {"method": "magic"}, arrays),
        "classes": pack(FORMAT, facts | {"classes": facts["classes"][:2]}, arrays),
        "nan": pack(FORMAT, facts, arrays | {"learned.bias": arrays["learned.bias"] * np.float32(np.nan)}),
        "shape": pack(FORMAT, facts, arrays | {"learned.bias": arrays["learned.bias"][:2]}),
        "array": pack(FORMAT, facts, arrays | {"other": np.zeros(2)}),
        "dim": pack(FORMAT, facts | {"dim": 8}, arrays),
    }
    for name, changed in wrong.items():
        path.write_bytes(changed)
        with pytest.raises(ModelError, match=r"^[^\n]*m\.model is not a classifier[^\n]*$"):
            read_classifier(path)
        assert not list(tmp_path.glob("x*")), name
    with pytest.raises(ModelError, match="no such file"):
        apply(tmp_path / "nothing", places / "a.embeddings")


def test_trees_that_would_not_end_are_refused(places, tmp_path):
    path = tmp_path / "m.model"
    make_map(
        places / "a.embeddings",
        places / "crops.tif",
        out=tmp_path / "o",
        save=path,
        method="boosting",
        progress=False,
    )
    facts, arrays = unpack(FORMAT, path.read_bytes())
    inner = int(np.flatnonzero(arrays["learned.feature"] >= 0)[3])
    for name, value in (("left", inner), ("right", 10**6), ("left", -1), ("feature", DIM), ("feature", -2)):
        changed = arrays[f"learned.{name}"].copy()
        changed[inner] = value
        path.write_bytes(pack(FORMAT, facts, arrays | {f"learned.{name}": changed}))
        with pytest.raises(ModelError, match="is not a classifier"):
            read_classifier(path)


@pytest.mark.parametrize("context", [0, 3, 5])
def test_strips_and_threads_change_nothing(places, tmp_path, monkeypatch, context):
    for name in ("whole", "strips"):
        if name == "strips":
            monkeypatch.setattr(mapping, "BLOCK_VALUES", SIZE * DIM * 3)
        make_map(
            places / "a.embeddings", places / "crops.tif", out=tmp_path / name, context=context, method="mlp",
            applicability=True, progress=False,
        )  # fmt: skip
    for file in ("map.tif", "confidence.tif", "dissimilarity.tif"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "strips" / file).read_bytes()


def test_auto_takes_the_best_and_says_the_table(places, tmp_path):
    report = make_map(
        places / "a.embeddings", places / "crops.tif", out=tmp_path / "o", method="auto", progress=False
    ).report
    tried = [(each["method"], each["context"]) for each in report["tried"]]
    assert tried[: len(METHODS)] == [(each, 0) for each in METHODS]
    assert [context for _, context in tried[len(METHODS) :]] == [3, 5]
    scores = [each["scores"]["macro_f1"]["value"] for each in report["tried"]]
    best = tried[int(np.argmax(scores))]
    assert (report["method"], report["context"]) == best
    assert SEVERAL_TRIED in report["notes"]


def test_an_independent_test_set(places, tmp_path):
    report = make_map(
        places / "a.embeddings",
        places / "crops.tif",
        out=tmp_path / "o",
        test=places / "test.tif",
        progress=False,
    ).report
    classes, found = land(0)[1], raster(tmp_path / "o" / "map.tif")[0]
    test, learned = raster(places / "test.tif")[0] >= 0, raster(places / "crops.tif")[0] >= 0
    fresh = test & ~learned & np.isfinite(land(0)[0][..., 0])
    assert report["test"]["labelled_pixels"] == fresh.sum() < test.sum()
    assert report["test"]["accuracy"] == pytest.approx((found == classes)[fresh].mean())
    low, high = report["test"]["intervals"]["accuracy"]
    assert low < report["test"]["accuracy"] <= high
    with pytest.raises(InputError, match=r"test=.*learned from"):
        make_map(places / "a.embeddings", places / "crops.tif", out=tmp_path / "x", test=places / "crops.tif")


def test_balance_finds_a_rare_class_more_often(tmp_path):
    rng = np.random.default_rng(0)
    rare = rng.random((SIZE, SIZE)) < 0.1
    values = (rare[..., None] * 0.9 + rng.normal(size=(SIZE, SIZE, DIM))).astype(np.float32)
    out = made_up_output(tmp_path / "e", values)
    labels = write_labels(tmp_path / "l.tif", some(rare, 400))
    for method in ("linear", "knn", "boosting"):
        plain, balanced = (
            make_map(
                out, labels, out=tmp_path / f"{method}{each}", method=method, balance=each, progress=False
            )
            for each in (False, True)
        )
        recall = [each.report["classes"]["1"]["recall"] for each in (plain, balanced)]
        assert recall[1] > recall[0], method
    rows = balanced_rows(np.array([0, 0, 0, 0, 0, 1, 1, 2]))
    assert np.bincount(np.array([0, 0, 0, 0, 0, 1, 1, 2])[rows]).tolist() == [5, 5, 5]


def test_with_few_labels_a_class_is_not_known(places, tmp_path):
    _, crop = land(0)
    values = some(crop, 60)
    rows, cols = np.nonzero(values == 2)
    values[rows[4:], cols[4:]] = -1
    report = make_map(
        places / "a.embeddings",
        write_labels(tmp_path / "few.tif", values),
        out=tmp_path / "o",
        progress=False,
    ).report
    assert report["classes"]["2"] == {
        "precision": None, "recall": None, "f1": None, "precision_interval": None, "recall_interval": None, "labels": 4,
    }  # fmt: skip
    low, high = report["classes"]["0"]["recall_interval"]
    assert 0 <= low < report["classes"]["0"]["recall"] <= high <= 1
    assert "not known" in quality(report)
    assert json.loads((tmp_path / "o" / "report.json").read_text()) == report


def test_a_map_worse_than_the_mean_says_so_first(tmp_path, places):
    noise = write_labels(tmp_path / "n.tif", some(np.random.default_rng(0).random((SIZE, SIZE)), 60))
    report = make_map(
        places / "a.embeddings", noise, out=tmp_path / "o", regression=True, method="knn"
    ).report
    assert report["r2"] < 0
    assert quality(report).startswith("Worse than the mean")


def test_nothing_that_is_read_is_replaced(places, tmp_path):
    labels = write_labels(tmp_path / "l.tif", some(land(0)[1], 60))
    before = labels.read_bytes()
    output = places / "a.embeddings"
    for save in (labels, tmp_path / "o" / "m.model"):
        with pytest.raises(InputError, match=save.name):
            make_map(output, labels, out=tmp_path / "o", save=save, overwrite=True, progress=False)
    assert labels.read_bytes() == before
    made = make_map(output, labels, out=tmp_path / "o", save=tmp_path / "m.model", progress=False)
    kept = made.saved.read_bytes()
    with pytest.raises(InputError, match=r"m\.model exists already.*overwrite.*save="):
        make_map(output, labels, out=tmp_path / "p", save=tmp_path / "m.model", progress=False)
    for out in (output, tmp_path / "m.model"):
        with pytest.raises(InputError, match=out.name):
            apply(made.saved, output, out, overwrite=True, progress=False)
    assert made.saved.read_bytes() == kept


def test_a_map_and_its_classifier_are_finished_by_the_same_command(places, tmp_path, monkeypatch):
    """The disk fails after the classifier got its name, and before the map does."""
    given = [places / "a.embeddings", places / "crops.tif", None, tmp_path / "o"]
    honest = PartialOutput.take_name

    def fail(place, replace):
        raise OSError(errno.EIO, "made up", str(place.out))

    monkeypatch.setattr(PartialOutput, "take_name", fail)
    with pytest.raises(OSError, match="made up"):
        make_map(*given, save=tmp_path / "m.model", progress=False)
    assert (tmp_path / "m.model").is_file()
    monkeypatch.setattr(PartialOutput, "take_name", honest)
    with pytest.raises(InputError, match=r"m\.model exists already"):  # another command doesn't replace it
        make_map(*given, save=tmp_path / "m.model", method="knn", progress=False)
    make_map(*given, save=tmp_path / "m.model", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.model", "o"]
    assert apply(tmp_path / "m.model", places / "a.embeddings", tmp_path / "again", progress=False)
