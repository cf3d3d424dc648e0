"""Runs of a made-up scene by a backend that computes nothing, which can be cut as a window is read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from fake_backend import FakeBackend
from made_up import FakeReader, made_up_arrays

from tessera_engine.errors import TesseraError
from tessera_engine.formats.origin import Origin
from tessera_engine.running.options import RunOptions
from tessera_engine.running.plan import Plan
from tessera_engine.running.run import run
from tessera_engine.scene import Scene

ARRAYS = made_up_arrays(11, 9)
WINDOW_PIXELS = 20  # two rows of nine: six windows
WINDOWS = 6


class Changing(FakeReader):
    """A reader whose content can change."""

    content = "a" * 64

    def fingerprint(self):
        return self.content


class Interrupting(Changing):
    """A reader that does something as window number `at` is read."""

    def __init__(self, arrays, at, happens):
        super().__init__(arrays)
        self.at, self.happens = at, happens

    def read(self, window):
        if len(self.windows_read) == self.at:
            self.at = None
            self.happens()
        return super().read(window)


class Planned(NamedTuple):
    """A plan and the backend that carries it out."""

    plan: Plan
    backend: FakeBackend

    @property
    def windows_read(self):
        return self.plan.scene.reader.windows_read


def plan(out, reader=None, backend=None, window_pixels=WINDOW_PIXELS, origin=None, **options):
    reader, backend = reader or Changing(ARRAYS), backend or FakeBackend()
    options = {"window": reader.grid.window, "dim": 32, "stored_as": "int8", "format": "npy"} | options
    return Planned(
        Plan(
            scene=Scene("place", "place", reader),
            model=backend.model,
            out=Path(out),
            options=RunOptions(**options),
            window_pixels=window_pixels,
            origin=origin or Origin(None, "fake", "0" * 64, "v2", "0.1.0"),
        ),
        backend,
    )


def embed(planned, **options):
    """Run a plan; gives the lines for the user."""
    told = []
    changed = replace(planned.plan, options=replace(planned.plan.options, **options))
    run(changed, planned.backend, None, told.append)
    return told


def contents(out):
    """The files of an output; of item.json what doesn't tell the time."""
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    item = json.loads(files["item.json"])
    for word in ("created", "end_datetime", "tessera:item_sha256"):
        item["properties"].pop(word)
    return files | {"item.json": item}


class Cut(BaseException):
    pass


def raising(error):
    def happens():
        raise error

    return happens


def interrupt(out, at=3, error=None):
    """A run that ends as window `at` is read; those that were read before the last one are finished."""
    with pytest.raises((Cut, TesseraError)):
        embed(plan(out, Interrupting(ARRAYS, at, raising(error or Cut()))))


def assert_only(folder, *names):
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
