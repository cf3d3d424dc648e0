"""What lies in a folder of results."""

from __future__ import annotations

import pytest

from tessera_engine.files.output import is_output

MODES = pytest.mark.parametrize("exchange", [True, False], ids=["one step", "two steps"])


def content(out):
    assert is_output(out)
    return (out / "content").read_text()


def names(folder):
    return sorted(path.name for path in folder.iterdir())
