"""What `make bench-gpu` measures, run without a GPU: on the stand-in device, on made-up backends, on recorded lines."""

from __future__ import annotations

import json
import time
import zipfile
from types import SimpleNamespace

import gpu_kit
import gpu_report
import numpy as np
import pytest
from fake_backend import FakeBackend
from gpu_measures import Launches, determinism, drift, energy, memory_ceiling, speed
from guarded import Skip, Stages
from made_up import FakeReader, made_up_arrays
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


def test_speed_and_energy():
    found = speed(lambda: time.sleep(0.01), 500, rounds=3)
    assert found["slowest"] <= found["pixels_per_second"] <= found["fastest"] < 50_000
    assert found["seconds_a_km2"] == pytest.approx(10_000 / found["pixels_per_second"])
    row = energy(lambda: time.sleep(0.05), 100, (printing("50.0"), nvidia_smi_watts), 0.5)
    assert (row["power_from"], row["watts"]) == ("sh", pytest.approx(50))
    assert row["joules_a_km2"] > 0
    # Without a tool energy is not made up
    row = energy(lambda: None, 1, None, 0.0)
    assert (row["power_from"], row["joules_a_km2"]) == (None, None)


def test_launches_are_run_again_without_the_host():
    calls = []
    device = SimpleNamespace(
        name="gpu", launch=lambda *given: calls.append(given), synchronise=lambda stream: calls.append(stream)
    )
    launches = Launches(device)
    assert launches.name == "gpu"
    launches.launch("encode", 3, [], 1)
    launches.launch("fuse", 3, [], 2)
    calls.clear()
    launches.again()
    assert calls == [("encode", 3, [], 1), ("fuse", 3, [], 2), 1, 2]


def test_stages_are_on_the_disk_one_by_one(tmp_path, capsys):
    out = tmp_path / "gpu.json"
    stages = Stages(out, budget=1000)

    def fail():
        raise ZeroDivisionError("no pixels")

    def absent():
        raise Skip("no GPU")

    for name, measure in (("good", lambda: {"a": np.float32(1)}), ("bad", fail), ("absent", absent)):
        stages.run(name, measure)
        assert name in json.loads(out.read_text())["stages"]
    found = json.loads(out.read_text())["stages"]
    assert found["good"]["result"] == {"a": 1}
    assert "ZeroDivisionError: no pixels" in found["bad"]["error"]
    assert found["absent"]["skipped"] == "no GPU"
    assert stages.failed == ["bad"]
    assert capsys.readouterr().out.count("\n") == 3
    late = Stages(out, budget=1)
    assert late.run("late", lambda: 1) is None
    assert late.found["late"]["skipped"] == "no time is left"


@pytest.mark.skipif(look().gpu.version is not None, reason="there is a GPU")
def test_without_a_gpu_every_stage_says_so(tmp_path):
    pytest.importorskip("torch")
    import gpu

    assert gpu.main([str(tmp_path / "gpu.json"), "--tiny"]) == 0
    stages = json.loads((tmp_path / "gpu.json").read_text())["stages"]
    assert stages.pop("machine")["result"]["gpu"] is None
    assert len(stages) > 10
    assert all("no GPU: there is no NVIDIA driver" in row["skipped"] for row in stages.values())


def test_the_pages_have_what_was_measured():
    for path, text in gpu_report.pages().items():
        assert path.read_text(encoding="utf-8") == text, "run: python benchmarks/gpu_report.py"


def test_tables_come_from_the_results():
    speed_row = {"pixels_per_second": 1_234_567.0, "seconds_a_km2": 0.0081}
    found = {
        "stages": {
            "machine": {
                "result": {"gpu": "NVIDIA H100, compute capability 9.0", "cpus": 16, "torch": "2.13"}
            },
            "speed: nano cuda": {
                "result": {"whole": speed_row, "launches_alone": speed_row, "energy": {"joules_a_km2": 4.25}}
            },
            "speed: large torch packed fp16": {
                "result": {
                    "pixels_per_second": 60_000.0,
                    "seconds_a_km2": 0.167,
                    "drift": {"centred_mean": 0.99998},
                }
            },
            "speed: small cuda": {"error": "broken"},
            "right: cuda fp32": {
                "result": {
                    "drift": {"max_difference": 1.5e-3, "centred_mean": 0.99999},
                    "same_bits_again": True,
                    "max_difference_in_other_batches": 0.0,
                }
            },
            "run: cuda int8": {
                "result": {"pixels_per_second": 3e5, "shares": {"network": 0.8, "write": 0.001}}
            },
        }
    }
    page = gpu_report.page(found)
    assert "| nano cuda | 1,234,567 | 1,234,567 | 0.0081 | 4.2 |  |" in page
    assert "| large torch packed fp16 | 60,000 |  | 0.167 |  | 2.0e-05 |" in page
    assert "| cuda fp32 | 1.5e-03 | 1.0e-05 | yes | the same |" in page
    assert "| cuda int8 | 300,000 | network 80% |" in page
    assert "failed: speed: small cuda" in page
    assert gpu_report.line(found) == "On NVIDIA H100: 1,234,567 px/s (nano cuda)."
    assert gpu_report.NOT_YET in gpu_report.page(None)
    assert gpu_report.put(f"a\n{gpu_report.BEGIN}\nold\n{gpu_report.END}\nb", "new") == (
        f"a\n{gpu_report.BEGIN}\nnew\n{gpu_report.END}\nb"
    )


def test_the_kit_brings_what_a_machine_lacks(tmp_path, monkeypatch):
    made = []

    def wheel(name, *needs):
        path = tmp_path / "kit" / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            lines = "".join(f"Requires-Dist: {each}\n" for each in needs)
            archive.writestr(
                f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\n{lines}\n"
            )
        return path

    def fetch(name, out):
        made.append(name)
        return wheel(
            name, *{"rasterio": ["affine", "click>=4", "numpy", "boto3; extra == 's3'"]}.get(name, [])
        )

    monkeypatch.setattr(
        gpu_kit, "pip", lambda *words: wheel("engine", "rasterio>=1", "NumPy", "old; python_version < '3.12'")
    )
    monkeypatch.setattr(gpu_kit, "fetch", fetch)
    wheels = gpu_kit.fill(tmp_path / "kit", gpu_kit.names_in(["# comment", "numpy==2.1", "Click"]))
    assert sorted(made) == ["affine", "rasterio"]
    assert sorted(each.name.split("-")[0] for each in wheels) == ["affine", "rasterio"]
    assert (tmp_path / "kit" / "engine-1.0.dist-info" / "METADATA").exists()
    with pytest.raises(SystemExit, match="not empty"):
        gpu_kit.fill(tmp_path / "kit", set())
