"""The stand-in of the CUDA driver."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest

from tessera_engine.backends.gpu import cuda


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("driver") / "libcuda_standin.so"
    subprocess.check_call(
        ["cc", "-shared", "-fPIC", "-w", "-o", path, Path(__file__).with_name("standin_driver.c")]
    )
    return path


@pytest.fixture
def driver(library, monkeypatch):
    """The stand-in's own controls; memory as at the beginning."""
    monkeypatch.setattr(cuda, "LIBRARY", str(library))
    controls = ctypes.CDLL(str(library))
    controls.standin_set_total.argtypes, controls.standin_used.restype = [ctypes.c_size_t], ctypes.c_size_t
    controls.standin_reset()
    return controls
