"""The whole command, as a user runs it: how long, and with how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio

from tessera_engine.simulate import simulate

PACKAGES = [str(Path(__file__).parents[1] / room) for room in ("engine", "kernels")]


def run_embed(scene: Path, out: Path, *options: str) -> tuple[dict, int]:
    """Run the command. Returns its JSON and its peak memory in bytes."""
    command = [
        sys.executable,
        "-m",
        "tessera_engine",
        "embed",
        str(scene),
        "-o",
        str(out),
        "--json",
        "--quiet",
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(PACKAGES)}
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, env=environment) as process:
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return json.loads(said), used.ru_maxrss * 1024


@pytest.mark.parametrize("pixels", [128, 256, 512, 1024])
def test_embed(benchmark, tmp_path, pixels):
    """The demo model in int8: nano's shape."""
    simulate(tmp_path / "scene", pixels, seed=5)
    run_embed(tmp_path / "scene", tmp_path / "warm", "--int8", "--window", "0", "0", "16", "16")
    found = benchmark.pedantic(run_embed, (tmp_path / "scene", tmp_path / "out", "--int8"), rounds=1)
    said, memory = found
    with rasterio.open(tmp_path / "out" / "embeddings.tif") as file:
        assert (file.width, file.height, file.count, file.dtypes[0]) == (pixels, pixels, 128, "int8")
        assert (file.read(1) != file.nodata).sum() == said["with_data"] > 0.99 * pixels**2
    total = sum(said["seconds"].values())
    benchmark.extra_info.update(
        edge=pixels,
        memory=memory,
        pixels_per_second=said["pixels"] / total,
        shares={stage: seconds / total for stage, seconds in said["seconds"].items()},
    )
