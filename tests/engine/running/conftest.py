"""Fixtures that several tests of this room share."""

from __future__ import annotations

import pytest
from cut_runs import contents, embed, plan

from tessera_engine.running import changes


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The files of an uninterrupted run."""
    out = tmp_path_factory.mktemp("uninterrupted") / "out"
    embed(plan(out))
    return contents(out)


@pytest.fixture
def read_to_compute(monkeypatch):
    """Windows that are only read again to be compared don't count as read; test_changes.py is about these."""
    find = changes.find_change

    def found(journal, reader, blocks):
        change = find(journal, reader, blocks)
        reader.windows_read.clear()
        return change

    monkeypatch.setattr(changes, "find_change", found)
