"""ONNX Runtime on a GPU, over a stand-in of the device, and its real bindings over the stand-in of the driver."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import onnxruntime
import pytest
from made_up import FakeReader, made_up_arrays
from standin_device import StandInDevice
from standin_sessions import open_standins

from tessera_engine.backends.choosing import make_backend
from tessera_engine.backends.gpu import cuda, sessions
from tessera_engine.backends.gpu.device import DeviceError
from tessera_engine.backends.gpu.providers import CPU, CUDA, LARGEST, TENSORRT, Provider, choose_provider
from tessera_engine.backends.gpu.sessions import SessionBackend
from tessera_engine.backends.onnxruntime import session_options
from tessera_engine.errors import InputError, ModelError, TesseraError
from tessera_engine.model.installed import open_model
from tessera_engine.tokens import pack


@pytest.fixture(scope="module")
def model():
    return open_model("demo", "fp32")


@pytest.fixture(scope="module")
def tokens(model):
    reader = FakeReader(made_up_arrays(6, 6, steps=20))
    return pack(reader.read(reader.grid.window), model.facts).tokens


@pytest.fixture(scope="module")
def expected(model, tokens):
    return make_backend(model, "onnxruntime", 1).run(tokens)


@pytest.fixture
def make(model, monkeypatch):
    """A backend on a device, its session, and what it said."""

    def backend(device, provider=CUDA):
        opened, told = open_standins(monkeypatch, device), []
        made = SessionBackend(
            model, session_options(1), choose_provider("fp32", [provider]), device, told.append
        )
        return made, opened, told

    return backend


def test_embeddings_are_those_of_the_cpu(make, tokens, expected):
    device = StandInDevice()
    backend, (session,), _ = make(device)
    backend._limit = 1024
    np.testing.assert_allclose(backend.run(tokens), expected, atol=2e-5)
    assert len(device.shapes_run) == 3
    assert all(pixels * (s2 + s1) <= 1024 for pixels, s2, s1 in device.shapes_run)
    (name, options), _ = session.asked
    assert (name, backend.computes_on) == (CUDA, CUDA)
    assert options["user_compute_stream"] == "1"
    assert options["use_tf32"] == "0"
    codes = backend.start(tokens, 16).codes()
    assert codes.codes.shape == (len(tokens), 16)


def test_the_host_queues_the_next_batch_before_it_waits(make, tokens):
    device = StandInDevice()
    backend, _, _ = make(device)
    backend._limit = 512
    done, synchronise = [], device.synchronise
    device.synchronise = lambda stream: (done.append(len(device.shapes_run)), synchronise(stream))
    pending = backend.start(tokens)
    assert done[0] == 2  # two batches are queued when the first is waited for
    assert device.streams[1]  # and the last is still in progress
    pending.embedding()
    assert not device.streams[1]


def test_out_of_memory_halves_the_batch(make, tokens, expected):
    device = StandInDevice()
    backend, opened, told = make(device)
    backend.limit_device_memory(10**9)
    (_, options), _ = opened[-1].asked
    assert options["gpu_mem_limit"] == "1000000000"
    opened[-1].most_pixels = 9
    np.testing.assert_allclose(backend.run(tokens), expected, atol=2e-5)
    assert told
    assert all(CUDA in line and "out of memory" in line for line in told)
    assert device.used < 10**6
    opened[-1].most_pixels = 0
    with pytest.raises(TesseraError, match=r"too little for one pixel.*demo.*requested buffer.*device=cpu"):
        backend.run(tokens)


def test_a_model_that_cannot_be_run_is_an_error_that_says_so(make, tokens):
    backend, (session,), _ = make(StandInDevice())
    session.fails_with = RuntimeError("[ONNXRuntimeError] : 1 : FAIL : shapes do not fit\nmore")
    with pytest.raises(ModelError, match=r"can't run .*demo.*shapes do not fit.*export the model again"):
        backend.run(tokens)


def test_a_lost_gpu_is_an_error_that_says_what_to_do(make, tokens):
    device = StandInDevice()
    backend, _, _ = make(device)

    def fail():
        raise DeviceError("cuStreamSynchronize failed: CUDA_ERROR_LAUNCH_FAILED (719)")

    pending = backend.start(tokens)
    device.streams[1].append(fail)
    with pytest.raises(DeviceError, match=rf"{CUDA} stopped working: .*\(719\); .*kept.*same command"):
        pending.wait()


def test_the_tensorrt_provider_takes_the_stream_and_its_one_profile(model, tokens, monkeypatch):
    device = StandInDevice()
    opened, provider = open_standins(monkeypatch, device), Provider(TENSORRT, {"trt": "1"})
    backend = SessionBackend(model, session_options(1), provider, device, print)
    backend.run(tokens)
    (name, options), _ = opened[-1].asked
    assert (name, options) == (TENSORRT, {"trt": "1", "user_compute_stream": "1"})
    assert all(pixels <= LARGEST.pixels for pixels, _, _ in device.shapes_run)
    with pytest.raises(InputError, match=f"{TENSORRT} has no limit"):
        backend.limit_device_memory(10**9)


def test_without_a_provider_the_error_says_what_to_install(model, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    with pytest.raises(InputError, match=rf"no GPU provider.*{CPU}.*onnxruntime-gpu"):
        make_backend(model, "onnxruntime", 1, "cuda")


@pytest.mark.skipif(
    shutil.which("cc") is None or sys.platform != "linux", reason="needs a C compiler on Linux"
)
def test_its_real_bindings_take_the_addresses(driver, model, tokens, expected, monkeypatch):
    """The stand-in driver's memory is this machine's, so that ONNX Runtime can bind it as the CPU's."""
    monkeypatch.setattr(sessions, "DEVICE", ("cpu", 0))
    backend, told = SessionBackend(model, session_options(1), Provider(CPU, {}), cuda.Cuda(), print), []
    backend._limit = 1024
    np.testing.assert_allclose(backend.run(tokens), expected, atol=2e-5)
    backend._announce = told.append
    driver.standin_set_total(driver.standin_used() + 100)
    backend._limit = 1 << 15
    np.testing.assert_allclose(backend.run(tokens), expected, atol=2e-5)
    assert all("out of memory" in line for line in told)
    assert told
