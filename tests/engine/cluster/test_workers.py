"""Workers that differ from each other, in processes of their own: who takes part, and what the output says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import pytest
from places import ROOT
from two_zones import write_six_tiles

from tessera_kernels.encoder.isa import available

SAME_BITS, OTHER_BITS = ("avx2", "avx-vnni"), "plain"

OLDER = "import tessera_engine.version as v; v.__version__ = '0.0.1'"

OTHER_MODEL = """
import tessera_engine.cluster.worker as w
from tessera_engine.model.installed import open_model
w.open_model = lambda *given: open_model("demo", "fp32")
"""

BROKEN = """
import tessera_engine.cluster.worker as w
def again(*given):
    again(*given)
w.open_model = again
"""
"""An error that Dask can't send."""


@contextmanager
def started(address, folder, name, isa=SAME_BITS[0], preload=""):
    """A worker of `dask worker`, with something else on its machine."""
    script = folder / f"{name}.py"
    script.write_text(preload)
    rooms = os.pathsep.join(str(ROOT / room) for room in ("engine", "export", "kernels"))
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
    command += ["--no-dashboard", "--name", name, "--preload", str(script), "--local-directory", str(folder)]
    environment = os.environ | {"PYTHONPATH": rooms, "TESSERA_ENGINE_ISA": isa}
    worker = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.slow
@pytest.mark.skipif(
    not {*SAME_BITS, OTHER_BITS} <= set(available()), reason="this CPU has too few instruction sets"
)
def test_workers_that_do_not_fit_are_named_and_instruction_sets_are_recorded(run, monkeypatch, tmp_path):
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    monkeypatch.setenv("TESSERA_ENGINE_ISA", SAME_BITS[0])
    tiles = write_six_tiles(tmp_path / "six")
    options = ("--year", "2021", "--int8", "--format", "zarr", "--quiet")
    assert run("embed", tiles, "-o", "one", *options)[0] == 0
    (tmp_path / "machine").mkdir()
    with ExitStack() as stack:
        cluster = stack.enter_context(
            distributed.LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None, silence_logs=50)
        )
        address = cluster.scheduler_address
        for name, what in {
            "a": {"isa": SAME_BITS[0]},
            "b": {"isa": SAME_BITS[1]},
            "plain": {"isa": OTHER_BITS},
            "older": {"preload": OLDER},
            "model": {"preload": OTHER_MODEL},
            "broken": {"preload": BROKEN},
        }.items():
            stack.enter_context(started(address, tmp_path / "machine", name, **what))
        until = time.monotonic() + 120
        while len(cluster.scheduler_info["workers"]) < 6:
            assert time.monotonic() < until
            time.sleep(0.1)
        names = {address: worker["name"] for address, worker in cluster.scheduler_info["workers"].items()}
        code, _, err = run("embed", tiles, "-o", "many", *options, "--cluster", address)
    assert code == 0, err
    refused = {}
    for line in err.splitlines():
        for address, name in names.items():
            if address in line:
                assert name not in refused
                refused[name] = line
    assert sorted(refused) == ["broken", "model", "older", "plain"]
    assert "sha256" in refused["model"]
    assert "RecursionError" in refused["broken"]
    assert "0.0.1" in refused["older"]
    assert "TESSERA_ENGINE_ISA" in refused["plain"]
    one, many = tmp_path / "one", tmp_path / "many"
    for path in (path for path in one.rglob("*") if path.is_file() and path.name != "item.json"):
        assert (many / path.relative_to(one)).read_bytes() == path.read_bytes(), path
    properties = json.loads((many / "item.json").read_text())["properties"]
    (other,) = properties["tessera:other_cells"]
    usual = properties["tessera:instruction_set"]
    assert {usual, other["instruction_set"]} == set(SAME_BITS)
    assert 1 <= len(other["cells"]) <= 3
    assert all(len(cell) == 4 for cell in other["cells"])
