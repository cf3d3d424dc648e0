"""The TensorRT backend over a device that computes on the CPU: results, overlap, memory that runs out, plans."""

from __future__ import annotations

import os

import numpy as np
import pytest
from made_up import FakeReader, made_up_arrays
from standin_device import FACTS, WORK_BYTES_A_TOKEN, StandInDevice

from tessera_engine.backends.choosing import make_backend
from tessera_engine.backends.gpu import plans
from tessera_engine.backends.gpu.device import DeviceError
from tessera_engine.backends.gpu.rectangular import LEAST_TOKENS, MOST_TOKENS, most_tokens
from tessera_engine.backends.registry import backend_overlaps
from tessera_engine.backends.tensorrt import TensorRtBackend
from tessera_engine.errors import TesseraError
from tessera_engine.model.installed import open_model
from tessera_engine.tokens import pack

MB = 1_000_000


@pytest.fixture(scope="module")
def model():
    return open_model("demo", "fp32")


@pytest.fixture(scope="module")
def tokens(model):
    reader = FakeReader(made_up_arrays(6, 7, steps=30, seed=3))
    return pack(reader.read(reader.grid.window), model.facts).tokens


@pytest.fixture(scope="module")
def expected(model, tokens):
    return make_backend(model, "onnxruntime", 1).run(tokens)


@pytest.fixture
def make(model, tmp_path):
    """A backend on a device, what it said, and where it keeps plans."""

    def backend(device, **changes):
        told = []
        made = TensorRtBackend(model, device, told.append, tmp_path / "plans")
        for name, value in changes.items():
            setattr(made, name, value)
        return made, told

    return backend


def is_close(found, expected):
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_embeddings_are_those_of_the_cpu_and_two_streams_are_busy(make, tokens, expected):
    device = StandInDevice()
    backend, told = make(device, _limit=1024)
    backend.prepare(tokens)
    assert len(told) == len(device.builds)
    assert all("demo (fp32) for NVIDIA Stand-in 1" in line for line in told)
    is_close(backend.run(tokens), expected)
    assert all(shape.tokens <= 1024 for shape in device.shapes_run)
    assert device.busy[0] == 1  # the first batch's copies in
    assert all(busy == 2 for busy in device.busy[1:])
    assert backend.description == "tensorrt 10.3.0 (NVIDIA Stand-in 1)"


def test_a_window_is_begun_while_the_one_before_is_computed(make, tokens, expected):
    device = StandInDevice()
    backend, _ = make(device, _limit=1024)
    backend.prepare(tokens)
    first = backend.start(tokens, 16)
    assert sum(bool(todo) for todo in device.streams.values()) == 2  # its last batches wait for nobody
    half = tokens.chosen(np.arange(0, len(tokens), 2))
    second = backend.start(half)
    is_close(second.embedding(), expected[::2])
    codes, scales = first.codes()
    assert np.abs(codes * scales[:, None] - expected[:, :16]).max() <= scales.max() / 2 + 2e-5
    assert not any(device.streams.values())
    assert backend.overlaps
    assert backend_overlaps("tensorrt")


def test_memory_that_runs_out_in_one_window_leaves_the_one_before_whole(make, tokens, expected):
    device = StandInDevice(resizes=False)
    backend, told = make(device)
    first = backend.start(tokens)
    device.total = 8 * MB
    second = backend.start(tokens)
    assert any("out of memory" in line for line in told)
    is_close(first.embedding(), expected)
    is_close(second.embedding(), expected)


def test_a_second_window_needs_no_more_memory_and_no_more_plans(make, tokens, expected):
    device = StandInDevice()
    backend, _ = make(device)
    is_close(backend.run(tokens), expected)
    builds, used, blocks = list(device.builds), device.used, len(device.blocks)
    is_close(backend.run(tokens), expected)
    assert (device.builds, device.used, len(device.blocks)) == (builds, used, blocks)


def test_the_next_process_builds_nothing(make, tokens, expected):
    make(StandInDevice())[0].run(tokens)
    device = StandInDevice()
    backend, told = make(device)
    is_close(backend.run(tokens), expected)
    assert (device.builds, told) == ([], [])


def test_a_limit_of_device_memory_makes_batches_smaller(make, tokens, expected):
    device = StandInDevice()
    backend, _ = make(device)
    largest = backend._largest
    backend.limit_device_memory(20 * MB)
    assert LEAST_TOKENS <= backend._largest < largest
    is_close(backend.run(tokens), expected)
    assert device.peak <= 20 * MB


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"driver": "560.1 (CUDA 12.6)"}, "its driver is 540.4.0"),
        ({"runtime": "TensorRT 10.13.0"}, "its runtime is TensorRT 10.3.0, here it is TensorRT 10.13.0"),
        ({"capability": "9.0"}, "its capability is 8.7, here it is 9.0"),
    ],
)
def test_stale_plans_are_built_again_and_the_reason_is_announced(make, tokens, expected, change, reason):
    first = make(StandInDevice())[0]
    first.run(tokens)
    device = StandInDevice(facts=FACTS._replace(**change))
    backend, told = make(device)
    is_close(backend.run(tokens), expected)
    assert device.builds
    stale = [line for line in told if "can't be used" in line]
    assert len(stale) == len(device.builds)
    assert all(reason in line and "\n" not in line for line in stale)
    # and they are there from then on
    again = StandInDevice(facts=device.facts)
    make(again)[0].run(tokens)
    assert again.builds == []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[:-1], "it is damaged"),
        (lambda content: content[:-50] + bytes([content[-50] ^ 1]) + content[-49:], "it is damaged"),
        (lambda content: content[:30], "it can't be read"),
        (lambda content: b"", "engine version"),
        (lambda content: content.replace(b" plan 1\n", b" plan 0\n"), "engine version"),
        (lambda content: content.replace(b'"model": "', b'"model": "0'), "its model is 0"),
        (lambda content: content.replace(b'"gpu"', b'"gpv"'), "it can't be read"),
    ],
)
def test_damaged_and_foreign_plans_never_reach_the_runtime(make, tokens, expected, damage, reason):
    backend, _ = make(StandInDevice())
    backend.run(tokens)
    for path in backend._plans.folder.glob("*.plan"):
        path.write_bytes(damage(path.read_bytes()))
    device = StandInDevice()
    again, told = make(device)
    is_close(again.run(tokens), expected)
    assert device.builds
    assert any(reason in line for line in told)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other rights")
def test_plans_that_others_could_have_written_never_reach_the_runtime(make, tokens, expected, tmp_path):
    make(StandInDevice())[0].run(tokens)
    folder = tmp_path / "plans"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o770)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    device = StandInDevice()
    again, told = make(device)
    is_close(again.run(tokens), expected)
    assert len(device.builds) == len(list(folder.glob("*.plan")))
    assert device.timings_given[0] == b""
    assert any("other users" in line and "building it again" in line for line in told)
    assert any("isn't kept" in line and str(folder) in line for line in told)
    assert before == {path: path.read_bytes() for path in folder.iterdir()}
    folder.chmod(0o700)
    device = StandInDevice()
    make(device)[0].run(tokens)
    assert device.builds == []


def test_a_plan_that_the_runtime_refuses_is_built_again(make, tokens, expected):
    make(StandInDevice())[0].run(tokens)
    device = StandInDevice()
    device.refuses = "version tag does not match"
    build = device.build
    device.build = lambda *given: (setattr(device, "refuses", None), build(*given))[1]
    backend, told = make(device)
    is_close(backend.run(tokens), expected)
    assert "TensorRT 10.3.0 refuses it (version tag does not match); building it again" in told[0]


def test_timings_serve_the_next_build_of_the_same_device_only(make, tokens, tmp_path):
    make(StandInDevice())[0].run(tokens)
    for path in (tmp_path / "plans").glob("*.plan"):
        path.unlink()
    same, other = StandInDevice(), StandInDevice(facts=FACTS._replace(driver="1"))
    make(same)[0].run(tokens)
    make(other)[0].run(tokens)
    assert same.timings_given[0].startswith(b"timings of")
    assert other.timings_given[0] == b""
    for path in (tmp_path / "plans").glob("*.timings"):
        path.write_bytes(path.read_bytes()[:-1])
    for path in (tmp_path / "plans").glob("*.plan"):
        path.unlink()
    third = StandInDevice()
    make(third)[0].run(tokens)
    assert third.timings_given[0] == b""


def test_a_plan_that_cannot_be_kept_is_still_used(make, tokens, expected, tmp_path):
    (tmp_path / "plans").write_text("a file where the folder should be")
    backend, told = make(StandInDevice())
    is_close(backend.run(tokens), expected)
    assert any("can't be kept" in line for line in told)


def test_nothing_half_written_has_a_plans_name(make, tokens, monkeypatch, tmp_path):
    def fail(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plans, "sync_file", fail)
    backend, told = make(StandInDevice())
    backend.run(tokens)
    assert list((tmp_path / "plans").iterdir()) == []
    assert any("No space left on device" in line for line in told)


def test_out_of_memory_halves_the_batch_and_continues(make, tokens, expected):
    device = StandInDevice()
    backend, told = make(device)
    backend.prepare(tokens)
    device.total = MB  # another program took the rest
    is_close(backend.run(tokens), expected)
    halved = [line for line in told if "is out of memory" in line]
    assert halved
    assert "NVIDIA Stand-in 1 is out of memory" in halved[0]
    assert backend._limit * WORK_BYTES_A_TOKEN < MB
    assert device.peak <= MB
    builds = len(device.builds)
    is_close(backend.run(tokens), expected)  # it stays so, without another plan
    assert len([line for line in told if "is out of memory" in line]) == len(halved)
    assert len(device.builds) == builds


def test_where_smaller_batches_take_as_much_memory_the_plan_gets_smaller(make, tokens, expected):
    device = StandInDevice(resizes=False)
    backend, told = make(device)
    backend.prepare(tokens)
    assert all(shape.tokens > 10_000 for shape in device.builds)
    device.total = 8 * MB
    is_close(backend.run(tokens), expected)
    assert device.peak <= 8 * MB
    assert device.builds[-1].tokens <= 4000
    assert all("is out of memory" in line or line.startswith("building") for line in told)


def test_out_of_memory_while_building_makes_a_smaller_plan(make, tokens, expected):
    device = StandInDevice(total=1000 * MB, build_bytes_a_token=100_000)
    backend, told = make(device)
    is_close(backend.run(tokens), expected)
    assert all(shape.tokens <= 10_000 for shape in device.builds)
    assert any("is out of memory" in line for line in told)


def test_too_little_memory_for_a_pixel_is_one_line(make, tokens):
    device = StandInDevice()
    backend, _ = make(device)
    backend.prepare(tokens)
    device.total = 100_000
    with pytest.raises(TesseraError, match=r"0 of 0 MB free.* demo \(fp32\).*device=cpu") as error:
        backend.run(tokens)
    assert "\n" not in str(error.value)


def test_a_failed_batch_is_an_error(make, tokens):
    """An error behind the copies comes out when the stream is synchronised."""
    device = StandInDevice()
    backend, _ = make(device)
    backend.prepare(tokens)

    def fail():
        raise DeviceError("an illegal memory access was encountered")

    device.streams[1].append(fail)
    with pytest.raises(
        DeviceError, match=r"Stand-in 1 stopped working: an illegal memory access.*kept.*same command"
    ):
        backend.run(tokens)


def test_longer_pixels_than_the_sample_had_get_a_plan(make, model, tokens, expected):
    device = StandInDevice()
    backend, told = make(device)
    reader = FakeReader(made_up_arrays(4, 4, steps=5, seed=3))
    backend.prepare(pack(reader.read(reader.grid.window), model.facts).tokens)
    builds = len(device.builds)
    is_close(backend.run(tokens), expected)
    assert len(device.builds) > builds
    assert any("longer" in line for line in told)


def test_sizes_follow_memory(model):
    sizes = [most_tokens(memory, model.facts) for memory in (0, MB, 500 * MB, 8000 * MB, 80_000 * MB)]
    assert sizes[0] == LEAST_TOKENS
    assert sizes[-1] == MOST_TOKENS
    assert sizes == sorted(sizes)
    assert all(size & (size - 1) == 0 for size in sizes)
