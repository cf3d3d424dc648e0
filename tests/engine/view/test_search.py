"""Similarity and change are what the commands compute, pixel by pixel; from the overview first, then at full resolution."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from made_up import CRS, ORIGIN
from outputs import made_up_output
from rasterio.warp import transform
from staged import landscape

from tessera_engine import change, open_embeddings, similar
from tessera_engine.scene import Grid
from tessera_engine.view import cache, levels, session
from tessera_engine.view.framed import frame

HEIGHT, WIDTH = 300, 517
EMBEDDING = landscape(HEIGHT, WIDTH, 32)
AT = [(300, 200), (400, 120)]
STEPS = 65_534


def degrees(col, row):
    x, y = ORIGIN @ (col + 0.5, row + 0.5)
    (lon,), (lat,) = transform(CRS, "EPSG:4326", [x], [y])
    return lon, lat


@pytest.fixture(scope="module", params=["cog int8", "npy int8", "cog float32"])
def output(request, tmp_path_factory):
    format, store = request.param.split()
    return made_up_output(tmp_path_factory.mktemp("o") / "a.embeddings", EMBEDDING, format, store)


def similarity_map(output, out, at):
    similar(output, [degrees(*pixel) for pixel in at], out, progress=False)
    with rasterio.open(out / "similarity.tif") as file:
        return file.read(1)


def as_stored(values, low, high):
    steps = np.rint((values.astype(np.float64) - low) / (high - low) * STEPS)
    return np.where(np.isnan(values), 0, 1 + np.clip(np.nan_to_num(steps), 0, STEPS)).astype(np.uint16)


def packed(monkeypatch):
    """Let outputs be too large for the memory, and unpacked only when a question needs it."""
    monkeypatch.setattr(levels, "BASE_BYTES", 1)
    monkeypatch.setattr(session, "UNASKED_BYTES", 0)


def test_it_is_what_the_command_computes(serving, output, tmp_path):
    expected = similarity_map(output, tmp_path / "s", AT)
    with serving(output) as (_, client):
        found = client.post("/api/similar", {"output": 0, "positives": AT, "negatives": []})
        levels_ = client.get("/api/info")["outputs"][0]["levels"]
        tiles = [
            client.whole("similarity", level, "<u2", query=f"?v={found['version']}") for level in levels_
        ]
    assert found["z"] == 0
    assert found["pixels"] == np.isfinite(expected).sum()
    stored = as_stored(expected, -1, 1)
    for level, tile in zip(levels_, tiles, strict=True):
        rows, cols = levels.picked(HEIGHT, level["z"]), levels.picked(WIDTH, level["z"])
        np.testing.assert_array_equal(tile, stored[np.ix_(rows, cols)])


def test_the_histogram_is_the_area_above_each_threshold(serving, output, tmp_path):
    expected = similarity_map(output, tmp_path / "s", AT)
    with serving(output) as (_, client):
        found = client.post("/api/similar", {"positives": AT})
    assert (found["histogram"]["from"], found["histogram"]["to"]) == (-1, 1)
    counts = np.array(found["histogram"]["counts"])
    assert len(counts) == 2000
    values = as_stored(expected, -1, 1)
    values = -1 + (values[values > 0].astype(np.float64) - 1) / STEPS * 2  # as the page shows them
    for number in [*range(0, 2000, 37), 1999]:
        assert counts[number:].sum() == (values >= -1 + number / 1000 - 1e-9).sum()
    above = counts[int((found["suggested"] + 1) * 1000) :].sum() / counts.sum()
    assert 0.009 < above < 0.03
    # To half a step of 16 bits, the threshold of the command's top regions
    top = np.sort(expected[np.isfinite(expected)])[-int(0.01 * counts.sum())]
    assert found["suggested"] == pytest.approx(top, abs=1.1 / STEPS)


def test_pixels_that_are_more_like_a_negative_are_no_match(serving, output, tmp_path):
    wanted = similarity_map(output, tmp_path / "p", AT[:1])
    unwanted = similarity_map(output, tmp_path / "n", AT[1:])
    expected = np.where(unwanted > wanted, np.float32(-1), wanted)
    assert 0 < (unwanted > wanted).sum() < expected.size
    with serving(output) as (_, client):
        found = client.post("/api/similar", {"positives": AT[:1], "negatives": AT[1:]})
        level = client.get("/api/info")["outputs"][0]["levels"][0]
        tile = client.whole("similarity", level, "<u2", query=f"?v={found['version']}")
    np.testing.assert_array_equal(tile, as_stored(expected, -1, 1))


def test_the_overview_answers_first_and_says_so(serving, output, tmp_path, monkeypatch):
    packed(monkeypatch)
    expected = as_stored(similarity_map(output, tmp_path / "s", AT), -1, 1)
    with serving(output) as (_, client), client.listen() as listener:
        about = client.get("/api/info")["outputs"][0]
        assert not about["unpacked"]
        first = client.post("/api/similar", {"positives": AT})
        z = about["levels"][-1]["z"]
        assert first["z"] == z > 0
        overview = client.whole("similarity", about["levels"][z], "<u2")
        here = np.ix_(levels.picked(HEIGHT, z), levels.picked(WIDTH, z))
        refined = listener.until("refined", "similar")["result"]
        assert refined["z"] == 0
        assert refined["version"] > first["version"]
        assert set(refined) == set(first)
        assert [event["job"] for event in listener.heard if event["kind"] == "done"] == ["unpack"]
        assert [event for event in listener.heard if event["kind"] == "progress" and event["job"] == "unpack"]
        assert client.ask(f"/api/tile/similarity/0/0/0?v={first['version']}")[0] == 410
        full = client.whole("similarity", about["levels"][0], "<u2", query=f"?v={refined['version']}")
        assert client.get("/api/info")["outputs"][0]["unpacked"]
        assert client.post("/api/similar", {"positives": AT})["z"] == 0  # from now on
    # Until then each pixel of the overview had its true value already
    np.testing.assert_array_equal(overview, expected[here])
    np.testing.assert_array_equal(full, expected)
    assert first["pixels"] == (expected[here] > 0).sum()


def test_finer_tiles_of_an_overview_repeat_its_pixels(serving, output, monkeypatch):
    packed(monkeypatch)
    with serving(output) as (server, client):
        server.session._declined.add(0)
        first = client.post("/api/similar", {"positives": AT})
        about = client.get("/api/info")["outputs"][0]
        overview = client.whole("similarity", about["levels"][first["z"]], "<u2")
        full = client.whole("similarity", about["levels"][0], "<u2")
    rows = ((np.arange(HEIGHT) + 0.5) * overview.shape[0] / HEIGHT).astype(int)
    cols = ((np.arange(WIDTH) + 0.5) * overview.shape[1] / WIDTH).astype(int)
    np.testing.assert_array_equal(full, overview[np.ix_(rows, cols)])


def test_the_latest_question_counts(serving, output):
    with serving(output) as (_, client):
        versions = [client.post("/api/similar", {"positives": [pixel]})["version"] for pixel in AT]
        assert versions[0] < versions[1]
        assert client.ask(f"/api/tile/similarity/0/0/0?v={versions[0]}")[0] == 410
        assert client.ask(f"/api/tile/similarity/0/0/0?v={versions[1]}")[0] == 200
        assert client.ask("/api/tile/change/0/0/0")[0] == 410


@pytest.fixture(scope="module")
def years(tmp_path_factory):
    folder = tmp_path_factory.mktemp("y")
    later = EMBEDDING + 0.3 * landscape(HEIGHT, WIDTH, 32, seed=9) + np.float32(0.5)
    return (
        made_up_output(folder / "one.embeddings", EMBEDDING, year=2023),
        made_up_output(folder / "two.embeddings", later, year=2024),
    )


def change_map(years, out):
    change(*years, out, progress=False)
    with rasterio.open(out / "change.tif") as file:
        return file.read(1)


def test_change_is_what_the_command_computes(serving, years, tmp_path):
    expected = change_map(years, tmp_path / "c")
    with serving(*years) as (_, client):
        info = client.get("/api/info")
        assert info["same_grid"]
        found = client.post("/api/change", {"a": 0, "b": 1})
        low, high = found["histogram"]["from"], found["histogram"]["to"]
        tile = client.whole("change", info["outputs"][0]["levels"][0], "<u2", query=f"?v={found['version']}")
    assert (low, high) == (0, 4)
    np.testing.assert_array_equal(tile, as_stored(expected, low, high))
    assert found["pixels"] == np.isfinite(expected).sum()
    assert sum(found["histogram"]["counts"]) == found["pixels"]


def test_change_of_packed_years_is_refined(serving, years, tmp_path, monkeypatch):
    packed(monkeypatch)
    expected = as_stored(change_map(years, tmp_path / "c"), 0, 4)
    with serving(*years) as (_, client), client.listen() as listener:
        first = client.post("/api/change", {"a": 0, "b": 1})
        assert first["z"] > 0
        refined = listener.until("refined", "change")["result"]
        level = client.get("/api/info")["outputs"][0]["levels"][0]
        full = client.whole("change", level, "<u2", query=f"?v={refined['version']}")
    np.testing.assert_array_equal(full, expected)


MOVES = {"whole pixels": (7, -5), "parts of pixels": (6.6, -5.3), "a smaller part": (20, 11)}


@pytest.mark.parametrize(
    ("move", "is_packed"), [("whole pixels", False), ("parts of pixels", True), ("a smaller part", False)]
)
def test_change_of_outputs_beside_each_other_is_that_of_the_part_both_have(
    serving, years, tmp_path, monkeypatch, move, is_packed
):
    col, row = MOVES[move]
    height, width = EMBEDDING.shape[:2]
    if move == "a smaller part":
        height, width = height - 40, width - 50
    colours = np.random.default_rng(0).integers(1, 2000, (height, width, 3)).astype(np.uint16)
    grid = Grid(width, height, CRS, ORIGIN @ Affine.translation(col, row))
    other = made_up_output(
        tmp_path / "other", EMBEDDING[:height, :width], grid=grid, year=2025, colours=colours
    )
    part = change_map((years[0], other), tmp_path / "c")
    left, top = max(0, int(np.ceil(col - 0.5))), max(0, int(np.ceil(row - 0.5)))
    expected = np.full(EMBEDDING.shape[:2], np.nan, np.float32)
    expected[top : top + part.shape[0], left : left + part.shape[1]] = part
    if is_packed:
        packed(monkeypatch)
    with serving(years[0], other) as (_, client), client.listen() as listener:
        info = client.get("/api/info")
        found = client.post("/api/change", {"a": 0, "b": 1})
        if is_packed:
            assert found["z"] > 0
            found = listener.until("refined", "change")["result"]
        level = info["outputs"][0]["levels"][0]
        tile = client.whole("change", level, "<u2", query=f"?v={found['version']}")
        shown = client.whole("truecolour", level, np.uint8, 4, query="?output=1")
        client.whole("truecolour", info["outputs"][0]["levels"][-1], np.uint8, 4, query="?output=1")
        client.post("/api/export/map", {"output": 1}, 400)
    np.testing.assert_array_equal(tile, as_stored(expected, 0, 4))
    assert info["same_grid"]
    assert info["outputs"][0]["placed"] is None
    placed = info["outputs"][1]["placed"]
    assert placed["shared"] == pytest.approx(part.size / expected.size)
    assert placed["beside"] == pytest.approx(0.4 if move == "parts of pixels" else 0, abs=1e-6)
    # Each pixel has the colours of the nearest one
    with rasterio.open(other / "truecolour.tif") as file:
        picture = np.moveaxis(file.read(), 0, 2)
    down, right = top - int(np.ceil(row - 0.5)), left - int(np.ceil(col - 0.5))
    np.testing.assert_array_equal(
        shown[top : top + part.shape[0], left : left + part.shape[1], :3],
        picture[down : down + part.shape[0], right : right + part.shape[1]],
    )
    assert not shown[: top + part.shape[0], :left].any()
    assert not shown[top + part.shape[0] :].any()


def test_two_places_on_one_page_are_not_mixed(serving, years, tmp_path):
    """What is unpacked of one output on two grids has two entries."""
    grid = Grid(EMBEDDING.shape[1], EMBEDDING.shape[0], CRS, ORIGIN @ Affine.translation(9, 9))
    moved = open_embeddings(made_up_output(tmp_path / "moved", EMBEDDING, grid=grid, year=2025))
    framed, _ = frame(open_embeddings(years[0]), moved)
    assert framed.read().shape == moved.read().shape
    assert cache._key(framed) != cache._key(moved)


def test_other_pixels_are_not_compared(serving, years, tmp_path):
    far = Grid(EMBEDDING.shape[1], EMBEDDING.shape[0], CRS, ORIGIN @ Affine.translation(5000, 0))
    smaller = made_up_output(tmp_path / "small", EMBEDDING, grid=far, year=2022)
    unlike = made_up_output(tmp_path / "unlike", EMBEDDING, year=2022, model_sha256="b" * 64)
    for other, same_grid in ((smaller, False), (unlike, True)):
        with serving(years[0], other) as (_, client):
            assert client.get("/api/info")["same_grid"] is same_grid
            assert client.post("/api/change", {"a": 0, "b": 1}, 400)["error"]
            assert client.post("/api/change", {"a": 1, "b": 1}, 400)["error"]


def test_the_second_output_is_searched_by_its_number(serving, years, tmp_path):
    expected = as_stored(similarity_map(years[1], tmp_path / "s", AT), -1, 1)
    with serving(*years) as (_, client):
        found = client.post("/api/similar", {"output": 1, "positives": AT})
        level = client.get("/api/info")["outputs"][1]["levels"][0]
        tile = client.whole("similarity", level, "<u2", query=f"?output=1&v={found['version']}")
        assert client.ask("/api/tile/similarity/0/0/0?output=0")[0] == 410
    np.testing.assert_array_equal(tile, expected)


def test_what_changed_on_the_disk_is_not_mixed_in(serving, tmp_path):
    """The output is replaced while it is looked at: the page stays that of the one that was opened."""
    output = made_up_output(tmp_path / "a.embeddings", EMBEDDING)
    expected = as_stored(similarity_map(output, tmp_path / "s", AT), -1, 1)
    later = made_up_output(tmp_path / "later", EMBEDDING[::-1])
    with serving(output) as (_, client):
        output.rename(tmp_path / "old")
        later.rename(output)
        found = client.post("/api/similar", {"positives": AT})
        level = client.get("/api/info")["outputs"][0]["levels"][0]
        tile = client.whole("similarity", level, "<u2", query=f"?v={found['version']}")
    np.testing.assert_array_equal(tile, expected)
    assert open_embeddings(output).grid == open_embeddings(tmp_path / "old").grid
