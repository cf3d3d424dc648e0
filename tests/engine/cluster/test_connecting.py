"""The cluster that a user names: what is refused, and that workers on this machine are started again."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

import psutil
import pytest

from tessera_engine.cluster import connecting
from tessera_engine.cluster.connecting import connected
from tessera_engine.errors import InputError


@pytest.fixture
def short(monkeypatch):
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    monkeypatch.setattr(connecting, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(connecting, "ANSWER_SECONDS", 0.5)


def refusal(cluster):
    begun = time.monotonic()
    with pytest.raises(InputError) as refused, connected(cluster, None):
        pass
    assert time.monotonic() - begun < 20
    assert f"cluster={cluster}" in str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("protocol", ["", "tcp://", "tls://", "carrier-pigeon://"])
def test_an_address_where_nobody_answers_is_refused(protocol, short):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and doesn't listen
        text = refusal(f"{protocol}127.0.0.1:{nobody.getsockname()[1]}")
    assert ("tls://" in text) == (protocol == "tls://")


def test_what_answers_and_is_no_scheduler_is_refused(short):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "is not a Dask scheduler" in refusal(f"127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize(
    ("content", "named"), [(None, "No such file"), ("{}", "address"), ("not JSON", "address")]
)
def test_a_scheduler_file_without_a_scheduler_is_refused(content, named, short, tmp_path):
    file = tmp_path / "scheduler.json"
    if content is not None:
        file.write_text(content)
    assert named in refusal(str(file))


def test_a_scheduler_file_names_the_scheduler(cluster, tmp_path):
    (tmp_path / "scheduler.json").write_text(f'{{"address": "{cluster.scheduler_address}"}}')
    with connected(str(tmp_path / "scheduler.json"), None) as client:
        assert client.scheduler.address == cluster.scheduler_address


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


@pytest.mark.parametrize("bokeh", [True, False])
def test_a_dashboard_is_named_where_there_is_one(bokeh, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    if bokeh:
        pytest.importorskip("bokeh")
    else:
        monkeypatch.setitem(sys.modules, "distributed.dashboard.scheduler", None)
        monkeypatch.setitem(sys.modules, "bokeh", None)
    where = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with (
        distributed.LocalCluster(n_workers=0, silence_logs=50, **where) as made,
        distributed.Client(made) as client,
    ):
        assert client.dashboard_link.startswith("http://")  # in each case
        assert connecting.dashboard(client) == (client.dashboard_link if bokeh else None)
