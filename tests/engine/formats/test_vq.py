"""format=vq: four numbers a pixel and four codebooks a tile; what is read is what a plain decoder makes of the arrays."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import zarr
from made_up import CRS, ORIGIN
from naive_vq import naive_unpack
from outputs import made_up_output
from staged import landscape

from tessera_engine import open_embeddings
from tessera_engine.analysis.change import draw_change
from tessera_engine.analysis.similar import compare
from tessera_engine.cluster.options import for_cells
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.formats.embeddings import base
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.vq.learning import ROWS
from tessera_engine.formats.vq.reading import VqSource
from tessera_engine.formats.vq.tiles import NO_DATA, TILE, WORDS, decode, encode, encode_read
from tessera_engine.formats.zarr.convention import consolidate
from tessera_engine.running.convert import convert
from tessera_engine.scene import Grid, Window
from tessera_engine.verification.verify import verify
from tessera_kernels.threads import get_threads, set_threads

EMBEDDING = landscape(40, 530, 16)
HEIGHT, WIDTH, DIM = EMBEDDING.shape
STORE = "embeddings.zarr"


@pytest.fixture(scope="module")
def cog(tmp_path_factory):
    return open_embeddings(made_up_output(tmp_path_factory.mktemp("cog") / "a.embeddings", EMBEDDING))


@pytest.fixture(scope="module")
def made(cog, tmp_path_factory):
    return convert(cog, tmp_path_factory.mktemp("vq") / "a.vq", "vq")


@pytest.fixture
def copied(made, tmp_path):
    return shutil.copytree(made, tmp_path / "copy")


def decoded_by_hand(folder, height=HEIGHT, width=WIDTH, dim=DIM):
    """Pixel by pixel from the arrays, as another program would."""
    group = zarr.open_group(folder / STORE, mode="r")
    stages = range(1, len(WORDS) + 1)
    numbers = [group[f"number{stage}"][:] for stage in stages]
    words = {
        (stage, row, col): naive_unpack(
            group[f"codebook{stage}"][row, col], group[f"codebook{stage}_range"][row, col]
        )
        for stage in stages
        for row in range(-(-height // 512))
        for col in range(-(-width // 512))
    }
    found = np.full((height, width, dim), np.nan, np.float32)
    for row in range(height):
        for col in range(width):
            if numbers[0][row, col] != 255:
                parts = [
                    words[stage, row // 512, col // 512][numbers[stage - 1][row, col]] for stage in stages
                ]
                found[row, col] = sum(parts[1:], parts[0])
    return found


def test_values_are_those_that_are_decoded_by_hand(cog, made):
    found = open_embeddings(made)
    values = found.read()
    np.testing.assert_array_equal(values, decoded_by_hand(made))
    original = cog.read()
    np.testing.assert_array_equal(np.isnan(values), np.isnan(original))
    valid = np.isfinite(original[..., 0])
    spread = ((original[valid] - original[valid].mean(axis=0)) ** 2).sum()
    assert ((values - original)[valid] ** 2).sum() < 0.03 * spread
    window = Window(500, 10, 30, 20)  # of both tiles
    np.testing.assert_array_equal(found.read(window), values[10:30, 500:530])
    np.testing.assert_array_equal(open_embeddings(made, 16).read(window), values[10:30, 500:530, :16])
    np.testing.assert_array_equal(found.read_observations(window), cog.read_observations(window))
    assert found.grid == cog.grid


def test_a_prefix_is_that_of_the_sum(tmp_path):
    source = open_embeddings(made_up_output(tmp_path / "a", landscape(20, 30, 32)))
    made = convert(source, tmp_path / "v", "vq")
    np.testing.assert_array_equal(open_embeddings(made, 16).read(), open_embeddings(made).read()[..., :16])


def test_it_says_that_it_lost_something_and_so_does_what_is_made_of_it(made, tmp_path):
    found = open_embeddings(made)
    assert f"{sum(WORDS):,} vectors" in found.provenance["lossy"]
    assert found.provenance["store"] == "vq"
    assert "losses" in repr(found)
    back = convert(found, tmp_path / "back", "cog")
    item = json.loads((back / "item.json").read_text())
    assert item["properties"]["tessera:store"] == "float32"
    assert f"{sum(WORDS):,} vectors" in item["properties"]["tessera:lossy"]
    np.testing.assert_array_equal(open_embeddings(back).read(), found.read())
    assert verify(made).files == 2
    for folder in (made, back):
        with pytest.raises(InputError, match=rf"{sum(WORDS):,} vectors.*scene="):
            verify(folder, scene=tmp_path)


def test_the_same_values_give_the_same_bytes_with_any_number_of_threads():
    rng = np.random.default_rng(0)
    stored = StoredBlock(rng.normal(size=(30, 40, 16)).astype(np.float32), None)
    before, found = get_threads(), set()
    try:
        for threads in (1, 2, 5):
            set_threads(threads)
            tile = encode(stored)
            found.add(b"".join(part.tobytes() for part in (*sum(tile.books, ()), tile.numbers)))
    finally:
        set_threads(before)
    assert len(found) == 1


def test_codes_are_coded_like_the_floats_that_they_stand_for():
    rng = np.random.default_rng(1)
    codes = rng.integers(-127, 128, (12, 9, 16)).astype(np.int8)
    scales = rng.uniform(0.01, 0.1, (12, 9)).astype(np.float32)
    codes[3, 4], scales[3, 4] = -128, np.nan
    floats = codes * scales[..., None]
    one, other = encode(StoredBlock(codes, scales)), encode(StoredBlock(floats, None))
    np.testing.assert_array_equal(one.numbers, other.numbers)
    assert (one.numbers[0] == NO_DATA).sum() == 1
    assert one.numbers[0, 3, 4] == NO_DATA
    # Fewer pixels than words: nothing but the rounding of the codebooks is lost
    back = decode(one.books, one.numbers, 16)
    read = back.vectors[back.which]
    valid = np.isfinite(scales)
    assert np.abs(read - floats)[valid].max() < 2 * np.nanmax(np.abs(floats)) / 255 * 2
    assert encode(StoredBlock(np.full((2, 2, 4), np.nan, np.float32), None)) is None


def test_a_tile_is_coded_alike_by_strips_and_never_read_as_a_whole():
    rng = np.random.default_rng(2)
    codes = rng.integers(-127, 128, (3 * ROWS + 5, 21, 16)).astype(np.int8)
    scales = rng.uniform(0.01, 0.1, codes.shape[:2]).astype(np.float32)
    codes[40:50], scales[40:50] = -128, np.nan
    rows = []

    def read(window):
        rows.append(window.height)
        here = window.relative_to(tile).slices
        return StoredBlock(codes[here], scales[here])

    tile = Window(512, 1024, codes.shape[1], codes.shape[0])
    found, whole = encode_read(read, tile), encode(StoredBlock(codes, scales))
    np.testing.assert_array_equal(found.numbers, whole.numbers)
    for one, other in zip(found.books, whole.books, strict=True):
        np.testing.assert_array_equal(one.steps, other.steps)
    assert max(rows) == ROWS


def test_only_a_part_of_a_tile_is_in_memory_for_a_pass_or_for_points(made, monkeypatch):
    found = open_embeddings(made)
    expected, windows = found.read(), []
    rows, cols = (each.reshape(-1) for each in np.indices(expected.shape[:2]))
    monkeypatch.setattr(base, "BLOCK_VALUES", TILE * found.dim * 3)
    assert {window.height for window in found.tiles()} <= {1, 2, 3}
    read_distinct = VqSource.read_distinct
    monkeypatch.setattr(
        VqSource,
        "read_distinct",
        lambda self, window, dim: windows.append(window) or read_distinct(self, window, dim),
    )
    np.testing.assert_array_equal(found.pixels(cols, rows), expected.reshape(-1, found.dim))
    assert len(windows) == 2 * -(-HEIGHT // 3)  # two tiles beside each other
    assert max(window.height for window in windows) == 3


@pytest.mark.parametrize("crs", [None, "EPSG:4326", CRS])
def test_any_grid_and_an_output_without_data(tmp_path, crs):
    grid = Grid(9, 7, crs, ORIGIN) if crs else Grid(9, 7)
    nothing = np.full((7, 9, 16), np.nan, np.float32)
    source = open_embeddings(made_up_output(tmp_path / "a", nothing, "npy", "float32", grid))
    found = open_embeddings(convert(source, tmp_path / "v", "vq"))
    assert np.isnan(found.read()).all()
    assert found.read_distinct(found.grid.window).vectors.shape == (0, 16)


def test_similarity_and_change_are_those_of_the_values(made, cog, tmp_path):
    found = open_embeddings(made)
    plain = open_embeddings(convert(found, tmp_path / "plain", "npy"))
    query = found.read()[HEIGHT - 1, [3, WIDTH - 1]]
    np.testing.assert_allclose(compare(found, query), compare(plain, query), atol=1e-6)
    distinct = found.read_distinct(found.grid.window)
    vectors = np.concatenate([distinct.vectors, np.full((1, DIM), np.nan, np.float32)])
    np.testing.assert_array_equal(vectors[distinct.which], plain.read())
    assert len(np.unique(distinct.which)) == len(distinct.vectors) + 1
    np.testing.assert_array_equal(draw_change(cog, found).values, draw_change(cog, plain).values)


def replaced(folder, name, values, **options):
    group = zarr.open_group(folder / STORE, mode="a")
    del group[name]
    group.create_array(name, data=np.asarray(values), **options)
    consolidate(folder / STORE)


def test_hostile_arrays_are_refused_in_one_line(made, copied):
    group = zarr.open_group(copied / STORE, mode="r")
    first, ranges, number = (group[name][:] for name in ("codebook1", "codebook1_range", "number1"))
    few, wrong, turned = first[:, :, :3], ranges.copy(), ranges[..., ::-1].copy()
    wrong[0, 0, 2, 1] = np.inf
    huge = ranges.copy()
    huge[0, 0, :, 1] = 3e38
    for name, values, why in (
        ("codebook1", few, "codebook of 3"),
        ("codebook1", first.astype(np.int16), "int16"),
        ("codebook1", first[:, :1], "expected uint8 and"),
        ("codebook1", first[..., :8], "expected uint8 and"),
        ("codebook1", np.zeros((1, 2, 300, DIM), np.uint8), "1 to 256 words"),
        ("codebook1", np.zeros((1, 2, 0, DIM), np.uint8), "1 to 256 words"),
        ("codebook1", number, "1 to 256 words"),
        ("codebook1_range", wrong, "ranges"),
        ("codebook1_range", turned, "ranges"),
        ("codebook1_range", huge, "ranges"),
        ("codebook1_range", ranges.astype(np.float64), "float64"),
        ("number1", number[:-1], "expected uint8 and"),
        ("number2", number.astype(np.uint16), "uint16"),
    ):
        replaced(copied, name, values)
        with pytest.raises(TesseraError, match=why) as error:
            open_embeddings(copied).read()
        assert "\n" not in str(error.value)
        shutil.rmtree(copied / STORE)
        shutil.copytree(made / STORE, copied / STORE)
    assert np.isfinite(open_embeddings(copied).read()).any()


def test_chunks_larger_than_a_tile_are_refused_before_they_are_read(copied):
    replaced(copied, "number1", zarr.open_group(copied / STORE, mode="r")["number1"][:], chunks=(40, 530))
    with pytest.raises(TesseraError, match="chunks"):
        open_embeddings(copied).read()


def _flipped(content):
    """One bit of the first chunk, which lies at the beginning of a shard."""
    return content[:40] + bytes([content[40] ^ 1]) + content[41:]


def test_files_that_are_cut_short_changed_or_missing_are_refused(copied):
    for name in ("number1", "codebook2", "codebook2_range"):
        (shard,) = [path for path in (copied / STORE / name / "c").rglob("*") if path.is_file()]
        content = shard.read_bytes()
        for damage in (
            content[: len(content) // 2],
            b"",
            content[:-4] + b"\xff\xff\xff\xff",
            _flipped(content),
        ):
            shard.write_bytes(damage)
            with pytest.raises(TesseraError, match=name):
                open_embeddings(copied).read()
        shard.write_bytes(content)
    shutil.rmtree(copied / STORE / "number2")
    consolidate(copied / STORE)
    with pytest.raises(TesseraError, match="number2"):
        open_embeddings(copied).read()


def test_what_it_cannot_do_is_refused_with_what_to_do(made, cog):
    with pytest.raises(InputError, match=r"append=True.*zarr and geotessera.*vq.*format=zarr") as error:
        convert(cog, made, "vq", append=True)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"format=vq.*format=zarr.*convert"):
        for_cells({"format": "vq"})
    assert TILE == 512


def test_numbers_are_learned_in_units_of_the_noise_between_neighbours():
    """A class that differs in a direction of little variance stays, under a direction full of noise."""
    rng = np.random.default_rng(3)
    fields = np.repeat(np.repeat(rng.integers(0, 2, (8, 8)), 8, axis=0), 8, axis=1)
    embedding = rng.normal(size=(64, 64, 16)).astype(np.float32) * 3
    embedding[..., 5] = fields + 0.05 * rng.normal(size=fields.shape)
    tile = encode(StoredBlock(embedding, None))
    back = decode(tile.books, tile.numbers, 16)
    read = back.vectors[back.which][..., 5]
    assert ((read > 0.5) == fields).mean() > 0.99


def test_pixels_like_their_neighbours_take_their_numbers():
    rng = np.random.default_rng(4)
    fields = np.repeat(np.repeat(rng.normal(size=(32, 32, 16)), 4, axis=0), 4, axis=1)
    embedding = (fields + 0.001 * rng.normal(size=fields.shape)).astype(np.float32)
    tile = encode(StoredBlock(embedding, None))
    assert len(decode(tile.books, tile.numbers, 16).vectors) < 128 * 128 / 2
    embedding[10:20, 20:40] = np.nan
    tile = encode(StoredBlock(embedding, None))
    np.testing.assert_array_equal(tile.numbers[0] == NO_DATA, np.isnan(embedding[..., 0]))


def test_patches_do_not_average_what_codebooks_explain_little_of():
    """In noise without any fields each pixel keeps numbers of its own."""
    noise = np.random.default_rng(5).normal(size=(200, 200, 32)).astype(np.float32)
    tile = encode(StoredBlock(noise, None))
    assert len(decode(tile.books, tile.numbers, 32).vectors) > 0.99 * 200 * 200
