"""What `make bench-gpu` measures, run without a GPU: on the stand-in device, on made-up backends, on recorded lines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from fake_backend import FakeBackend, missing_backend
from gpu_measures import determinism, drift, memory_ceiling, speeds
from made_up import FakeReader, made_up_arrays
from places import ROOT
from power import Sampler, nvidia_smi_watts, tegrastats_watts
from standin_device import StandInDevice

from tessera_engine.backends.choosing import make_backend
from tessera_engine.backends.gpu.found import look
from tessera_engine.backends.tensorrt import TensorRtBackend
from tessera_engine.model.installed import open_model
from tessera_engine.tokens import pack

READER = FakeReader(made_up_arrays(6, 6, steps=12))
OBSERVATIONS = READER.read(READER.grid.window)

ORIN_NANO = (
    "11-25-2026 10:12:55 RAM 3181/7620MB (lfb 4x1MB) SWAP 0/3810MB (cached 0MB) CPU [12%@1510,5%@1510,0%@1510,"
    "9%@1510,off,off] EMC_FREQ 4%@2133 GR3D_FREQ 96%@[624] VIC_FREQ 729 APE 200 cpu@51.2C soc2@50.1C gpu@52.6C "
    "tj@52.6C VDD_IN 9837mW/7123mW VDD_CPU_GPU_CV 4521mW/2901mW VDD_SOC 1880mW/1702mW"
)
AGX_ORIN = (
    "RAM 5213/62796MB CPU [4%@729] GR3D_FREQ 88% VDD_GPU_SOC 14385mW/9122mW VDD_CPU_CV 1598mW/1200mW "
    "VIN_SYS_5V0 5040mW/4032mW"
)


@pytest.fixture(scope="module")
def device():
    return StandInDevice()


@pytest.fixture(scope="module")
def backend(device, tmp_path_factory):
    return TensorRtBackend(
        open_model("demo", "fp32"), device, lambda line: None, tmp_path_factory.mktemp("plans")
    )


def test_watts_of_nvidia_smi():
    assert nvidia_smi_watts("61.42\n") == 61.42
    assert nvidia_smi_watts("[N/A]\n") is None
    assert nvidia_smi_watts("No devices were found\n") is None


def test_watts_of_tegrastats():
    assert tegrastats_watts(ORIN_NANO) == 9.837
    assert tegrastats_watts(AGX_ORIN) == pytest.approx(14.385 + 1.598 + 5.040)
    assert tegrastats_watts("RAM 5213/62796MB CPU [4%@729]") is None


def printing(*lines):
    """A tool that prints these again and again; a shell, because it begins at once."""
    return (
        "sh",
        "-c",
        f"while true; do printf '{'%s;' * len(lines)}' {' '.join(lines)} | tr ';' '\\n'; sleep 0.05; done",
    )


def test_a_sampler_averages_what_a_tool_prints():
    with Sampler((printing("10", "N/A", "20"), nvidia_smi_watts)) as power:
        deadline = time.monotonic() + 20
        while len(power.watts) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert len(power.watts) >= 4
    assert set(power.watts) == {10.0, 20.0}
    assert power.joules == pytest.approx(power.seconds * np.mean(power.watts))
    assert 10 <= power.joules / power.seconds <= 20


def test_drift_determinism_and_memory(backend, device):
    model = open_model("demo", "fp32")
    tokens = pack(OBSERVATIONS, model.facts).tokens
    assert drift(make_backend(model, "onnxruntime", 1, "cpu"), backend, tokens).max_difference < 1e-4
    found = determinism(backend, tokens)
    assert found["same_bits_again"]
    assert found["max_difference_in_other_batches"] < 1e-4
    memory = memory_ceiling(device.memory, backend, tokens)
    assert memory["later_runs"] == 0
    assert memory["total"] == device.total


def test_a_backend_that_changes_its_mind_is_found(backend):
    class Moody(FakeBackend):
        def _run(self, tokens):
            return super()._run(tokens) + len(self.pixels_run)

    tokens = pack(OBSERVATIONS, backend.model.facts).tokens
    assert not determinism(Moody(), tokens)["same_bits_again"]


def test_speeds_and_energy():
    makers = {"base": FakeBackend, "other": partial(FakeBackend), "absent": missing_backend}
    found = speeds(
        makers, ["base", "absent"], OBSERVATIONS, threads=1, rounds=2,
        tool=(printing("50.0"), nvidia_smi_watts), energy_seconds=0.5,
    )  # fmt: skip
    assert "pip install" in found["absent"]["missing"]
    for name in ("base", "other"):
        row = found[name]
        assert row["seconds_a_km2"] == pytest.approx(10_000 / row["pixels_per_second"])
        assert row["power_from"] == "sh"
        assert row["watts"] == pytest.approx(50)
        assert row["joules_a_km2"] > 0
        assert row["drift"]["max_difference"] == 0


def test_without_a_tool_energy_is_not_made_up():
    found = speeds({"base": FakeBackend}, ["base"], OBSERVATIONS, 1, 1, None, energy_seconds=0)
    assert (found["base"]["power_from"], found["base"]["joules_a_km2"]) == (None, None)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("cc") is None or sys.platform != "linux", reason="needs a C compiler on Linux"
)
def test_the_gpu_tests_themselves_run_over_stand_ins(tmp_path):
    """All but speed: other processes time that, and they have no stand-ins."""
    root, report = ROOT, tmp_path / "gpu.json"
    source = root / "tests" / "engine" / "gpu" / "standin_driver.c"
    subprocess.check_call(["cc", "-shared", "-fPIC", "-w", "-o", tmp_path / "libcuda_standin.so", source])
    (tmp_path / "stand_ins.py").write_text(
        "import sys, standin_tensorrt\n"
        "from tessera_engine.backends.gpu import cuda\n"
        f"cuda.LIBRARY = {str(tmp_path / 'libcuda_standin.so')!r}\n"
        "sys.modules['tensorrt'] = standin_tensorrt\n"
        "import test_gpu\n"
        "test_gpu.WINDOW_PIXELS = 128\n"
        "export_all = test_gpu.export_all\n"
        "test_gpu.export_all = lambda checkpoint, folder: export_all(checkpoint, folder, ('fp32',))\n"
    )
    path = os.pathsep.join(
        [
            str(tmp_path),
            *(str(root / name) for name in ("engine", "export", "kernels", "tests", "benchmarks")),
        ]
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "stand_ins", "-k", "tensorrt and not speed and not fp16 and not qdq and not nano", "benchmarks/test_gpu.py"],
        cwd=root, env=os.environ | {"PYTHONPATH": path, "TESSERA_GPU_JSON": str(report), "TESSERA_ENGINE_HOME": str(tmp_path)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert sorted(found["conformance"]) == ["tensorrt tiny", "tensorrt tiny_qknorm"]
    assert found["drift"]["tensorrt fp32"]["max_difference"] < 1e-4
    assert found["determinism"]["tensorrt fp32"]["same_bits_again"]
    assert found["memory"]["tensorrt fp32"]["first_run"] > 0


@pytest.mark.slow
@pytest.mark.skipif(look().gpu.version is not None, reason="there is a GPU: its tests run")
def test_without_a_gpu_all_is_skipped_and_says_why(tmp_path):
    root = ROOT
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-m", "gpu", "benchmarks/test_gpu.py"],
        cwd=root, env={**os.environ, "TESSERA_GPU_JSON": str(tmp_path / "gpu.json")},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "no GPU: there is no NVIDIA driver on this machine" in done.stdout
    assert not (tmp_path / "gpu.json").exists()
