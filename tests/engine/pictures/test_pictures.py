"""Pictures of finished embeddings: their frame tells the truth, and palettes give several scenes the same colours."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import CRS
from outputs import made_up_output
from PIL import Image, ImageDraw
from rasterio.warp import transform
from staged import landscape

from tessera_engine import open_embeddings
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.pictures import fonts, frame
from tessera_engine.pictures import legend as legends
from tessera_engine.pictures.caption import caption_of_item
from tessera_engine.pictures.clusters import find_centres, nearest
from tessera_engine.pictures.colours import PALETTE, _difference, _seen, class_colour, ramp
from tessera_engine.pictures.compass import compass
from tessera_engine.pictures.frame import round_metres, write_framed
from tessera_engine.pictures.legend import Bar, Swatch, Swatches
from tessera_engine.pictures.make import picture as make_picture
from tessera_engine.pictures.palette import fit_projection
from tessera_engine.pictures.palette_file import load_palette, save_palette
from tessera_engine.running.convert import convert
from tessera_engine.scene import Grid

EMBEDDING = landscape(300, 520, 16)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return open_embeddings(made_up_output(tmp_path_factory.mktemp("o") / "field", EMBEDDING, year=2018))


def pixels(path, height=300, width=520):
    """(height, width, 4) of the picture within its frame, which is not enlarged."""
    return np.asarray(Image.open(path))[15 : 15 + height, 15 : 15 + width]


@given(st.floats(1e-3, 1e7))
def test_a_scale_is_round_and_as_long_as_it_may_be(longest):
    metres = round_metres(longest)
    mantissa = metres / 10.0 ** np.floor(np.log10(metres) + 1e-9)
    assert round(mantissa, 6) in (1, 2, 5)
    assert longest / 2.5 * (1 - 1e-9) <= metres <= longest * (1 + 1e-9)


@given(st.integers(1, 60), st.floats(-79, 83), st.floats(-2.9, 2.9), st.floats(1, 100))
@settings(max_examples=60)
def test_utm_has_its_own_metres_and_nearly_its_own_north(zone, lat, off, size):
    lon = zone * 6 - 183 + off
    crs = f"EPSG:32{'6' if lat >= 0 else '7'}{zone:02d}"
    (x,), (y,) = transform("EPSG:4326", crs, [lon], [lat])
    found = compass(Grid(2, 2, crs, Affine(size, 0, x, 0, -size, y)))
    assert found.metres == pytest.approx(size, rel=1.2e-3)  # UTM's own scale is 0.9996 to 1.0010
    convergence = np.tan(np.radians(off)) * np.sin(np.radians(lat))
    assert found.north[0] == pytest.approx(-np.sin(np.arctan(convergence)), abs=2e-3)
    assert found.north[1] < -0.99


@pytest.mark.parametrize(
    ("crs", "transform", "metres", "north"),
    [
        ("EPSG:4326", Affine(1e-4, 0, 5, 0, -1e-4, 60), 5.58, (0, -1)),
        ("EPSG:3857", Affine(20, 0, 0, 0, -20, 8_399_738), 10.03, (0, -1)),
        ("EPSG:2263", Affine(100, 0, 1_000_000, 0, -100, 200_000), 30.48, (0, -1)),  # feet
        (
            "EPSG:3413",
            Affine(10, 0, 1_500_000, 0, -10, -1_500_000),
            10,
            (-0.71, -0.71),
        ),  # the pole is up left
        ("EPSG:32631", Affine(-10, 0, 500_000, 0, 10, 5_600_000), 10, (0, 1)),  # upside down
    ],
)
def test_other_projections_are_measured_on_the_ground(crs, transform, metres, north):
    found = compass(Grid(3, 3, crs, transform))
    assert found.metres == pytest.approx(metres, rel=0.01)
    assert found.north == pytest.approx(north, abs=0.02)


def test_a_grid_that_is_nowhere_has_no_compass():
    local = 'LOCAL_CS["somewhere",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
    assert compass(Grid(3, 3)) is None
    assert compass(Grid(3, 3, local)) is None


@pytest.fixture
def texts(monkeypatch):
    """What is written into pictures, in order."""
    written = []
    draw = ImageDraw.ImageDraw.text

    def listen(self, place, text, *arguments, **how):
        written.append(text)
        draw(self, place, text, *arguments, **how)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", listen)
    return written


@pytest.mark.parametrize(("width", "height"), [(32, 32), (4, 900), (900, 4), (2048, 700)])
def test_the_bar_is_as_long_as_it_says(tmp_path, texts, width, height):
    grid = Grid(width, height, CRS, Affine(10, 0, 500_000, 0, -10, 5_600_000))
    framed = write_framed(tmp_path / "a.png", [np.full((height, width, 4), 200, np.uint8)], grid, ["field"])
    image = np.asarray(Image.open(tmp_path / "a.png"))
    assert image.shape[:2] == (framed.height, framed.width)
    assert texts[1:] == ["N", "field"]
    number, unit = texts[0].split()
    metres = float(number) * {"m": 1, "km": 1000}[unit]
    letter = max(15, max(width, height) // 64)
    x, top = ~framed.transform @ (500_000, 5_600_000)
    bottom = (~framed.transform @ (500_000, 5_600_000 - 10 * height))[1]
    assert (x, top) == (letter, letter)
    # The first dark row below the picture is the bar's edge; its middle row is half dark
    ink = (image[round(bottom) + 2 :, letter:, :3] < 60).all(axis=2)
    edge = np.argmax(ink[:, 0])
    length = np.argmin(ink[edge])
    assert length * framed.transform.a == pytest.approx(metres, rel=0.02)
    assert np.argmin(ink[edge + 2]) == pytest.approx(length / 2, abs=2)
    assert 0.1 < length / (image.shape[1] - 2 * letter) < 0.4


def test_what_is_written_fits_and_can_be_read(tmp_path, texts, monkeypatch):
    picture = np.zeros((20, 520, 4), np.uint8)
    name = "Gemüse\nauf Łąka " + "x" * 500
    long = " ".join(["seventy"] * 70)
    legend = Swatches([Swatch("Поле", (1, 2, 3))])
    for preferred in (fonts.PREFERRED, ()):
        monkeypatch.setattr(fonts, "PREFERRED", preferred)
        monkeypatch.setattr(fonts, "_installed", lambda: ())
        fonts._font_with.cache_clear()
        texts.clear()
        write_framed(tmp_path / "a.png", [picture], Grid(520, 20), [name, "", long], legend)
        assert " ".join(texts).count("seventy") == 70
        assert all(len(text) < 120 for text in texts)
        assert any(text.endswith("…") for text in texts)
        assert np.asarray(Image.open(tmp_path / "a.png")).shape[1] < 900
    fonts._font_with.cache_clear()
    assert texts[0] == "????"


@pytest.mark.parametrize("side", [24, 600])
def test_a_picture_by_strips_is_the_whole_picture(tmp_path, side):
    whole = np.random.default_rng(0).integers(0, 256, (side, side, 4), np.uint8)
    grid = Grid(side, side)
    strips = [whole[row : row + 7] for row in range(0, side, 7)]
    for name, picture in (("whole", [whole]), ("strips", strips)):
        write_framed(tmp_path / f"{name}.png", picture, grid, ["field"])
    assert (tmp_path / "strips.png").read_bytes() == (tmp_path / "whole.png").read_bytes()
    shown = np.asarray(Image.open(tmp_path / "strips.png"))
    factor = -(-512 // side)
    letter = max(15, factor * side // 64)
    inner = shown[letter : letter + factor * side : factor, letter : letter + factor * side : factor]
    np.testing.assert_array_equal(inner, whole)


def test_names_that_no_font_can_draw_are_shown_by_their_codes(tmp_path, texts, monkeypatch):
    monkeypatch.setattr(legends, "can_draw", str.isascii)
    legend = Swatches([Swatch("小麦", (1, 2, 3), "7"), Swatch("maize", (3, 2, 1), "8")])
    write_framed(tmp_path / "a.png", [np.zeros((20, 520, 3), np.uint8)], Grid(520, 20), ["Map"], legend)
    assert texts[:3] == ["7", "maize", "Map"]
    assert "(1)" in " ".join(texts[3:])
    assert "legend.csv" in " ".join(texts[3:])


@pytest.mark.parametrize("text", ["Feld", "Поле", "小麦", "ስንዴ", "عنب", "थाली", "\U0010fffe"])
def test_a_font_has_all_letters_of_the_text_or_there_is_none(text):
    font = fonts.font_for(text, 20)
    assert font is not None or not text.isascii()
    if font is not None:
        missing = bytes(font.getmask(fonts.UNASSIGNED))
        assert all(bytes(font.getmask(letter)) != missing for letter in text)
    assert text != fonts.UNASSIGNED or font is None


def test_a_long_legend_is_counted(tmp_path, texts):
    names = [f"class {i}" for i in range(legends.MOST_LINES + 3)]
    legend = Swatches([Swatch(name, (i, i, i)) for i, name in enumerate(names)])
    write_framed(
        tmp_path / "a.png", [np.zeros((20, 520, 3), np.uint8)], Grid(520, 20), ["Map of crop"], legend
    )
    assert texts == [*names[: legends.MOST_LINES], "and 3 more", "Map of crop"]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_the_ticks_of_a_bar_are_round_and_within_it(low, span):
    bar = Bar(low, low + span, "t/ha")
    ticks = bar.ticks()
    if bar.high - bar.low > 1e-9 * abs(low):
        assert 1 <= len(ticks) <= legends.TICKS + 1
    numbers = [number for number, _ in ticks]
    assert numbers == sorted(numbers)
    assert all(low - 1e-6 * span <= number <= bar.high + 1e-6 * span for number in numbers)
    assert len({text for _, text in ticks}) == len(ticks)


def test_a_bar_has_the_colours_of_its_numbers(tmp_path, texts):
    write_framed(
        tmp_path / "a.png", [np.zeros((520, 520, 3), np.uint8)], Grid(520, 520), ["Map"], Bar(0, 10, "yield")
    )
    assert {"yield", "0", "2", "4", "6", "8", "10"} <= set(texts)
    column = np.asarray(Image.open(tmp_path / "a.png"))[:, 520 + 30 + 10, :3]
    for colour in ramp(np.linspace(0, 10, 9), 0, 10).astype(int):
        assert np.abs(column - colour).max(axis=1).min() <= 2


def test_colours_of_classes_differ_to_eyes_of_every_kind():
    colours = [class_colour(i) for i in range(254)]
    assert len(set(colours)) == 254
    seen = _seen(np.array(colours))
    least = min(_difference(seen[:, :i], seen[:, i]).min() for i in range(1, 24))
    among_palette = min(_difference(seen[:, :i], seen[:, i]).min() for i in range(1, len(PALETTE)))
    assert least > 0.85 * among_palette
    assert _seen(np.array([(255, 255, 255)]))[0, 0] == pytest.approx([1, 0, 0], abs=1e-6)
    # Grey has no hue to lose
    grey = _seen(np.array([(90, 90, 90)]))
    assert grey[1:, 0] == pytest.approx(np.tile(grey[0, 0], (3, 1)), abs=1e-4)


def test_captions_say_what_items_say(output, tmp_path):
    found = caption_of_item(output.item, "folder", 16)
    assert found == ("field", "2018-02-01 to 2018-11-30", "TESSERA model nano (int8), 16 dimensions")
    undated = open_embeddings(made_up_output(tmp_path / "a", EMBEDDING[:20, :20]))
    assert caption_of_item(undated.item, "folder", 16).period == "Year not known"
    assert caption_of_item({"properties": {}}, "folder", 16) == ("folder", "Year not known", "")


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_centres_are_the_means_of_what_is_nearest(different, n, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(different, 16)).astype(np.float32)
    sample = values[rng.integers(0, different, n)]
    centres = find_centres(sample, 8)
    assert len(centres) == min(8, len(np.unique(sample, axis=0)))
    of = nearest(sample, centres)
    counts = np.bincount(of, minlength=len(centres))
    assert (np.diff(counts) <= 0).all()
    naive = ((sample[:, None].astype(float) - centres) ** 2).sum(axis=2)
    np.testing.assert_allclose(naive[range(n), of], naive.min(axis=1), atol=1e-4)
    for c in np.flatnonzero(counts):
        np.testing.assert_allclose(centres[c], sample[of == c].mean(axis=0), atol=1e-4)
    np.testing.assert_array_equal(find_centres(sample, 8), centres)


def test_clusters_far_apart_are_found():
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(8, 16)) * 10
    truth = np.repeat(np.arange(8), 50 * np.arange(8, 0, -1))
    sample = (middles[truth] + rng.normal(size=(len(truth), 16))).astype(np.float32)
    np.testing.assert_array_equal(nearest(sample, find_centres(sample, 8)), truth)


@pytest.mark.parametrize("format", ["cog", "npy", "zarr", "geotessera"])
def test_a_picture_is_the_same_from_any_format(output, tmp_path, format):
    if format == "geotessera":  # takes whole embeddings only
        output = open_embeddings(made_up_output(tmp_path / "w", landscape(60, 70, 128), year=2018))
    make_picture(output, tmp_path / "a.png")
    make_picture(open_embeddings(convert(output, tmp_path / "c", format)), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "c" / "quicklook.png").read_bytes() == (tmp_path / "a.png").read_bytes()


def test_thinned_pictures_are_put_together_from_blocks(output, tmp_path, monkeypatch):
    monkeypatch.setattr(frame, "LARGEST_SIDE", 100)
    monkeypatch.setattr(frame, "SMALLEST_SIDE", 1)
    make_picture(output, tmp_path / "a.png", quicklook="clusters")
    found = pixels(tmp_path / "a.png", 50, 87)
    np.testing.assert_array_equal(found[..., 3] > 0, np.isfinite(EMBEDDING[::6, ::6, 0]))
    small = open_embeddings(made_up_output(tmp_path / "s", EMBEDDING[::6, ::6], year=2018))
    make_picture(small, tmp_path / "b.png", quicklook="clusters")
    np.testing.assert_array_equal(pixels(tmp_path / "b.png", 50, 87), found)


@pytest.mark.parametrize("kind", ["pca", "clusters"])
def test_a_palette_gives_the_same_embeddings_the_same_colours(output, tmp_path, kind):
    palette, part = tmp_path / "farm.json", EMBEDDING[150:, :260]
    other = open_embeddings(made_up_output(tmp_path / "part", part, year=2019))
    make_picture(output, tmp_path / "a.png", quicklook=kind, palette=palette)
    written = palette.read_bytes()
    make_picture(other, tmp_path / "b.png", quicklook=kind, palette=palette)
    make_picture(other, tmp_path / "own.png", quicklook=kind)
    whole = pixels(tmp_path / "a.png")[150:, :260]
    # Enlarged twice, to be no smaller than others
    found, own = (pixels(tmp_path / name, 300, 520)[::2, ::2] for name in ("b.png", "own.png"))
    assert np.abs(found.astype(int) - whole).max() <= 1
    assert np.abs(own.astype(int) - whole).max() > 50
    assert palette.read_bytes() == written
    if kind == "clusters":
        assert {tuple(colour) for colour in found[found[..., 3] > 0][:, :3]} <= set(PALETTE)


def test_a_palette_that_is_read_back_paints_bit_for_bit(output, tmp_path):
    sample = np.random.default_rng(8).normal(size=(5000, output.dim)).astype(np.float32)
    fitted, about = fit_projection(sample), output.provenance
    save_palette(tmp_path / "farm.json", fitted, about)
    read = load_palette(tmp_path / "farm.json", "pca", about, sample.shape[1])
    # Where this differs, some CPUs round products otherwise, and colours are one step off
    assert (fitted.axes.strides, fitted.axes.dtype) == (read.axes.strides, read.axes.dtype)
    np.testing.assert_array_equal(fitted.paint(sample), read.paint(sample))


def test_a_palette_of_something_else_is_refused(output, tmp_path):
    palette, out = tmp_path / "farm.json", tmp_path / "a.png"
    make_picture(output, out, palette=palette)
    other = open_embeddings(made_up_output(tmp_path / "o", EMBEDDING[:30, :30], model_sha256="b" * 64))
    longer = open_embeddings(made_up_output(tmp_path / "l", landscape(30, 30, 32)))
    downloaded = open_embeddings(made_up_output(tmp_path / "d", EMBEDDING[:30, :30]))
    downloaded.item["properties"].clear()
    for embeddings, kind, message in (
        (other, "pca", "aaaaaaaaaaaa.*bbbbbbbbbbbb"),
        (longer, "pca", "16 dimensions.*32.*dim="),
        (longer, "clusters", "quicklook=pca.*clusters"),
        (downloaded, "pca", "which model"),
    ):
        with pytest.raises(InputError, match=message):
            make_picture(embeddings, tmp_path / "b.png", quicklook=kind, palette=palette)
    make_picture(open_embeddings(longer.path, 16), tmp_path / "b.png", palette=palette)
    make_picture(downloaded, tmp_path / "b.png", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png", "d", "farm.json", "l", "o"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda said: said | {"tessera-engine palette": 2}, "not a palette"),
        (lambda said: [said], "not a palette"),
        (lambda said: said | {"model": 7}, "'model' is 7"),
        (lambda said: said | {"axes": said["axes"][:2]}, "damaged"),
        (lambda said: said | {"axes": [[1.0], [2.0, 3.0], [4.0]]}, "'axes' is not"),
        (lambda said: said | {"low": ["a", "b", "c"]}, "'low' is not"),
        (lambda said: said | {"low": [0, 0, float("nan")]}, "not JSON"),
        (lambda said: said | {"span": [0, 0, -1]}, "damaged"),
        (lambda said: {key: said[key] for key in said if key != "span"}, "'span' is not"),
        (lambda said: said | {"note": "x" * 2**20}, "1,048,576"),
    ],
)
def test_a_damaged_palette_is_refused(output, tmp_path, damage, message):
    palette = tmp_path / "farm.json"
    make_picture(output, tmp_path / "a.png", palette=palette)
    palette.write_text(json.dumps(damage(json.loads(palette.read_text()))))
    with pytest.raises(InputError, match=message):
        make_picture(output, tmp_path / "b.png", palette=palette)


@pytest.mark.parametrize("kind", ["pca", "clusters"])
def test_a_geotiff_has_the_colours_of_the_png_and_every_pixel(output, tmp_path, kind):
    made = make_picture(output, tmp_path / f"a.{kind}.TIF", quicklook=kind)
    make_picture(output, tmp_path / "a.png", quicklook=kind)
    wanted = pixels(tmp_path / "a.png")
    with rasterio.open(made.out) as file:
        assert (file.crs, file.transform) == (output.grid.crs, output.grid.transform)
        assert (file.width, file.height, file.overviews(1)) == (520, 300, [2, 4])
        values = np.moveaxis(file.read(), 0, 2)
        assert set(file.nodatavals) == {0}
        if kind == "clusters":
            assert file.count == 1
            table = file.colormap(1)
            values = np.array([table[value][:3] for value in range(256)], np.uint8)[values[..., 0]]
            assert len(np.unique(file.read(1))) == 9  # eight clusters and no data
        else:
            assert [each.name for each in file.colorinterp] == ["red", "green", "blue"]
    valid = np.isfinite(EMBEDDING[..., 0])
    np.testing.assert_array_equal(values[valid], wanted[valid][:, :3].clip(1 if kind == "pca" else 0))
    assert not values[~valid].any()


def test_a_geotiff_of_nothing_is_all_no_data(tmp_path):
    empty = open_embeddings(made_up_output(tmp_path / "e", np.full((9, 9, 16), np.nan, np.float32)))
    for kind in ("pca", "clusters"):
        made = make_picture(empty, tmp_path / f"{kind}.tif", quicklook=kind)
        with rasterio.open(made.out) as file:
            assert not file.read().any()


def test_pictures_are_whole_or_not_there(output, tmp_path, monkeypatch):
    out, palette = tmp_path / "a.png", tmp_path / "farm.json"
    with pytest.raises(InputError, match=r"ndvi.*pca, clusters, rgb"):
        make_picture(output, out, quicklook="ndvi")
    with pytest.raises(InputError, match=r"rgb.*embed"):
        make_picture(output, out, quicklook="rgb")
    empty = open_embeddings(made_up_output(tmp_path / "e", np.full((9, 9, 16), np.nan, np.float32)))
    with pytest.raises(InputError, match="no data"):
        make_picture(empty, out, palette=palette)

    def fail(*arguments):
        raise TesseraError("the disk is on fire")

    with monkeypatch.context() as patch:
        patch.setattr("tessera_engine.pictures.make.write_quicklook", fail)
        with pytest.raises(TesseraError, match="on fire"):
            make_picture(output, out, palette=palette)
    assert [path.name for path in tmp_path.iterdir()] == ["e"]
    make_picture(output, out)
    before = out.read_bytes()
    with pytest.raises(InputError, match="overwrite=True"):
        make_picture(output, out, quicklook="clusters")
    assert out.read_bytes() == before
    make_picture(output, out, quicklook="clusters", overwrite=True)
    assert out.read_bytes() != before


def test_the_command_draws(run, tmp_path):
    made_up_output(tmp_path / "field.embeddings", EMBEDDING[100:140, :40])
    code, out, err = run(
        "picture", "field.embeddings", "--quicklook", "clusters", "--palette", "farm.json", "-q"
    )
    assert err == ""
    assert (code, out) == (0, "field.clusters.png\n")
    assert (tmp_path / "farm.json").exists()
    code, _, err = run("picture", "field.embeddings", "--quicklook", "clusters")
    assert code == 2
    assert "exists already" in err
