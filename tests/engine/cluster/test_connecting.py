"""The cluster that a user names: what is refused, and that workers on this machine are started again."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from tessera_engine.cluster.connecting import connected


@pytest.mark.skipif(os.name == "nt", reason="needs SIGSTOP")
def test_a_worker_on_this_machine_that_is_slow_to_start_again_comes_back(monkeypatch):
    """Where Dask's own patience is shorter than the start, as the 15 s of its default are on a busy machine."""
    dask = pytest.importorskip("dask", reason="the extra 'cluster' is not installed")
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "500ms"}),
        connected("local:1", 1) as client,
    ):

        def addresses():
            return set(client.scheduler_info()["workers"])

        def process():
            return {child.pid for child in psutil.Process().children() if child.pid not in others}

        others: set[int] = set()
        others = process() - {client.run(os.getpid).popitem()[1]}
        before, (old,) = addresses(), process()
        os.kill(old, signal.SIGKILL)
        until = time.monotonic() + 60
        while not (fresh := process() - {old}):
            assert time.monotonic() < until
            time.sleep(0.01)
        os.kill(min(fresh), signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(min(fresh), signal.SIGCONT)
        assert client.cluster.workers, "Dask has given it up"
        while not addresses() - before:
            assert time.monotonic() < until
            time.sleep(0.1)
