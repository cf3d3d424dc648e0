"""Two worker processes of Dask on this machine, for all tests of this room."""

from __future__ import annotations

import os

import pytest
from places import ROOT


@pytest.fixture(scope="session")
def cluster():
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    path = os.pathsep.join(str(ROOT / room) for room in ("engine", "export", "kernels"))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = path
    try:
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
        ) as made:
            yield made
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


@pytest.fixture
def client(cluster):
    import distributed

    with distributed.Client(cluster) as made:
        yield made
