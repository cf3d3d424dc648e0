"""The pipeline with a fake reader and a fake backend: every pixel in its place, nodata where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from fake_backend import FakeBackend, OverlappingBackend
from made_up import FakeReader, made_up_arrays
from naive import naive_codes, naive_tokens_s1, naive_tokens_s2

from tessera_engine.backends.base import Codes, Result
from tessera_engine.backends.gpu.device import DeviceError
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.staging import CODE_NODATA, Staging
from tessera_engine.running import pipeline
from tessera_engine.running.journal import Journal
from tessera_engine.scene import Window
from tessera_engine.tokens import PackedTokens, Tokens

ARRAYS = made_up_arrays(11, 9)


def naive_embedding(backend, arrays, row, col):
    """What the fake backend makes of the naive twins' tokens of one pixel; None without observations."""
    pixel = (slice(None), row, col)
    asc, desc = arrays["sar_ascending"][pixel], arrays["sar_descending"][pixel]
    if not (arrays["masks"][pixel].any() or asc.any() or desc.any()):
        return None
    f = backend.model.facts
    s2 = naive_tokens_s2(arrays["bands"][pixel], arrays["masks"][pixel], arrays["doys"], f.s2_mean, f.s2_std)
    s1 = naive_tokens_s1(
        asc, arrays["sar_ascending_doy"], desc, arrays["sar_descending_doy"],
        f.s1_ascending_mean, f.s1_ascending_std, f.s1_descending_mean, f.s1_descending_std,
    )  # fmt: skip
    packed = PackedTokens(*(Tokens(*t, np.array([0, len(t[1])])) for t in (s2, s1)))
    return backend.run(packed)[0]


def run(tmp_path, reader, region, max_pixels, dim=32, stored_as="float32", progress=None, backend=None):
    tmp_path.mkdir(exist_ok=True)
    backend = backend or FakeBackend()
    staging = Staging.create(tmp_path, reader.grid.crop(region), dim, stored_as)
    journal = Journal(tmp_path / "journal", {}, max_pixels)
    statistics = pipeline.run(reader, backend, [pipeline.Part(staging)], region, journal, progress)
    return backend, staging, statistics


@pytest.mark.parametrize("max_pixels", [4, 9, 40, 10_000])
def test_every_pixel_has_its_own_embedding_whatever_the_windows(tmp_path, max_pixels):
    reader = FakeReader(ARRAYS)
    backend, staging, statistics = run(tmp_path, reader, reader.grid.window, max_pixels)
    found = staging.embeddings.read(reader.grid.window)
    for row in range(11):
        for col in range(9):
            wanted = naive_embedding(backend, ARRAYS, row, col)
            if wanted is None:
                assert np.isnan(found[row, col]).all()
            else:
                np.testing.assert_allclose(found[row, col], wanted, rtol=1e-5, atol=1e-5)
    assert statistics.pixels == 99
    assert statistics.with_data == np.isfinite(found[..., 0]).sum() < 99
    counts = staging.observations.read(reader.grid.window)
    np.testing.assert_array_equal(counts[..., 0], (ARRAYS["masks"] != 0).sum(axis=0))
    valid = [(ARRAYS[f"sar_{o}"] != 0).any(axis=-1).sum(axis=0) for o in ("ascending", "descending")]
    np.testing.assert_array_equal(counts[..., 1], valid[0] + valid[1])


def test_int8_is_the_published_code_of_the_cut_prefix(tmp_path):
    reader = FakeReader(ARRAYS)
    _, full, _ = run(tmp_path / "full", reader, reader.grid.window, 20)
    _, staging, _ = run(tmp_path / "int8", reader, reader.grid.window, 20, dim=16, stored_as="int8")
    embedding = full.embeddings.read(reader.grid.window)
    codes, scales = staging.embeddings.read(reader.grid.window), staging.scales.read(reader.grid.window)
    for row, col in np.ndindex(11, 9):
        if np.isnan(embedding[row, col, 0]):
            assert (codes[row, col] == CODE_NODATA).all()
            assert np.isnan(scales[row, col])
        else:
            wanted, scale = naive_codes(embedding[row, col, :16])
            np.testing.assert_array_equal(codes[row, col], wanted)
            assert scales[row, col] == scale


def test_a_region_is_the_same_part_of_the_whole(tmp_path):
    reader = FakeReader(ARRAYS)
    region = Window(2, 3, 5, 6)
    _, whole, _ = run(tmp_path / "whole", reader, reader.grid.window, 20)
    _, part, _ = run(tmp_path / "part", reader, region, 7)
    np.testing.assert_array_equal(part.embeddings.read(Window(0, 0, 5, 6)), whole.embeddings.read(region))
    assert part.grid == reader.grid.crop(region)


def test_progress_counts_up_to_all_pixels(tmp_path):
    told = []
    reader = FakeReader(ARRAYS)
    run(tmp_path, reader, reader.grid.window, 30, progress=lambda *numbers: told.append(numbers))
    assert [total for _, total in told] == [99] * len(told)
    done = [done for done, _ in told]
    assert done == sorted(set(done))
    assert done[-1] == 99


def test_a_scene_without_any_observation_is_all_nodata(tmp_path):
    arrays = made_up_arrays()
    for name in ("masks", "sar_ascending", "sar_descending"):
        arrays[name] = np.zeros_like(arrays[name])
    reader = FakeReader(arrays)
    backend, staging, statistics = run(tmp_path, reader, reader.grid.window, 7)
    assert np.isnan(staging.embeddings.read(reader.grid.window)).all()
    assert statistics.with_data == 0
    assert backend.pixels_run == []


def test_an_error_while_reading_ahead_stops_the_run(tmp_path):
    class Failing(FakeReader):
        def read(self, window):
            if window.row > 5:
                raise InputError("the drive is gone")
            return super().read(window)

    reader = Failing(ARRAYS)
    with pytest.raises(InputError, match="the drive is gone"):
        run(tmp_path, reader, reader.grid.window, 9)


def test_a_region_without_windows_is_refused(tmp_path):
    class Hollow(FakeReader):
        def windows(self, region, max_pixels):
            return iter(())

    with pytest.raises(InputError, match="no tile of the scene"):
        run(tmp_path, Hollow(ARRAYS), Window(0, 0, 3, 3), 9)


@pytest.mark.parametrize(("stored_as", "dim"), [("float32", 32), ("int8", 16)])
def test_a_device_computes_a_window_while_the_next_one_is_packed(tmp_path, stored_as, dim):
    reader, told = FakeReader(ARRAYS), []
    _, wanted, _ = run(tmp_path / "at once", reader, reader.grid.window, 30, dim, stored_as)
    device = OverlappingBackend()
    _, found, statistics = run(
        tmp_path / "later", reader, reader.grid.window, 30, dim, stored_as,
        progress=lambda *numbers: told.append(numbers), backend=device,
    )  # fmt: skip
    for name in ("embeddings", "observations", *(["scales"] if stored_as == "int8" else [])):
        arrays = (getattr(each, name).read(reader.grid.window) for each in (wanted, found))
        np.testing.assert_array_equal(*arrays)
    windows = len(device.told) // 2
    assert windows > 2
    what = [each for each, _ in device.told]
    assert what == ["begins"] + ["begins", "ends"] * (windows - 1) + ["ends"]
    begun, ended = ([n for each, n in device.told if each == kind] for kind in ("begins", "ends"))
    assert begun == ended
    assert statistics.pixels == told[-1][0] == 99
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_a_device_that_fails_keeps_the_windows_before(tmp_path):
    reader, device = FakeReader(ARRAYS), OverlappingBackend()
    device.fails = 2
    staging = Staging.create(tmp_path, reader.grid, 32, "float32")
    journal = Journal(tmp_path / "journal", {}, 30)
    with pytest.raises(DeviceError, match="the device is gone"):
        pipeline.run(reader, device, [pipeline.Part(staging)], reader.grid.window, journal)
    assert len(journal.finished) == 2
    device.fails = None
    pipeline.run(reader, device, [pipeline.Part(staging)], reader.grid.window, journal)
    _, wanted, _ = run(tmp_path / "whole", reader, reader.grid.window, 30)
    arrays = (each.embeddings.read(reader.grid.window) for each in (wanted, staging))
    np.testing.assert_array_equal(*arrays)


class TestContract:
    """The checks that every backend shares."""

    def tokens(self, pixels=2):
        offsets = np.arange(pixels + 1)
        return PackedTokens(
            *(
                Tokens(
                    np.ones((pixels, bands), np.float32),
                    np.ones(pixels, np.int32),
                    np.ones(pixels, np.float32),
                    offsets,
                )
                for bands in (10, 2)
            )
        )

    def test_no_pixels_give_no_embeddings(self):
        assert FakeBackend().run(self.tokens(0)).shape == (0, 32)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_values_that_are_not_finite_are_an_error(self, value):
        class Broken(FakeBackend):
            def _run(self, tokens):
                out = super()._run(tokens)
                out[1, 3] = value
                return out

        with pytest.raises(TesseraError, match="aren't finite for 1 of 2 pixels"):
            Broken().run(self.tokens())

    def test_another_shape_is_an_error(self):
        class Broken(FakeBackend):
            def _run(self, tokens):
                return super()._run(tokens)[:, 1:]

        with pytest.raises(TesseraError, match=r"gave float32 \(2, 31\), expected float32 \(2, 32\)"):
            Broken().run(self.tokens())

    @pytest.mark.parametrize(
        ("codes", "scales", "message"),
        [
            (
                np.ones((2, 8), np.int8),
                np.ones(2, np.float32),
                r"gave int8 \(2, 8\), expected int8 \(2, 16\)",
            ),
            (np.ones((2, 16), np.int8), np.array([1, np.nan], np.float32), "aren't finite for 1 of 2 pixels"),
            (np.ones((2, 16)), np.ones(2, np.float32), "gave float64"),
        ],
    )
    def test_codes_of_a_device_are_checked(self, codes, scales, message):
        class Broken(FakeBackend):
            def _start(self, tokens, prefix):
                return lambda: Result(None, Codes(codes, scales))

        with pytest.raises(TesseraError, match=message):
            Broken().start(self.tokens(), 16).codes()

    def test_what_was_not_asked_for_is_not_there(self):
        assert FakeBackend().start(self.tokens(), 16).codes().codes.shape == (2, 16)
        with pytest.raises(ValueError, match="no prefix"):
            FakeBackend().start(self.tokens()).codes()
        with pytest.raises(ValueError, match="codes were asked for"):
            OverlappingBackend().start(self.tokens(), 16).embedding()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"values": np.ones((2, 9), np.float32)}, "not float32"),
            ({"values": np.ones((2, 10))}, "not float32"),
            ({"doy": np.ones(3, np.int32)}, "another length"),
            ({"offsets": np.array([0, 2, 2])}, "offsets must run"),
            ({"offsets": np.array([0, 1, 3])}, "offsets must run"),
        ],
    )
    def test_tokens_that_do_not_belong_together_are_refused(self, change, message):
        good = self.tokens()
        bad = Tokens(**(vars(good.s2) | change))
        with pytest.raises(ValueError, match=message):
            FakeBackend().run(PackedTokens(bad, good.s1))

    def test_modalities_need_the_same_pixels(self):
        with pytest.raises(ValueError, match="s1 has 3 pixels, s2 has 2"):
            FakeBackend().run(PackedTokens(self.tokens().s2, self.tokens(3).s1))
