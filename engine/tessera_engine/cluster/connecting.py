"""The Dask cluster that a user names: one that runs already, or worker processes on this machine."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tessera_engine.errors import InputError, MissingExtra, reason
from tessera_engine.machine import check_threads

LOCAL = "local"

CORES_A_WORKER = 2
"""Of this machine, where nobody says how many workers: the reading of one hides behind the computing of others."""

CONNECT_SECONDS, ANSWER_SECONDS = 10, 10
"""How long the connection may take, and then the scheduler's first answer."""

QUIET = {
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "500ms",
    "distributed.worker.profile.enabled": False,
}
"""Dask looks at itself all the time. Measured with one worker, this takes 1.3 % of a core instead of 3.1 %."""

KEPT = {"distributed.deploy.lost-worker-timeout": "365d"}
"""By default Dask gives up a worker process on this machine for good if it needs longer than 15 s to start again. On a
busy machine it does, and a run whose workers have all gone that way would wait forever."""

LOOKS = 20
"""How often the scheduler is asked for its workers, at most."""

_LOCAL = re.compile(rf"{LOCAL}(?::(\d+))?", re.ASCII)


def check_cluster(cluster: str) -> int | None:
    """How many workers to start on this machine; None where the text is the address of a scheduler.

    Raises:
        InputError: it is neither.
        MissingExtra: Dask isn't installed.
    """
    found = _LOCAL.fullmatch(cluster)
    if found is None and not re.fullmatch(r"\S+:\d+|\S+\.json", cluster):
        raise InputError(
            f"cluster={cluster!r} is neither local, local:N nor the address of a Dask scheduler; write it like "
            "tcp://192.168.0.10:8786, or give its scheduler file (.json)"
        )
    try:
        import distributed  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtra("distributed", "cluster", f"cluster={cluster}") from None
    if found is None:
        return None
    workers = int(found[1]) if found[1] else max(1, check_threads(None) // CORES_A_WORKER)
    if workers < 1:
        raise InputError(f"cluster={cluster} starts no worker; give local:1 or more")
    return workers


@contextmanager
def connected(cluster: str, threads: int | None) -> Iterator[Any]:
    """A client of the cluster.

    Args:
        cluster: `local`, `local:N`, an address, or a scheduler file.
        threads: of each worker on this machine; None: its cores, shared equally.

    Raises:
        InputError: there is no such cluster.
        MissingExtra: Dask isn't installed.
    """
    workers = check_cluster(cluster)
    import dask
    import distributed

    client_of: Any = distributed.Client  # untyped, like all of Dask
    make_cluster: Any = distributed.LocalCluster

    # Workers that end or hang are reported by our own lines
    for name in ("", ".client", ".comm", ".core", ".nanny", ".scheduler", ".worker"):
        logging.getLogger(f"distributed{name}").setLevel(logging.CRITICAL)
    if workers is None:
        client = _client(client_of, cluster)
    else:
        dask.config.set(QUIET | KEPT)
        # Nobody but this machine can reach it
        client = client_of(
            make_cluster(
                n_workers=workers,
                threads_per_worker=threads or max(1, check_threads(None) // workers),
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
        )
    try:
        yield client
    finally:
        own = client.cluster
        client.close(timeout=CONNECT_SECONDS)
        if own is not None:
            own.close(timeout=CONNECT_SECONDS)


def workers_there(client: Any) -> Mapping[str, Any] | None:
    """What the scheduler knows of its workers, by address; None if it doesn't answer.

    Dask's client asks for the same without the workers every 2 s. Where that answer comes in between, it takes the
    place of ours.
    """
    for _ in range(LOOKS):
        known = client.scheduler_info(n_workers=-1)
        workers: Mapping[str, Any] | None = known.get("workers")
        if workers is not None and len(workers) == known.get("n_workers", len(workers)):
            return workers
    return None


def dashboard(client: Any) -> str | None:
    """The address of Dask's dashboard; None where the scheduler shows none, such as one without bokeh.

    Dask gives an address in each case. Without a dashboard there is no page at it, or one that asks for bokeh.
    """
    try:
        shown = client.run_on_scheduler(_shows_dashboard)
        return str(client.dashboard_link) if shown else None
    except Exception:  # the scheduler raises what it likes; a run needs no dashboard
        return None


def _shows_dashboard(dask_scheduler: Any = None) -> bool:
    """On the scheduler: whether the pages that bokeh draws belong to its web server."""
    return bool(dask_scheduler.http_application.applications)


def is_local(client: Any) -> bool:
    """Whether the workers of a client's cluster are processes that Dask starts on this machine."""
    import distributed

    return isinstance(client.cluster, distributed.LocalCluster)


def _client(make: Any, cluster: str) -> Any:
    address = _address_in(Path(cluster)) if cluster.endswith(".json") else cluster
    made: Future[Any] = Future()

    def connect() -> None:
        try:
            made.set_result(make(address, timeout=CONNECT_SECONDS))
        except BaseException as error:
            made.set_exception(error)

    # In a thread that can be left alone: with something else than a scheduler Dask may talk for ever
    threading.Thread(target=connect, name="tessera-connect", daemon=True).start()
    wait([made], CONNECT_SECONDS + ANSWER_SECONDS)
    error = made.exception() if made.done() else None
    if made.done() and error is None:
        return made.result()
    if error is None or isinstance(error, MemoryError):  # it takes some bytes of the answer for a length
        raise InputError(
            f"what answers at cluster={cluster} is not a Dask scheduler; give the address that 'dask scheduler' prints"
        )
    if isinstance(error, TypeError):
        raise InputError(
            f"cluster={cluster} can't be used ({reason(error)}); for tls:// set the files of your certificates in "
            "Dask's configuration, distributed.comm.tls"
        )
    # Of many kinds: time-outs are OSErrors, an unknown protocol is a ValueError
    raise InputError(
        f"no Dask scheduler answers at cluster={cluster} ({reason(error)}); start one with 'dask scheduler'"
    )


def _address_in(file: Path) -> str:
    """The address in a scheduler file. Dask itself would wait until the file appears.

    Raises:
        InputError: there is none.
    """
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["address"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        why = error.strerror if isinstance(error, OSError) else "it has no address"
        raise InputError(
            f"cluster={file} is not the file of a scheduler ({why}); start one with 'dask scheduler --scheduler-file "
            f"{file}'"
        ) from None
