"""Errors: what a missing extra is told to install, also from another process and on an older Python."""

from __future__ import annotations

import pickle

import pytest

from tessera_engine import errors
from tessera_engine.errors import MissingExtra


def test_a_missing_extra_gives_the_line_to_type():
    message = str(MissingExtra("pyogrio", "maps", "reading labels"))
    assert message.startswith("reading labels needs the package 'pyogrio'")
    assert message.endswith("pip install '.[maps]'")


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 11, 0)], ids=["3.10", "3.11"])
def test_a_package_that_needs_a_newer_python_is_not_offered(version, monkeypatch):
    monkeypatch.setattr(errors.sys, "version_info", version)
    message = str(MissingExtra("zarr", "zarr", "format=zarr"))
    assert ("pip install '.[zarr]'" in message) == (version >= (3, 11))
    assert ("Python 3.11 or newer" in message and "Python 3.10" in message) == (version < (3, 11))


def test_a_missing_extra_survives_pickle():
    error = MissingExtra("torch", "export", "training")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
