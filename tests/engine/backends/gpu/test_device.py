"""Our code for TensorRT and the CUDA driver, run over stand-ins of both: a compiled driver, and a `tensorrt` module."""

from __future__ import annotations

import importlib
import shutil
import sys
import threading

import numpy as np
import pytest
import standin_tensorrt
from made_up import FakeReader, made_up_arrays

from tessera_engine.backends.choosing import make_backend
from tessera_engine.backends.gpu import cuda
from tessera_engine.backends.gpu.batching import Shape
from tessera_engine.backends.gpu.device import DeviceError, OutOfDeviceMemory, PlanRefused
from tessera_engine.backends.tensorrt import TensorRtBackend
from tessera_engine.errors import InputError
from tessera_engine.model.file import read_content
from tessera_engine.model.installed import open_model
from tessera_engine.tokens import pack

pytestmark = [
    pytest.mark.skipif(
        shutil.which("cc") is None, reason="no C compiler to make the stand-in of the driver with"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="the stand-in of the driver is made for Linux"),
]


@pytest.fixture
def tensorrt(driver, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", standin_tensorrt)
    monkeypatch.delitem(sys.modules, "tessera_engine.backends.gpu.tensorrt_api", raising=False)
    yield importlib.import_module("tessera_engine.backends.gpu.tensorrt_api")
    sys.modules.pop("tessera_engine.backends.gpu.tensorrt_api", None)
    # Else `from ... import` would still find it
    vars(sys.modules["tessera_engine.backends.gpu"]).pop("tensorrt_api", None)


def test_the_driver_says_what_it_is(driver):
    gpu = cuda.Cuda()
    assert (gpu.name, gpu.capability, gpu.integrated) == ("Stand-in driver", "8.7", False)
    assert gpu.driver.endswith("CUDA 12.6")
    assert gpu.memory() == (1 << 30, 1 << 30)


def test_copies_there_and_back(driver):
    gpu = cuda.Cuda()
    stream, address = gpu.make_stream(), gpu.allocate(1000)
    there, back = gpu.pinned(1000), gpu.pinned(1000)
    there[:] = np.arange(1000) % 251
    back[:] = 0
    gpu.copy_in(address, there, stream)
    gpu.copy_out(back, address, stream)
    gpu.synchronise(stream)
    np.testing.assert_array_equal(back, there)
    assert gpu.memory().free == (1 << 30) - 1000
    gpu.free(address)
    gpu.unpin(there)
    gpu.unpin(back)
    assert driver.standin_used() == 0


def test_another_thread_can_use_it_too(driver):
    gpu = cuda.Cuda()
    found = []
    thread = threading.Thread(target=lambda: found.append(gpu.allocate(10)))
    thread.start()
    thread.join()
    gpu.free(found[0])


def test_out_of_memory_is_distinguished_from_other_errors(driver):
    gpu = cuda.Cuda()
    with pytest.raises(OutOfDeviceMemory, match=r"cuMemAlloc_v2 failed: CUDA_ERROR_OUT_OF_MEMORY \(2\)"):
        gpu.allocate(1 << 31)
    with pytest.raises(DeviceError, match="CUDA_ERROR_INVALID_VALUE") as error:
        gpu.free(12345)
    assert not isinstance(error.value, OutOfDeviceMemory)


def test_a_missing_driver_or_gpu_is_an_error(monkeypatch, driver):
    monkeypatch.setenv("STANDIN_NO_GPU", "1")
    with pytest.raises(DeviceError, match=r"no GPU.*CUDA_VISIBLE_DEVICES"):
        cuda.Cuda()
    monkeypatch.setattr(cuda, "LIBRARY", "libcuda_that_is_nowhere.so")
    with pytest.raises(DeviceError, match=r"libcuda_that_is_nowhere.*missing.*install NVIDIA's driver"):
        cuda.Cuda()


def test_the_drivers_own_version_is_found(tmp_path):
    path = tmp_path / "version"
    path.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (x@y)\nGCC version:  11.4\n"
    )
    assert cuda._driver(12060, path) == "540.4.0 (CUDA 12.6)"
    path.write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug 16 21:39:15 UTC 2024\n"
    )
    assert cuda._driver(13000, path) == "560.35.03 (CUDA 13.0)"
    assert cuda._driver(12060, tmp_path / "nowhere") == "CUDA 12.6"


def test_embeddings_through_all_of_it(tensorrt, driver, tmp_path):
    model = open_model("demo", "fp32")
    reader = FakeReader(made_up_arrays(6, 7, steps=30))
    tokens = pack(reader.read(reader.grid.window), model.facts).tokens
    told = []
    backend = TensorRtBackend(model, tensorrt.TensorRtDevice(), told.append, tmp_path)
    backend._limit = 1024
    expected = make_backend(model, "onnxruntime", 1).run(tokens)
    np.testing.assert_allclose(backend.run(tokens), expected, atol=2e-5)
    assert backend.description == "tensorrt 10.3.0 (Stand-in driver)"
    assert told
    again = TensorRtBackend(model, tensorrt.TensorRtDevice(), told.append, tmp_path)
    told.clear()
    driver.standin_set_total(driver.standin_used() + 400_000)
    np.testing.assert_allclose(again.run(tokens), expected, atol=2e-5)
    assert "out of memory" in told[0]
    assert all("out of memory" in line or line.startswith("building") for line in told)


def test_what_tensorrt_only_logs_becomes_the_error(tensorrt, monkeypatch):
    device, model = tensorrt.TensorRtDevice(), read_content(open_model("demo", "fp32"))
    shape = Shape(4, 32, 32)
    monkeypatch.setattr(
        standin_tensorrt.Builder, "fails_with", "[x.cpp::y::12] Error Code 9:\nno kernel for it"
    )
    with pytest.raises(DeviceError, match=r"10\.3\.0 .*Error Code 9: no kernel for it$") as error:
        device.build(model, shape, b"")
    assert not isinstance(error.value, OutOfDeviceMemory)
    monkeypatch.setattr(
        standin_tensorrt.Builder, "fails_with", "Error Code 2: OutOfMemory (Requested size was 9 bytes.)"
    )
    with pytest.raises(OutOfDeviceMemory):
        device.build(model, shape, b"")
    with pytest.raises(DeviceError, match="no importer registered for this operator"):
        device.build(b"broken", shape, b"")
    with pytest.raises(PlanRefused, match="magic tag does not match"):
        device.load(b"what is that")


def test_foreign_timings_are_not_used(tensorrt):
    device, model = tensorrt.TensorRtDevice(), read_content(open_model("demo", "fp32"))
    for timings in (b"", b"timings", b"of another GPU"):
        assert device.build(model, Shape(4, 32, 32), timings).timings == b"timings"


def test_a_batch_beyond_the_profile_is_an_error(tensorrt):
    device, model = tensorrt.TensorRtDevice(), read_content(open_model("demo", "fp32"))
    runner = device.load(device.build(model, Shape(4, 32, 32), b"").plan).make_runner()
    with pytest.raises(DeviceError, match=r"s2 of shape \(5, 32, 10\)"):
        runner.fit(tensorrt.input_shapes(Shape(5, 32, 32)))


def test_an_old_tensorrt_is_refused(tensorrt, monkeypatch):
    monkeypatch.setattr(tensorrt, "VERSION", "8.6.2")
    with pytest.raises(InputError, match=r"8\.6\.2 .*10\.3 or later"):
        tensorrt.TensorRtDevice()
