"""Few different embeddings: maps, change and the live map compute each once, and give what single pixels give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_up import CRS, ORIGIN
from outputs import made_up_output

from tessera_engine import apply, open_embeddings
from tessera_engine import map as make_map
from tessera_engine.analysis.change import draw_change
from tessera_engine.analysis.maps.classifier import Classifier
from tessera_engine.analysis.maps.features import features_at
from tessera_engine.running.convert import convert
from tessera_engine.scene import Grid
from tessera_engine.view import cache, levels
from tessera_engine.view.classes import live_map
from tessera_engine.view.label_document import parse_document
from tessera_engine.view.levels import ArraySource
from tessera_engine.view.viewed import Viewed

pytest.importorskip("sklearn")
pytest.importorskip("zarr")

HEIGHT, WIDTH, DIM = 24, 540, 16
"""Of two tiles."""


def land(seed):
    """(embedding, class): blocks of 4 x 4 equal pixels of three classes; some without data."""
    rng = np.random.default_rng(seed)
    crop = rng.integers(0, 3, (HEIGHT // 4, WIDTH // 4))
    values = 2 * np.random.default_rng(9).normal(size=(3, DIM))[crop] + rng.normal(size=(*crop.shape, DIM))
    values, crop = (np.repeat(np.repeat(each, 4, axis=0), 4, axis=1) for each in (values, crop))
    values[5:9, 500:520] = np.nan
    return values.astype(np.float32), crop


def write_labels(path, values):
    """A raster of every seventh pixel's value; -1 is none."""
    kept = np.where(np.arange(values.size).reshape(values.shape) % 71 == 0, values, -1).astype(np.float32)
    options = {
        "driver": "GTiff",
        "dtype": "float32",
        "count": 1,
        "crs": CRS,
        "transform": ORIGIN,
        "nodata": -1,
    }
    with rasterio.open(path, "w", height=HEIGHT, width=WIDTH, **options) as file:
        file.write(kept, 1)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """`vq` and `vq2` of two years, `plain` and `plain2` with the float32 values that are read of them, and labels."""
    folder = tmp_path_factory.mktemp("distinct")
    for end, seed in (("", 0), ("2", 1)):
        source = open_embeddings(made_up_output(folder / f"source{end}", land(seed)[0], year=2020 + seed))
        coded = open_embeddings(convert(source, folder / f"vq{end}", "vq"))
        convert(coded, folder / f"plain{end}", "npy")
    embedding, crop = land(0)
    write_labels(folder / "crops.tif", crop)
    write_labels(folder / "height.tif", np.abs(np.nan_to_num(embedding[..., 0])))
    return folder


def rasters(folder: Path):
    found = {}
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as file:
            found[path.name] = file.read()
    return found


@pytest.mark.parametrize(
    ("method", "labels"),
    [("linear", "crops"), ("knn", "crops"), ("boosting", "crops"), ("mlp", "height"), ("forest", "height")],
)
def test_a_map_is_that_of_single_pixels_to_the_bit(places, tmp_path, method, labels, monkeypatch):
    asked = {"applicability": True, "probabilities": labels == "crops", "regression": labels == "height"}
    predicted, predict = [], Classifier.predict

    def counted(self, block, chosen):
        predicted.append(int(chosen.sum()))
        return predict(self, block, chosen)

    monkeypatch.setattr(Classifier, "predict", counted)
    maps = []
    for name in ("vq", "plain"):
        predicted.clear()
        made = make_map(places / name, places / f"{labels}.tif", None, tmp_path / name, method=method, save=tmp_path / f"{name}.model", **asked)  # fmt: skip
        maps.append((rasters(tmp_path / name), sum(predicted), made.report["pixels"]))
    (of_vq, few, pixels), (of_plain, every, same) = maps
    assert few <= pixels / 12
    assert pixels == same == every == HEIGHT * WIDTH - 4 * 20
    assert set(of_vq) >= {"map.tif", "dissimilarity.tif"}
    for name, values in of_vq.items():
        np.testing.assert_array_equal(values, of_plain[name], err_msg=name)
    assert (tmp_path / "vq.model").read_bytes()[:100] == (tmp_path / "plain.model").read_bytes()[:100]
    predicted.clear()
    apply(tmp_path / "plain.model", places / "vq", tmp_path / "applied")
    np.testing.assert_array_equal(rasters(tmp_path / "applied")["map.tif"], of_plain["map.tif"])
    assert sum(predicted) == few


def test_a_map_of_surroundings_is_that_of_single_pixels(places, tmp_path):
    for name in ("vq", "plain"):
        make_map(places / name, places / "crops.tif", None, tmp_path / name, method="linear", context=3)
    of_vq, of_plain = rasters(tmp_path / "vq"), rasters(tmp_path / "plain")
    np.testing.assert_array_equal(of_vq["map.tif"], of_plain["map.tif"])


def test_change_of_two_is_that_of_single_pixels_to_the_bit(places):
    opened = {name: open_embeddings(places / name) for name in ("vq", "plain", "vq2", "plain2")}
    expected = draw_change(opened["plain"], opened["plain2"])
    assert np.isfinite(expected.values).sum() == HEIGHT * WIDTH - 4 * 20
    for before, after in (("vq", "vq2"), ("plain", "vq2"), ("vq", "plain2")):
        found = draw_change(opened[before], opened[after])
        np.testing.assert_array_equal(found.values, expected.values)
        assert found.common == expected.common


def test_change_where_one_covers_a_part_of_the_other(places, tmp_path):
    embedding = land(1)[0][3:, 10:]
    grid = Grid(WIDTH - 10, HEIGHT - 3, CRS, ORIGIN @ ORIGIN.translation(10, 3))
    source = open_embeddings(made_up_output(tmp_path / "part", embedding, grid=grid, year=2021))
    part = open_embeddings(convert(source, tmp_path / "vq", "vq"))
    plain = open_embeddings(convert(part, tmp_path / "plain", "npy"))
    found = draw_change(open_embeddings(places / "vq"), part)
    expected = draw_change(open_embeddings(places / "plain"), plain)
    assert found.grid == expected.grid == grid
    np.testing.assert_array_equal(found.values, expected.values)


@pytest.mark.parametrize("values", [1, 512 * DIM * 5, 10**9])
def test_windows_lie_within_tiles_and_cover_all_pixels_once(places, values):
    opened, covered = open_embeddings(places / "vq"), np.zeros((HEIGHT, WIDTH), int)
    for window in opened.tiles(values):
        assert window.col // 512 == (window.col + window.width - 1) // 512
        assert window.width * window.height * DIM <= max(values, 512 * DIM)
        covered[window.row : window.row + window.height, window.col : window.col + window.width] += 1
    assert (covered == 1).all()


def test_single_pixels_and_labels_are_read_as_before(places):
    coded, plain = open_embeddings(places / "vq"), open_embeddings(places / "plain")
    cols, rows = (
        np.array([0, 539, 510, 600, 511]),
        np.array([0, 23, 6, 3, 20]),
    )  # one without data, one outside
    np.testing.assert_array_equal(coded.pixels(cols, rows), plain.pixels(cols, rows))
    inside = np.array([0, 1, 4])
    np.testing.assert_array_equal(
        features_at(coded, cols[inside], rows[inside], 0), features_at(plain, cols[inside], rows[inside], 0)
    )


def test_the_live_map_is_that_of_single_pixels(places):
    coded, plain = open_embeddings(places / "vq"), open_embeddings(places / "plain")
    unpacked = replace(plain, source=ArraySource(plain.grid, plain.read(), None))
    classes = [{"id": f"c{i}", "name": f"class {i}", "colour": "#E69F00"} for i in range(3)]
    points = [
        {"id": f"l{i}", "class": f"c{land(0)[1][row, col]}", "kind": "point", "col": col, "row": row}
        for i, (col, row) in enumerate(zip(range(3, 500, 29), [1, 12, 21] * 6, strict=False))
    ]
    document = parse_document({"revision": 0, "classes": classes, "labels": points}, coded.grid)
    told = []
    found = live_map(document, coded, coded, lambda done, total: told.append((done, total)))
    expected = live_map(document, unpacked, unpacked)
    np.testing.assert_array_equal(found.classified, expected.classified)
    assert found[1:] == expected[1:]
    assert told[-1] == (HEIGHT * WIDTH, HEIGHT * WIDTH)


def test_the_page_answers_from_codebooks_and_unpacks_nothing(places, monkeypatch):
    monkeypatch.setattr(cache, "unpack", lambda *_: pytest.fail("it was unpacked"))
    monkeypatch.setattr(levels, "BASE_BYTES", 100_000)  # all would fit into memory
    viewed = Viewed(0, open_embeddings(places / "vq"))
    assert viewed.kept
    viewed.unpack(lambda done, total: None)
    assert viewed.unpacked
    assert viewed.whole().distinct_values
    assert viewed.level_of(viewed.whole()) == 0
    assert viewed.level_of(viewed.pictured()) > 0
