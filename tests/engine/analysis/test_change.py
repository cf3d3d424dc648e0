"""Change between years: what moved is found on every format, the common shift isn't change, and others are refused."""

from __future__ import annotations

import json

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_up import CRS, ORIGIN
from outputs import made_up_output
from rio_cogeo import cog_validate
from sklearn.metrics import roc_auc_score
from staged import landscape

from tessera_engine import embed, load_model, open_embeddings
from tessera_engine.analysis.change import change, draw_change
from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.same_grid import offset
from tessera_engine.running.convert import convert
from tessera_engine.scene import Grid
from tessera_engine.simulate import simulate

HEIGHT, WIDTH, DIM = 60, 80, 32
FIELDS = (slice(20, 30), slice(30, 50)), (slice(45, 50), slice(60, 70))


def two_years():
    """The same land with noise and a common shift, and two fields that were another thing before."""
    rng = np.random.default_rng(4)
    before = landscape(HEIGHT, WIDTH, DIM)
    after = before + 0.05 * rng.normal(size=before.shape) + rng.normal(size=DIM)
    for rows, cols in FIELDS:
        after[rows, cols] += 4 * rng.normal(size=DIM)
    after[50:, :5] = np.nan
    return before, after.astype(np.float32)


BEFORE, AFTER = two_years()
TRUTH = np.zeros((HEIGHT, WIDTH), bool)
for field in FIELDS:
    TRUTH[field] = True


def outputs(folder, formats=("cog", "cog"), stores=("int8", "int8"), **facts):
    opened = []
    for name, values, year, format, store in zip(
        "ab", (BEFORE, AFTER), (2018, 2019), formats, stores, strict=True
    ):
        out = open_embeddings(made_up_output(folder / name, values, "cog", store, year=year))
        if format != "cog":
            out = open_embeddings(convert(out, folder / f"{name}.{format}", format))
        opened.append(out)
    return opened


def numpy_change(before, after):
    """In one go, over everything."""
    before, after = (each.reshape(-1, each.shape[2]).astype(np.float64) for each in (before, after))
    valid = np.isfinite(before[:, 0]) & np.isfinite(after[:, 0])
    moved = after - before
    moved -= moved[valid].mean(axis=0)
    spread = before[valid].var(axis=0).sum() + after[valid].var(axis=0).sum()
    return ((moved**2).sum(axis=1) / spread).reshape(HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("formats", "stores"),
    [
        (("cog", "cog"), ("int8", "int8")),
        (("npy", "zarr"), ("int8", "int8")),
        (("cog", "npy"), ("float32", "float32")),
        (("npy", "cog"), ("float32", "int8")),
    ],
)
def test_it_is_the_distance_beyond_the_common_shift(tmp_path, monkeypatch, formats, stores):
    before, after = outputs(tmp_path, formats, stores)
    whole = draw_change(before, after).values
    # Parts of tiles
    monkeypatch.setattr("tessera_engine.analysis.change.WINDOW_VALUES", 20 * WIDTH * DIM)
    monkeypatch.setattr(Embeddings, "tile_values", 1)
    seen = []
    drawn = draw_change(before, after, lambda done, total: seen.append((done, total)))
    np.testing.assert_array_equal(drawn.values, whole)
    expected = numpy_change(before.read(), after.read())
    np.testing.assert_allclose(drawn.values, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(np.isnan(drawn.values), np.isnan(BEFORE[..., 0]) | np.isnan(AFTER[..., 0]))
    assert drawn.grid == before.grid
    assert seen[-1] == (2 * HEIGHT * WIDTH, 2 * HEIGHT * WIDTH)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_shift_of_everything_is_no_change(tmp_path):
    shifted = (BEFORE + np.random.default_rng(1).normal(size=DIM) * 5).astype(np.float32)
    paths = [
        made_up_output(tmp_path / name, values, stored_as="float32")
        for name, values in (("a", BEFORE), ("b", shifted))
    ]
    drawn = draw_change(*map(open_embeddings, paths))
    assert np.nanmax(drawn.values) < 1e-6
    assert drawn.common > 1


def test_two_random_pixels_have_a_change_of_one(tmp_path):
    rng = np.random.default_rng(2)
    values = rng.normal(size=(2, HEIGHT, WIDTH, DIM)).astype(np.float32)
    paths = [
        made_up_output(tmp_path / name, each, stored_as="float32")
        for name, each in zip("ab", values, strict=True)
    ]
    assert draw_change(*map(open_embeddings, paths)).values.mean() == pytest.approx(1, abs=0.02)


def test_embeddings_that_are_all_alike_have_not_changed(tmp_path):
    path = made_up_output(tmp_path / "a", np.ones((4, 5, 16), np.float32))
    drawn = draw_change(open_embeddings(path), open_embeddings(path))
    np.testing.assert_array_equal(drawn.values, 0)


def test_the_map_and_the_regions_are_written(tmp_path):
    before, after = outputs(tmp_path)
    share = TRUTH.sum() / np.isfinite(draw_change(before, after).values).sum()
    done = change(before, after, tmp_path / "out", top=share)
    assert cog_validate(tmp_path / "out" / "change.tif")[0]
    with rasterio.open(tmp_path / "out" / "change.tif") as file:
        assert (file.crs.to_string(), file.transform, file.dtypes) == (CRS, ORIGIN, ("float32",))
        assert np.isnan(file.nodata)
        values = file.read(1)
    np.testing.assert_array_equal(values, draw_change(before, after).values)
    found = TRUTH & np.isfinite(values)
    assert ((values >= done.threshold) == found).mean() > 0.999
    features = json.loads((tmp_path / "out" / "regions.geojson").read_text())["features"]
    assert [feature["properties"] for feature in features] == done.regions
    assert done.regions[0]["hectares"] == pytest.approx(2, abs=0.1)
    assert done.regions[0]["mean_change"] > 10 * done.typical
    item = pystac.Item.from_file(str(tmp_path / "out" / "item.json"))
    assert item.properties["tessera:year"] == [2018, 2019]
    assert item.properties["tessera:model_sha256"] == "a" * 64
    assert item.properties["start_datetime"].startswith("2018-02-01")
    assert item.properties["end_datetime"].startswith("2019-11-30")


def test_results_are_described_and_verified_as_what_they_are(tmp_path, run):
    change(*outputs(tmp_path), tmp_path / "out")
    code, out, _ = run("info", tmp_path / "out")
    assert code == 0
    assert out.split()[:2] == ["kind", "change"]
    assert " ".join(map("{:.0f}".format, ORIGIN[:6])) in " ".join(out.split())
    code, out, _ = run("verify", tmp_path / "out", "--json")
    assert (code, json.loads(out)["passed"]) == (0, True)
    code, _, err = run("verify", tmp_path / "out", "--scene", tmp_path)
    assert (code, "(change), not embeddings" in err) == (2, True)
    code, _, err = run("similar", tmp_path / "out", "--at", 3.1, 50.5)
    assert (code, "(change), not embeddings" in err) == (2, True)
    code, _, err = run("change", tmp_path / "out", tmp_path / "out")
    assert (code, "(change), not embeddings" in err) == (2, True)
    (tmp_path / "out" / "regions.geojson").write_text("{}")
    code, _, err = run("verify", tmp_path / "out")
    assert (code, "regions.geojson is changed" in err) == (1, True)


def test_only_what_both_have_is_compared(tmp_path):
    before, whole = outputs(tmp_path)
    moved = Grid(50, 40, CRS, ORIGIN @ Affine.translation(20, 15))
    part = made_up_output(tmp_path / "part", AFTER[15:55, 20:70], grid=moved)
    drawn = draw_change(before, open_embeddings(part))
    assert drawn.grid == moved
    other = draw_change(open_embeddings(part), before)
    np.testing.assert_allclose(drawn.values, other.values, rtol=1e-4, atol=1e-6)
    everywhere, valid = draw_change(before, whole).values[15:55, 20:70], np.isfinite(drawn.values)
    assert np.corrcoef(drawn.values[valid], everywhere[valid])[0, 1] > 0.99


@pytest.mark.parametrize("beside", [0.4, -0.3])
def test_pixels_beside_each_other_are_compared_with_the_nearest(tmp_path, beside):
    before, after = outputs(tmp_path)
    moved = Grid(WIDTH, HEIGHT, CRS, ORIGIN @ Affine.translation(beside, -beside))
    other = open_embeddings(made_up_output(tmp_path / "moved", AFTER, grid=moved, year=2019))
    done = change(before, other, tmp_path / "out")
    with rasterio.open(tmp_path / "out" / "change.tif") as file:
        np.testing.assert_array_equal(file.read(1), draw_change(before, after).values)
    (note,) = done.notes
    assert f"{abs(beside)} pixels" in note
    assert not change(before, after, tmp_path / "exact").notes


@given(st.integers(-50, 50), st.integers(-50, 50), st.floats(-0.4, 0.4), st.sampled_from([10.0, 20.0]))
@settings(max_examples=50)
def test_pixels_are_the_same_only_on_one_lattice(cols, rows, beside, size):
    moved = ORIGIN @ Affine.translation(cols + beside, rows) @ Affine.scale(size / 10)
    assume(abs(abs(beside) - 0.01) > 1e-6)  # on the line itself, rounding decides
    same = abs(beside) < 0.01 and size == 10
    assert offset(Grid(4, 4, CRS, ORIGIN), Grid(4, 4, CRS, moved)) == ((cols, rows) if same else None)


def test_what_cannot_be_compared_is_refused(tmp_path):
    before = open_embeddings(made_up_output(tmp_path / "a", BEFORE))
    small = BEFORE[:20, :20]

    def refused(message, name, values=small, grid=None, **facts):
        grid = grid or Grid(20, 20, CRS, ORIGIN)
        other = open_embeddings(made_up_output(tmp_path / name, values, grid=grid, **facts))
        with pytest.raises(InputError, match=message):
            change(before, other, tmp_path / "out")

    refused("aaaa.*bbbb", "b", model_sha256="b" * 64)
    refused("nano int8 .* by nano fp32", "c", model_sha256="b" * 64, precision="fp32")
    refused("dim=16", "d", values=small[..., :16])
    refused("EPSG:32631, .* EPSG:32632", "e", grid=Grid(20, 20, "EPSG:32632", ORIGIN))
    refused("pixels of 20 x 20", "f", grid=Grid(20, 20, CRS, ORIGIN @ Affine.scale(2)))
    refused("share no pixel", "g", grid=Grid(20, 20, CRS, ORIGIN @ Affine.translation(500, 0)))
    refused("has no CRS", "h", grid=Grid(20, 20))
    refused("no pixel has data both", "i", values=np.full_like(small, np.nan))
    with pytest.raises(InputError, match="top=0"):
        change(before, before, tmp_path / "out", top=0)
    with pytest.raises(InputError, match=f"{before.path} is compared with itself"):
        change(before, before.path, tmp_path / "out")
    with pytest.raises(InputError, match="before=7"):
        change(7, before)
    assert not (tmp_path / "out").exists()


def two_years(tmp_path, seed):
    """A simulated scene in two years by the demo model: the outputs, and (H, W) where another crop grew."""
    model = load_model("demo", "int8")
    covers, opened = [], []
    for year in (0, 1):
        simulate(tmp_path / str(year), 64, seed=seed, year=year)
        with rasterio.open(tmp_path / str(year) / "cover.tif") as file:
            covers.append(file.read(1))
        opened.append(open_embeddings(embed(tmp_path / str(year), model, tmp_path / f"{year}.out").out))
    changed = covers[0] != covers[1]
    assert 0.02 < changed.mean() < 0.3
    return opened, changed


def test_another_crop_comes_out_on_top_and_another_year_does_not(tmp_path):
    opened, changed = two_years(tmp_path, seed=5)
    values = draw_change(*opened).values
    assert roc_auc_score(changed.ravel(), values.ravel()) > 0.98
    assert np.median(values[changed]) > 4 * np.median(values[~changed])


def test_a_plain_cosine_separates_less(tmp_path):
    """On this scene; on others the demo model's vectors have so little in common that both are equal."""
    opened, changed = two_years(tmp_path, seed=2)
    values = draw_change(*opened).values
    before, after = (each.read() for each in opened)
    lengths = np.linalg.norm(before, axis=2) * np.linalg.norm(after, axis=2)
    plain = 1 - (before * after).sum(axis=2) / lengths
    assert (
        roc_auc_score(changed.ravel(), values.ravel()) > roc_auc_score(changed.ravel(), plain.ravel()) + 0.005
    )
