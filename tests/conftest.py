"""Settings and fixtures of all tests."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import warnings

import pytest
from hypothesis import settings

# Triton decides when it is imported whether kernels are interpreted. Where there is no GPU they can't be run otherwise
if shutil.which("nvidia-smi") is None:
    os.environ["TRITON_INTERPRET"] = "1"

# Beside other workers of pytest, further threads of PyTorch only wait for each other
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says nothing on a busy machine; speed has tests of its own
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


LONGEST = ("tests/soak/", "tests/fuzz/", "tests/engine/offline/", "tests/browser/", "tests/engine/cluster/")
"""Tests that take long begin first: otherwise one process would wait for the other at the end."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))  # keeps the order otherwise


@pytest.fixture(autouse=True, scope="session")
def disk():
    """Wait for no disk in this process: no test cuts the power, and thousands of syncs take minutes on a busy disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def signals():
    """Give back what a command changes for good in what is its own process elsewhere: signals, the form of warnings."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    form = warnings.formatwarning
    yield
    warnings.formatwarning = form
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in this process, in a folder of its own: exit code, stdout, stderr."""
    from tessera_engine import cli

    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["tessera-engine", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return call
