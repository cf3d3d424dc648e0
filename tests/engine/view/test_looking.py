"""What is shown: levels of true pixels, colours as the quicklook's, and what is known of a pixel."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from made_up import CRS, ORIGIN
from outputs import made_up_output
from rasterio.warp import transform
from staged import landscape

from tessera_engine import open_embeddings
from tessera_engine.formats.zarr.reading import ZarrSource
from tessera_engine.scene import Grid, Window
from tessera_engine.view import levels
from tessera_engine.view import viewed as viewed_module
from tessera_engine.view.layers import Layers
from tessera_engine.view.viewed import Viewed

HEIGHT, WIDTH = 411, 777
EMBEDDING = landscape(HEIGHT, WIDTH, 16)
FORMATS = ["cog int8", "cog float32", "npy int8", "npy float32", "zarr int8", "geotessera int8"]


@pytest.fixture(scope="module", params=FORMATS)
def output(request, tmp_path_factory):
    format, store = request.param.split()
    if format == "zarr":
        pytest.importorskip("zarr")
    if format == "geotessera":
        pytest.importorskip("pyarrow")
    embedding = landscape(HEIGHT, WIDTH, 128) if format == "geotessera" else EMBEDDING
    folder = tmp_path_factory.mktemp("o") / "a.embeddings"
    year = None if format in ("cog", "npy") else 2024
    source = made_up_output(folder, embedding, "cog" if year else format, store, year=year)
    if year is None:
        return source
    import tessera_engine as te

    return te.convert(source, folder.with_name("b.embeddings"), format, year=2024, progress=False)


def gdal_rule(size, z):
    count = -(-size // 2**z)
    return [int(0.5 + i * (size / count)) for i in range(count)]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 777, 1001, 4099])
def test_a_level_shows_the_pixels_that_an_overview_has(size):
    for z in range(6):
        assert levels.picked(size, z).tolist() == gdal_rule(size, z)


def test_every_level_is_of_true_pixels(output, monkeypatch):
    opened = open_embeddings(output)
    every = opened.read_stored()
    monkeypatch.setattr(levels, "BASE_BYTES", 1)  # nothing but the smallest level is in memory
    viewed = Viewed(0, opened)
    grid = opened.grid
    sizes = [(each.width, each.height) for each in viewed.levels]
    assert sizes == [(grid.width, grid.height), (-(-grid.width // 2), -(-grid.height // 2)), (-(-grid.width // 4), -(-grid.height // 4))][: len(sizes)]  # fmt: skip
    assert max(sizes[-1]) <= 256 < max(sizes[-2])
    for z, width, height in viewed.levels:
        rows, cols = gdal_rule(grid.height, z), gdal_rule(grid.width, z)
        for window in Window(0, 0, width, height).blocks(256, 256):
            block = viewed.read(z, window)
            here = np.ix_(
                rows[window.row : window.row + window.height], cols[window.col : window.col + window.width]
            )
            np.testing.assert_array_equal(block.values, every.values[here])
            if block.scales is not None:
                np.testing.assert_array_equal(block.scales, every.scales[here])
            counts = viewed.read_observations(z, window)
            np.testing.assert_array_equal(counts, opened.read_observations(grid.window)[here])


@pytest.mark.parametrize("large", [False, True])
def test_pictures_of_a_large_store_decode_a_prefix_only(tmp_path, monkeypatch, large):
    pytest.importorskip("zarr")
    import tessera_engine as te

    embedding = landscape(60, 70, 64)
    cog = made_up_output(tmp_path / "a.embeddings", embedding, year=2024)
    store = te.convert(cog, tmp_path / "b.embeddings", "zarr", year=2024, progress=False)
    monkeypatch.setattr(viewed_module, "DECODED_VALUES", embedding.size - large)
    opened = open_embeddings(store)
    names = []
    read = ZarrSource._read
    monkeypatch.setattr(ZarrSource, "_read", lambda *given: names.append(given[1]) or read(*given))
    viewed = Viewed(0, opened)
    assert viewed.picture_dim == (16 if large else 64)
    painted = [Layers([viewed]).tile(name, viewed, 0, 0, 0) for name in ("pca", "clusters")]
    assert set(names) == {"embeddings_d16" if large else "embeddings", "scales"}
    prefix = Viewed(0, open_embeddings(store, dim=viewed.picture_dim))
    assert painted == [Layers([prefix]).tile(name, prefix, 0, 0, 0) for name in ("pca", "clusters")]
    # What is computed uses all dimensions, and unpacking changes no colour
    assert viewed.pixel(9, 9).values.shape == (1, 1, 64)
    monkeypatch.setattr(levels, "BASE_BYTES", 1)
    viewed = Viewed(0, opened)
    viewed._unpacked = opened
    assert Layers([viewed]).tile("clusters", viewed, 0, 0, 0) == painted[1]


def test_nothing_changes_by_unpacking(output, monkeypatch):
    monkeypatch.setattr(levels, "BASE_BYTES", 1)
    viewed = Viewed(0, open_embeddings(output))
    windows = [(z, Window(0, 0, width, height)) for z, width, height in viewed.levels]
    before = [viewed.read(*each) for each in windows]
    base = viewed.whole().read_stored()
    assert not viewed.unpacked
    viewed.unpack(lambda done, total: None)
    assert viewed.unpacked
    for one, other in zip(before, [viewed.read(*each) for each in windows], strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        if one.scales is not None:
            np.testing.assert_array_equal(one.scales, other.scales)
    np.testing.assert_array_equal(viewed.at_level(viewed.base_level.z).read_stored().values, base.values)


def test_tiles_show_the_observations(serving, output):
    with serving(output) as (_, client):
        (about,) = client.get("/api/info")["outputs"]
        counts = client.whole("observations", about["levels"][0], "<u2", 2)
    opened = open_embeddings(output)
    np.testing.assert_array_equal(counts, opened.read_observations(opened.grid.window))


@pytest.mark.parametrize("kind", ["pca", "clusters"])
def test_colours_are_those_of_the_quicklook(serving, tmp_path, kind):
    from tessera_engine.files.staging import Staging
    from tessera_engine.pictures.quicklook import fit_palette

    output = made_up_output(tmp_path / "a.embeddings", EMBEDDING)
    opened = open_embeddings(output)
    staging = Staging.create(tmp_path / "s", opened.grid, opened.dim, "int8")
    stored = opened.read_stored()
    staging.embeddings.write(opened.grid.window, stored.values)
    staging.scales.write(opened.grid.window, stored.scales)
    palette = fit_palette(staging, kind)
    with serving(output) as (_, client):
        (about,) = client.get("/api/info")["outputs"]
        for level in about["levels"]:
            shown = client.whole(kind, level, np.uint8, 4)
            here = np.ix_(gdal_rule(HEIGHT, level["z"]), gdal_rule(WIDTH, level["z"]))
            embeddings = stored.embeddings[here]
            valid = np.isfinite(embeddings[..., 0])
            np.testing.assert_array_equal(shown[..., 3], np.where(valid, 255, 0))
            assert not shown[~valid].any()
            expected = palette.paint(embeddings[valid])
            assert np.abs(shown[valid][:, :3].astype(int) - expected).max() <= (
                0 if kind == "clusters" else 1
            )
            assert len(np.unique(shown[valid], axis=0)) > 5


def test_two_outputs_of_one_model_have_the_same_colours(serving, tmp_path):
    one = made_up_output(tmp_path / "a", EMBEDDING, year=2023)
    other = made_up_output(tmp_path / "b", EMBEDDING[:300, 100:], year=2024)
    unlike = made_up_output(tmp_path / "c", EMBEDDING[:300, 100:], model_sha256="b" * 64)
    with serving(one, other) as (_, client):
        assert [each["year"] for each in client.get("/api/info")["outputs"]] == [2023, 2024]
        before, after = client.tile("pca/0/1/0", np.uint8, 4), client.tile("pca/0/0/0?output=1", np.uint8, 4)
        np.testing.assert_array_equal(
            before[:, : 256 - 100], client.tile("pca/0/1/0", np.uint8, 4)[:, : 256 - 100]
        )
        np.testing.assert_array_equal(client.tile("pca/0/0/0", np.uint8, 4)[:, 100:], after[:, :156])
    with serving(one, unlike) as (_, client):
        other = client.tile("pca/0/0/0?output=1", np.uint8, 4)
        assert (client.tile("pca/0/0/0", np.uint8, 4)[:, 100:] != other[:, :156]).any()


def test_true_colours_are_a_layer_where_there_are_some(serving, tmp_path):
    from made_up import made_up_arrays, write_tile

    import tessera_engine as te

    scene = write_tile(tmp_path / "scene", made_up_arrays(30, 20))
    model = te.load_model("demo", precision="int8")
    for name, truecolour in (("with", True), ("without", False)):
        with pytest.warns(te.SceneWarning):
            te.embed(scene, model, tmp_path / name, stored_as="int8", progress=False, truecolour=truecolour)
    with serving(tmp_path / "with") as (_, client):
        assert "truecolour" in client.get("/api/info")["outputs"][0]["layers"]
        shown = client.tile("truecolour/0/0/0", np.uint8, 4)[:30, :20]
    import rasterio

    with rasterio.open(tmp_path / "with" / "truecolour.tif") as file:
        expected = np.moveaxis(file.read(), 0, 2)
    np.testing.assert_array_equal(shown[..., :3], expected)
    np.testing.assert_array_equal(shown[..., 3] == 255, expected.any(axis=2))
    with serving(tmp_path / "without") as (_, client):
        assert "truecolour" not in client.get("/api/info")["outputs"][0]["layers"]
        assert client.ask("/api/tile/truecolour/0/0/0")[0] == 404


def test_what_is_known_of_a_pixel(serving, output):
    opened = open_embeddings(output)
    values, counts = opened.read(), opened.read_observations(opened.grid.window)
    valid = np.isfinite(values[..., 0])
    rows, cols = np.nonzero(valid)
    places = [(int(cols[i]), int(rows[i])) for i in (0, len(rows) // 2, -1)]
    missing = (int(np.nonzero(~valid)[1][0]), int(np.nonzero(~valid)[0][0]))
    with serving(output) as (_, client):
        for col, row in [*places, missing]:
            found = client.get(f"/api/pixel?output=0&col={col}&row={row}")
            x, y = opened.grid.transform @ (col + 0.5, row + 0.5)
            (lon,), (lat,) = transform(opened.grid.crs, "EPSG:4326", [x], [y])
            assert (found["x"], found["y"], found["col"], found["row"]) == (x, y, col, row)
            assert (found["lon"], found["lat"]) == pytest.approx((lon, lat))
            assert [found["clear_s2"], found["valid_s1"]] == counts[row, col].tolist()
            assert found["valid"] == bool(valid[row, col])
            if found["valid"]:
                np.testing.assert_array_equal(np.float32(found["embedding"]), values[row, col])
            else:
                assert found["embedding"] is None
        for beyond in (f"col={opened.grid.width}&row=0", "col=-1&row=0", "col=1", "row=1", "col=1&row=x", ""):
            assert client.ask(f"/api/pixel?{beyond}")[0] == 400


def test_what_is_known_of_an_output(serving, tmp_path):
    output = made_up_output(tmp_path / "field.embeddings", EMBEDDING[:40, :300], year=2024)
    with serving(output) as (_, client):
        info = client.get("/api/info")
    assert info["tile"] == 256
    assert info["exports"] == tmp_path.name
    (about,) = info["outputs"]
    assert str(tmp_path) not in str(info)
    assert about["name"] == "field.embeddings"
    assert (about["year"], about["model"], about["precision"]) == (2024, "nano", "int8")
    assert (about["dim"], about["stored_as"]) == (16, "int8")
    assert (about["crs"], about["width"], about["height"]) == (CRS, 300, 40)
    assert about["transform"] == list(ORIGIN)[:6]
    assert about["pixel_ha"] == 0.01
    assert about["unpacked"]


@pytest.mark.parametrize(
    ("crs", "pixel", "hectares"),
    [(None, 1, None), ("EPSG:4326", 1e-4, None), ("EPSG:2263", 100, 0.0929), ("EPSG:3035", 20, 0.04)],
)
def test_the_area_of_a_pixel_is_known_where_the_crs_has_a_length(serving, tmp_path, crs, pixel, hectares):
    grid = Grid(9, 8, crs, Affine(pixel, 0, 10, 0, -pixel, 50) if crs else Affine.identity())
    output = made_up_output(tmp_path / "a", np.ones((8, 9, 16), np.float32), grid=grid)
    with serving(output) as (_, client):
        (about,) = client.get("/api/info")["outputs"]
        found = client.get("/api/pixel?col=1&row=1")
    assert about["pixel_ha"] == (None if hectares is None else pytest.approx(hectares, rel=1e-3))
    assert (found["lon"] is None) == (crs is None)


def test_without_data_there_are_no_colours(serving, tmp_path):
    output = made_up_output(tmp_path / "a", np.full((8, 9, 16), np.nan, np.float32))
    with serving(output) as (_, client):
        for layer in ("pca", "clusters"):
            assert not client.tile(f"{layer}/0/0/0", np.uint8, 4).any()
        assert client.post("/api/similar", {"positives": [[1, 1]]}, 400)["error"]
